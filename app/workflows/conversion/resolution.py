"""Resolves a link to the node that produces its value.

Only ordinary nodes run. A link may pass through others: reroutes, bypassed nodes, boundaries of
subgraphs. Each step has exactly one successor, so the path is followed in a loop, and its result is
cached for all of its steps.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from app.limits.quoting import quoted
from app.workflows.conversion.model import (
    BYPASSED,
    INPUT_BOUNDARY,
    MUTED,
    Document,
    Drawn,
    Graph,
    Node,
    is_drawn,
)
from app.workflows.conversion.refusing import refused
from app.workflows.conversion.subgraphs.promotion import Promotions
from app.workflows.conversion.virtual import (
    GETTERS,
    PRIMITIVE,
    REROUTES,
    SETTERS,
    VIRTUAL,
    wire_name,
)

LONGEST = 200  # maximum characters of a type that is split at commas


@dataclass(slots=True, eq=False)
class GraphScope:
    """A graph in the prompt: the root, or one instance of a subgraph."""

    graph: Graph
    prefix: str = ""  # prefix of the ids of its nodes
    host: Node | None = None  # the subgraph node in the scope `outside`
    outside: "GraphScope | None" = None
    inside: "dict[str, GraphScope]" = field(default_factory=dict)  # by the id of the subgraph node


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of a value: an output, or a promoted widget (`value`, boxed).

    Both are empty for a primitive, which has written its value already.
    """

    node_id: str = ""
    slot: int = 0
    value: tuple[Any] | None = None
    drawn: Drawn | None = None
    primitive: str = ""  # id in its scope


@dataclass(slots=True, eq=False)
class LinkStep:
    """A step of the path: an input or output of a node, and the wanted type."""

    scope: GraphScope
    node: Node
    slot: int
    type: str | None
    is_input: bool

    @property
    def key(self) -> tuple[int, str, int, str | None, bool]:
        return (id(self.scope), self.node.id, self.slot, self.type, self.is_input)


