"""Whether ComfyUI would take a prompt: the rules of its POST /prompt. Pure.

Only what an output depends on is looked at, and a prompt is taken if one output is good. ComfyUI
walks the graph by recursion and in no certain order; here it is a loop, in the order in which
inputs are declared.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from app.comfyui import problems
from app.comfyui.inputs import Input, NodeTypes
from app.comfyui.own_rules import OwnRules, own_rules
from app.comfyui.problems import Problem
from app.limits.json_types import Json

ANY = "*"
MATCH_TYPE = "COMFY_MATCHTYPE_V3"

_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "INT": int,
    "FLOAT": float,
    "STRING": str,
    "BOOLEAN": bool,
}


class TooDeep(Exception):
    """More nodes in a row than the rules allow."""


@dataclass(slots=True)
class Verdict:
    """`outputs`: the ids of the good ones, of which there is one if the prompt is taken.

    `node_errors`: as ComfyUI answers them; `untold`: how many more nodes have faults. `details`:
    the faults of the output nodes themselves, as the error for all repeats them.
    """

    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, Json] = field(default_factory=dict)
    details: str = ""
    untold: int = 0


@dataclass(slots=True)
class Looked:
    """What is known of a node: its faults, and where its links lead that fit.

    `broken`: it could not be looked at to its end.
    """

    errors: list[Problem] = field(default_factory=list)
    links: list[tuple[Input, list[Any]]] = field(default_factory=list)
    valid: bool = True
    broken: Exception | None = None


class PromptRules:
    """ComfyUI's own. Others may be laxer, where they know less."""

    deepest: int | None = None  # nodes in a row
    most: int | None = None  # nodes whose faults are told; of the others only that they have some

    def own(self, class_type: str, definition: Json) -> OwnRules:
        """What the class sees to itself."""
        return own_rules(class_type)

    def custom(self, class_type: str, inputs: Json) -> list[Problem]:
        """What the class itself finds, once all else is looked at."""
        return []

    def leaves(self, found: Input, value: Any) -> bool:
        """Whether a choice is not judged: ComfyUI does not know what its page offers there."""
        return bool(found.options.get("remote_combo"))

    def received(self, definition: Json, outputs: tuple[Any, ...], slot: Any) -> Any:
        """The type of an output of such a node; None if that cannot be told. Raises what indexing
        a tuple does."""
        return outputs[slot]


