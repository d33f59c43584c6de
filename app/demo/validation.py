"""Checks a prompt the way ComfyUI does: what no output depends on is not looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.demo import problems
from app.demo.catalogue import IMAGE_LOADERS, Catalogue, InputSpec
from app.demo.folders import Folders
from app.demo.graph import Graph, post_order
from app.demo.problems import Problem

DEEPEST = 950  # the real server recurses; beyond this Python gives up there


class Malformed(Exception):
    """The body is so odd that the real server answers 500."""


@dataclass(slots=True)
class Verdict:
    """What POST /prompt has to answer: an error, or the outputs to run."""

    error: Problem | None = None
    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(slots=True)
class _Node:
    """What is known of a node so far; `broken` if it could not be validated at all."""

    errors: list[Problem] = field(default_factory=list)
    valid: bool = True
    broken: Exception | None = None


class Validator:
    """Validates one prompt; the graph's values are rewritten to their coerced form."""

    def __init__(self, graph: Graph, catalogue: Catalogue, folders: Folders) -> None:
        self._graph = graph
        self._catalogue = catalogue
        self._folders = folders
        self._nodes: dict[str, _Node] = {}

    def verdict(self, targets: Any, unknown_class: str) -> Verdict:
        for node_id, node in self._graph.items():
            if not isinstance(node, dict) or isinstance(node.get("class_type"), dict | list):
                raise Malformed(node_id)
            if self._catalogue.get(node.get("class_type")) is None:
                return Verdict(problems.missing_node_type(unknown_class, node_id, node))
            if not isinstance(node.get("inputs", {}), dict):
                raise Malformed(node_id)
        wanted = [node_id for node_id in self._outputs() if targets is None or node_id in targets]
        if not wanted:
            return Verdict(problems.no_outputs())
        verdict = Verdict()
        for output in wanted:
            self._judge(output, verdict)
        if not verdict.outputs:
            verdict.error = problems.outputs_failed()
        return verdict

    def _outputs(self) -> list[str]:
        graph = self._graph.items()
        return [key for key, node in graph if self._catalogue[node["class_type"]].is_output]

    def _judge(self, output: str, verdict: Verdict) -> None:
        for node_id in post_order([output], self._children):
            if node_id not in self._nodes:
                self._nodes[node_id] = self._validated(node_id)
        self._find_cycle(output)
        node = self._nodes[output]
        if node.broken is not None and not node.errors:
            node.errors.append(problems.outer_exception(node.broken))
        if node.valid and node.broken is None:
            verdict.outputs.append(output)
            return
        for node_id, found in self._nodes.items():
            if found.errors:
                self._report(node_id, found, output, verdict)

    def _report(self, node_id: str, node: _Node, output: str, verdict: Verdict) -> None:
        report = verdict.node_errors.setdefault(
            node_id,
            {
                "errors": node.errors,
                "dependent_outputs": [],
                "class_type": self._graph[node_id]["class_type"],
            },
        )
        report["dependent_outputs"].append(output)

    def _children(self, node_id: str) -> list[str]:
        """The nodes that declared inputs are linked to, as far as they exist."""
        node = self._graph[node_id]
        inputs = node.get("inputs") or {}
        values = (inputs.get(spec.name) for spec in self._catalogue[node["class_type"]].inputs)
        links = [value[0] for value in values if isinstance(value, list) and len(value) == 2]
        return [child for child in links if isinstance(child, str) and child in self._graph]

    def _validated(self, node_id: str) -> _Node:
        """Validates one node, all nodes it depends on being done."""
        node, found = self._graph[node_id], _Node()
        if "inputs" not in node:
            found.broken = KeyError("inputs")
            return found
        for spec in self._catalogue[node["class_type"]].inputs:
            try:
                error = self._input_error(node, spec, found)
            except (KeyError, IndexError, TypeError, RecursionError) as exception:
                found.broken = exception
                return found
            if error is not None:
                found.errors.append(error)
                found.valid = False
        return found

    def _input_error(self, node: dict[str, Any], spec: InputSpec, found: _Node) -> Problem | None:
        inputs = node["inputs"]
        if spec.name not in inputs:
            lenient = not spec.required or spec.kind.startswith("COMFY_AUTOGROW")
            return None if lenient else problems.required_input_missing(spec.name)
        value = inputs[spec.name]
        if isinstance(value, list):
            return self._link_error(spec, value, found)
        if isinstance(value, dict) and "__value__" in value:
            value = inputs[spec.name] = value["__value__"]
        if node["class_type"] in IMAGE_LOADERS and spec.name == "image":
            return self._file_error(value)
        return _value_error(spec, inputs)

    def _file_error(self, name: Any) -> Problem | None:
        try:
            exists = self._folders.annotated(str(name)).is_file()
        except ValueError:
            exists = False
        return None if exists else problems.missing_file("image", name)

    def _link_error(self, spec: InputSpec, link: list[Any], found: _Node) -> Problem | None:
        if len(link) != 2:
            return problems.bad_linked_input(spec.name, spec.raw, link)
        source = self._graph[link[0]]
        received = self._catalogue[source["class_type"]].outputs[link[1]]
        if not _fits(received, spec.kind):
            return problems.return_type_mismatch(spec.name, spec.raw, received, link)
        linked = self._nodes.get(link[0])
        if linked is None:  # a cycle; it is reported by itself
            return None
        if linked.broken is not None:
            linked.errors.append(problems.inner_exception(spec.name, spec.raw, link, linked.broken))
            linked.broken, linked.valid = None, False
        if not linked.valid:
            found.valid = False
        return None

    def _find_cycle(self, output: str) -> None:
        path = _cycle(output, self._children)
        if path is None:
            return
        names = [f"{node_id} ({self._graph[node_id]['class_type']})" for node_id in path]
        words = " -> ".join([*names, names[0]])
        for node_id in path:
            self._nodes[node_id].errors = [problems.dependency_cycle(node_id, path, words)]
            self._nodes[node_id].valid = False
        self._nodes[output].valid = False