class Resolver:
    def __init__(self, document: Document, promotions: Promotions) -> None:
        self._document = document
        self._promotions = promotions
        self._ends: dict[Any, Origin | None] = {}
        self._wires: dict[str, dict[str, Node]] = {}

    def origin(self, scope: GraphScope, node: Node, slot: int) -> Origin | None:
        """Return the source of an input; None if it has none."""
        step: LinkStep | Origin | None = LinkStep(scope, node, slot, None, is_input=True)
        way: dict[Any, None] = {}
        while isinstance(step, LinkStep) and step.key not in self._ends:
            if step.key in way:
                message = (
                    f"The links to its input {quoted(node.inputs[slot].name)} run in a circle."
                )
                raise refused(f"{scope.prefix}{node.id}", node.type, "link_circle", message)
            way[step.key] = None
            self._document.effort.make(1)
            step = self._from_input(step) if step.is_input else self._from_output(step)
        end = self._ends[step.key] if isinstance(step, LinkStep) else step
        self._ends.update(dict.fromkeys(way, end))
        return end

    def _from_input(self, step: LinkStep) -> LinkStep | Origin | None:
        socket = step.node.inputs[step.slot]
        if socket.link is None:
            return None
        if socket.link.origin == INPUT_BOUNDARY:
            return self._from_border(step.scope, socket.link.origin_slot)
        node = step.scope.graph.nodes.get(socket.link.origin)
        if node is None:
            return None
        return LinkStep(step.scope, node, socket.link.origin_slot, step.type or socket.type, False)

    def _from_border(self, scope: GraphScope, slot: int) -> LinkStep | Origin | None:
        """Return the step from a subgraph's input to the input of the subgraph node."""
        host, outside = scope.host, scope.outside
        if host is None or outside is None or not 0 <= slot < len(scope.graph.inputs):
            return None
        if slot < len(host.inputs) and host.inputs[slot].link is not None:
            return LinkStep(outside, host, slot, None, is_input=True)
        value = self._promotions.value(host, scope.graph.inputs[slot].name)
        return Origin(value=(value.value,), drawn=value.drawn) if value else None

    def _from_output(self, step: LinkStep) -> LinkStep | Origin | None:
        node = step.node
        if node.mode == MUTED:
            return None
        if node.mode == BYPASSED:
            self._document.effort.make(len(node.inputs))
            passed = bypass_input(node, step.slot, step.type or "*")
            return (
                None if passed is None else LinkStep(step.scope, node, passed, None, is_input=True)
            )
        if self._document.definition(node) is not None:
            return self._from_inside(step)
        if node.type == PRIMITIVE:  # its value is already in the targets
            marks = node.values[1:2] if isinstance(node.values, list) else []
            drawn = (id(node),) if any(map(is_drawn, marks)) else None
            return Origin(drawn=drawn, primitive=f"{step.scope.prefix}{node.id}")
        if node.type in VIRTUAL:
            return self._from_virtual(step)
        return Origin(f"{step.scope.prefix}{node.id}", step.slot) if step.slot >= 0 else None

    def _from_virtual(self, step: LinkStep) -> LinkStep | None:
        """Return the step through a reroute, or from a get node to its set node."""
        scope: GraphScope | None = step.scope
        node: Node | None = step.node
        if step.node.type in GETTERS:
            node = None
            while scope is not None:  # the set node may be in an outer graph
                node = self._setters(scope.graph).get(wire_name(step.node))
                if node is not None:
                    break
                scope = scope.outside
                self._document.effort.spend(1)
            else:
                name = wire_name(step.node)
                self._document.warn(f"Node {step.node.id}: nothing sets {quoted(name)}.")
        if scope is None or node is None or node.type not in REROUTES or not node.inputs:
            return None
        return LinkStep(scope, node, 0, step.type, is_input=True)

    def _setters(self, graph: Graph) -> dict[str, Node]:
        found = self._wires.get(graph.id)
        if found is None:
            nodes = [node for node in graph.nodes.values() if node.type in SETTERS]
            found = self._wires[graph.id] = {wire_name(node): node for node in reversed(nodes)}
        return found

    def _from_inside(self, step: LinkStep) -> LinkStep | Origin | None:
        """Return the step from a subgraph node's output to its source inside."""
        inner = step.scope.inside.get(step.node.id)
        if inner is None or not 0 <= step.slot < len(inner.graph.outputs):
            return None
        link = next(inner.graph.links_of(inner.graph.outputs[step.slot]), None)
        if link is None:
            return None
        if link.origin == INPUT_BOUNDARY:
            return self._from_border(inner, link.origin_slot)
        node = inner.graph.nodes.get(link.origin)
        return LinkStep(inner, node, link.origin_slot, step.type, False) if node else None


def bypass_input(node: Node, output: int, wanted: str) -> int | None:
    """Return the input that a bypassed node passes to an output.

    That is the input of the same index if its type fits, else the first of exactly the wanted type,
    else the first that fits.
    """
    inputs = node.inputs
    if wanted == "*":
        return output if 0 <= output < len(inputs) else (0 if inputs else None)
    own = node.outputs[output].type if 0 <= output < len(node.outputs) else "*"

    def fits(place: int) -> bool:
        kind = inputs[place].type
        return types_match(kind, own) and types_match(kind, wanted)

    if 0 <= output < len(inputs) and fits(output):
        return output
    exact = next((i for i, slot in enumerate(inputs) if slot.type == wanted), None)
    return next(filter(fits, range(len(inputs))), None) if exact is None else exact


def types_match(one: str, other: str) -> bool:
    """Return whether sockets of these types may be connected: `*` fits all, `A,B` is A or B."""
    if one in ("", "*") or other in ("", "*") or one == other:
        return True
    if max(len(one), len(other)) > LONGEST:
        return False  # choices of a combo, which old files have in place of the type
    first, second = _kinds(one), _kinds(other)
    return not first.isdisjoint(second) or "*" in first or "*" in second


@lru_cache(maxsize=1000)
def _kinds(type: str) -> frozenset[str]:
    return frozenset(type.lower().split(","))
