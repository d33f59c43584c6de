"""Predicts whether ComfyUI accepts a prompt: the rules of its POST /prompt. Pure.

Only nodes that an output depends on are validated, and a prompt is accepted if one output is valid.
ComfyUI walks the graph recursively and in no fixed order; this is a loop, in the order in which
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
    """A path in the graph is longer than the rules allow."""


@dataclass(slots=True)
class Verdict:
    """The result of a validation.

    `outputs`: ids of the valid outputs; the prompt is accepted if there is one. `node_errors`: in
    ComfyUI's format; `untold`: the number of further nodes with errors. `details`: the errors of
    the output nodes themselves, as repeated in the error for the whole prompt.
    """

    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, Json] = field(default_factory=dict)
    details: str = ""
    untold: int = 0


@dataclass(slots=True)
class Looked:
    """The errors of a node, and its links with matching types.

    `broken`: the exception that its validation raised.
    """

    errors: list[Problem] = field(default_factory=list)
    links: list[tuple[Input, list[Any]]] = field(default_factory=list)
    valid: bool = True
    broken: Exception | None = None


class PromptRules:
    """ComfyUI's rules. Subclasses may be laxer where they know less."""

    deepest: int | None = None  # maximum nodes in a path
    # Maximum nodes whose errors are reported; further ones are only counted
    most: int | None = None

    def own(self, class_type: str, definition: Json) -> OwnRules:
        """Return what the class validates itself."""
        return own_rules(class_type)

    def custom(self, class_type: str, inputs: Json) -> list[Problem]:
        """Return the errors of the class's own validation, which runs last."""
        return []

    def leaves(self, found: Input, value: Any) -> bool:
        """Return whether a choice is not validated: choices of a remote combo are known to the page
        only."""
        return bool(found.options.get("remote_combo"))

    def received(self, definition: Json, outputs: tuple[Any, ...], slot: Any) -> Any:
        """Return the type of an output; None if unknown. Raises what indexing a tuple raises."""
        return outputs[slot]


class Validator:
    """Validates one prompt that is well-formed except for its links.

    `rewrites`: replace the values in the prompt by their conversions, like ComfyUI does.
    """

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
        self.nodes: dict[str, Looked] = {}  # validated nodes, which outputs depend on
        self._faulty: dict[str, None] = {}  # in the order in which ComfyUI finishes them
        self._told = 0
        self._untold: set[str] = set()

    def outputs(self, targets: Collection[str] | None = None) -> list[str]:
        """Return the output nodes of known classes, restricted to `targets` if given."""
        return [
            node_id
            for node_id, node in self._prompt.items()
            if (targets is None or node_id in targets)
            and node["class_type"] in self._types
            and self._types.is_output(node["class_type"])
        ]

    def verdict(self, outputs: Collection[str]) -> Verdict:
        """Validate the prompt with these output nodes. Raises TooDeep."""
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
        """Validate one node by itself; without `tell` only whether it has errors is kept."""
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
        """Return the type of a link's source; None if unknown. Raises what ComfyUI raises."""
        class_type = self._prompt[link[0]]["class_type"]
        if class_type not in self._types:
            return None
        definition, outputs = self._types.definition(class_type), self._types.outputs(class_type)
        return self._rules.received(definition, outputs, link[1])

    def _value_faults(self, one: Input, inputs: Json, own: OwnRules) -> Iterator[Problem]:
        value = inputs[one.name]
        # ComfyUI's notation for a list that is no link
        if isinstance(value, dict) and "__value__" in value:
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
        """Validate all nodes that an output depends on."""
        path: dict[str, Iterator[str]] = {}  # the nodes from the output to the current one
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
        """Complete a node after all nodes that it depends on."""
        node = self.nodes[node_id]
        for one, link in node.links:
            linked = self.nodes[link[0]]
            if linked.broken is not None:
                self._break(link[0], problems.inner_exception(one, link, linked.broken))
            node.valid = node.valid and linked.valid
        if node.errors:
            self._faulty[node_id] = None

    def _break(self, node_id: str, error: Problem) -> None:
        """Set the error of a node whose validation raised an exception."""
        node = self.nodes[node_id]
        node.broken, node.valid = None, False
        if node_id not in self._untold:
            node.errors = [error]
            self._faulty[node_id] = None

    def _close(self, path: list[str], target: str) -> None:
        """Add the error for a link that leads back to a node of the current path."""
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
    """Return whether types match for a link: "A,B" is a union, "*" accepts anything."""
    if received == wanted or MATCH_TYPE in (received, wanted):
        return True
    if isinstance(received, list) and wanted == "COMBO":
        return True
    if not isinstance(received, str) or not isinstance(wanted, str):
        return ANY in (received, wanted)
    have = {name.strip() for name in received.split(",")}
    want = {name.strip() for name in wanted.split(",")}
    return ANY in have | want or not have.isdisjoint(want)