def _cycle(root: str, children: Callable[[str], list[str]]) -> list[str] | None:
    """The first cycle met from `root`, if any."""
    done: set[str] = set()
    path: dict[str, list[str]] = {root: children(root)}
    while path:
        node_id = next(reversed(path))
        if not path[node_id]:
            done.add(node_id)
            del path[node_id]
            continue
        child = path[node_id].pop(0)
        if child in path:
            walked = list(path)
            return walked[walked.index(child) :]
        if child not in done:
            path[child] = children(child)
        if len(path) > DEEPEST:
            raise Malformed("too deep")
    return None


def _fits(received: str, wanted: str) -> bool:
    """Whether an output may be linked to an input; "A,B" is a union."""
    if "*" in (received, wanted) or "COMFY_" in wanted + received:
        return True
    return not set(received.split(",")).isdisjoint(wanted.split(","))


_COERCIONS: dict[str, Callable[[Any], Any]] = {
    "INT": int,
    "FLOAT": float,
    "STRING": str,
    "BOOLEAN": bool,
}


def _value_error(spec: InputSpec, inputs: dict[str, Any]) -> Problem | None:
    value = inputs[spec.name]
    if coerce := _COERCIONS.get(spec.kind):
        try:
            value = inputs[spec.name] = coerce(value)
        except (ValueError, TypeError, OverflowError) as error:
            return problems.invalid_input_type(spec.name, spec.raw, value, error)
    smallest, biggest = spec.options.get("min"), spec.options.get("max")
    if spec.kind in ("INT", "FLOAT"):
        if smallest is not None and value < smallest:
            kind = "value_smaller_than_min"
            return problems.out_of_range(kind, spec.name, spec.raw, value, smallest)
        if biggest is not None and value > biggest:
            kind = "value_bigger_than_max"
            return problems.out_of_range(kind, spec.name, spec.raw, value, biggest)
    if spec.choices is not None and value not in spec.choices:
        return problems.value_not_in_list(spec.name, spec.raw, value, spec.choices)
    return None