class Validator:
    """Of one prompt, well-formed but for its links. `rewrites`: values become what ComfyUI makes of
    them, in the prompt itself."""

    def __init__(
        self,
        prompt: Json,
        types: NodeTypes,
        rules: PromptRules | None = None,
        *,
        rewrites: bool = False,
    ) -> None:
        self._prompt = prompt
        self._types = types
        self._rules = rules or PromptRules()
        self._rewrites = rewrites
        self.nodes: dict[str, Looked] = {}  # those that outputs depend on, once looked at
        self._faulty: dict[str, None] = {}  # in the order in which ComfyUI is through with them
        self._told = 0
        self._untold: set[str] = set()

    def outputs(self, targets: Collection[str] | None = None) -> list[str]:
        """The output nodes; of classes that are known. `targets`: those among them."""
        return [
            node_id
            for node_id, node in self._prompt.items()
            if (targets is None or node_id in targets)
            and node["class_type"] in self._types
            and self._types.is_output(node["class_type"])
        ]

    def verdict(self, outputs: Collection[str]) -> Verdict:
        """On a prompt with these output nodes. Raises TooDeep."""
        verdict, said = Verdict(), []
        for output in outputs:
            self._walk(output)
            node = self.nodes[output]
            if node.broken is not None:
                self._break(output, problems.outer_exception(node.broken))
            if node.valid:
                verdict.outputs.append(output)
                continue
            said += [f"{error['message']}: {error['details']}" for error in node.errors]
            for node_id in self._faulty:
                self._report(node_id, output, verdict)
        verdict.untold = len(self._untold)
        verdict.details = "\n".join(said)
        return verdict

    def look(self, node: Json, *, tell: bool = True) -> Looked:
        """At one node by itself; `tell`: keep all its faults, and not only that it has some."""
        found = Looked()
        class_type = node["class_type"]
        if class_type not in self._types:
            return found
        definition = self._types.definition(class_type)
        own = self._rules.own(class_type, definition)
        try:
            inputs = node["inputs"]
            for one in self._types.inputs(class_type, inputs):
                for error in self._faults(one, inputs, own, found):
                    found.valid = False
                    found.errors += [error] if tell else []
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            found.broken, found.valid = error, False
            return found
        if custom := self._rules.custom(class_type, inputs):
            found.errors += custom
            found.valid = False
        return found

    def _faults(self, one: Input, inputs: Json, own: OwnRules, found: Looked) -> Iterator[Problem]:
        if one.name not in inputs:
            if one.required:
                yield problems.required_input_missing(one)
            return
        value = inputs[one.name]
        if not isinstance(value, list):
            yield from self._value_faults(one, inputs, own)
        elif len(value) != 2:
            yield problems.bad_linked_input(one, value)
        else:
            received = self._received(value)
            if own.types or received is None or fits(received, one.kind):
                found.links.append((one, value))
            else:
                yield problems.return_type_mismatch(one, received, value)

    def _received(self, link: list[Any]) -> Any:
        """The type that a link brings; None if that cannot be told. Raises what ComfyUI does."""
        class_type = self._prompt[link[0]]["class_type"]
        if class_type not in self._types:
            return None
        definition, outputs = self._types.definition(class_type), self._types.outputs(class_type)
        return self._rules.received(definition, outputs, link[1])

    def _value_faults(self, one: Input, inputs: Json, own: OwnRules) -> Iterator[Problem]:
        value = inputs[one.name]
        if isinstance(value, dict) and "__value__" in value:  # how a list is sent that is no link
            value = value["__value__"]
        if convert := _CONVERSIONS.get(one.kind) if isinstance(one.kind, str) else None:
            try:
                value = convert(value)
            except (ValueError, TypeError, OverflowError) as error:
                yield problems.invalid_input_type(one, value, error)
                return
        if self._rewrites:
            inputs[one.name] = value
        if not own.has(one.name):
            yield from self._limit_faults(one, value)

    def _limit_faults(self, one: Input, value: Any) -> Iterator[Problem]:
        smallest, biggest = one.options.get("min"), one.options.get("max")
        if smallest is not None and value < smallest:
            yield problems.out_of_range("value_smaller_than_min", one, value, smallest)
        elif biggest is not None and value > biggest:
            yield problems.out_of_range("value_bigger_than_max", one, value, biggest)
        elif (choices := one.choices) is not None and not self._rules.leaves(one, value):
            several = one.options.get("multiselect") and isinstance(value, list)
            wrong = [item for item in (value if several else [value]) if item not in choices]
            if wrong:
                yield problems.value_not_in_list(one, value, wrong, choices)

    def _walk(self, output: str) -> None:
        """Look at all that an output depends on, and has not been looked at."""
        path: dict[str, Iterator[str]] = {}  # the nodes from the output to here
        self._enter(output, path)
        while path:
            node_id, targets = next(reversed(path.items()))
            for target in targets:
                if target in path:
                    self._close(list(path), target)
                elif target not in self.nodes:
                    self._enter(target, path)
                    break
            else:
                del path[node_id]
                self._leave(node_id)

    def _enter(self, node_id: str, path: dict[str, Iterator[str]]) -> None:
        if node_id in self.nodes:
            return
        if self._rules.deepest is not None and len(path) >= self._rules.deepest:
            raise TooDeep(node_id)
        tell = self._rules.most is None or self._told < self._rules.most
        found = self.nodes[node_id] = self.look(self._prompt[node_id], tell=tell)
        if not found.valid:
            self._told += tell
            self._untold |= set() if tell else {node_id}
        path[node_id] = iter([link[0] for _, link in found.links])

    def _leave(self, node_id: str) -> None:
        """The nodes that it depends on being done."""
        node = self.nodes[node_id]
        for one, link in node.links:
            linked = self.nodes[link[0]]
            if linked.broken is not None:
                self._break(link[0], problems.inner_exception(one, link, linked.broken))
            node.valid = node.valid and linked.valid
        if node.errors:
            self._faulty[node_id] = None

    def _break(self, node_id: str, error: Problem) -> None:
        """What ComfyUI says of a node that it could not look at to the end."""
        node = self.nodes[node_id]
        node.broken, node.valid = None, False
        if node_id not in self._untold:
            node.errors = [error]
            self._faulty[node_id] = None

    def _close(self, path: list[str], target: str) -> None:
        """A link leads back to a node that waits for this one."""
        nodes = path[path.index(target) :]
        named = [f"{node_id} ({self._prompt[node_id]['class_type']})" for node_id in nodes]
        words = " -> ".join([*named, named[0]])
        for node_id in nodes:
            node, error = self.nodes[node_id], problems.dependency_cycle(node_id, nodes, words)
            node.errors, node.valid = [error, *node.errors], False
            self._faulty[node_id] = None

    def _report(self, node_id: str, output: str, verdict: Verdict) -> None:
        if node_id not in verdict.node_errors:
            verdict.node_errors[node_id] = {
                "errors": self.nodes[node_id].errors,
                "dependent_outputs": [],
                "class_type": self._prompt[node_id]["class_type"],
            }
        verdict.node_errors[node_id]["dependent_outputs"].append(output)


def fits(received: Any, wanted: Any) -> bool:
    """Whether an output may be linked to an input: "A,B" is a union, "*" takes anything."""
    if received == wanted or MATCH_TYPE in (received, wanted):
        return True
    if isinstance(received, list) and wanted == "COMBO":
        return True
    if not isinstance(received, str) or not isinstance(wanted, str):
        return ANY in (received, wanted)
    have = {name.strip() for name in received.split(",")}
    want = {name.strip() for name in wanted.split(",")}
    return ANY in have | want or not have.isdisjoint(want)
