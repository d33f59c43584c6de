"""The node class of a group node, built from the group's definition.

Group nodes preceded subgraphs. `extra.groupNodes` has the nodes of each group by name, and their
links by index; a node of type `workflow>name` is an instance. It shows the widgets and the
unconnected inputs of all its nodes, named and ordered like in the page.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from app.limits.json_types import Json
from app.workflows.conversion.definitions import Definitions, InputSpec, NodeClass
from app.workflows.conversion.model import Node
from app.workflows.conversion.virtual import PRIMITIVE, REROUTES, VIRTUAL

SEEDS = ("seed", "noise_seed")
GroupLink = tuple[int, int, int, int, str]  # origin index, slot, target index, slot, type


@dataclass(slots=True)
class GroupClass:
    """What an instance shows, with the corresponding inner node (by index) and name."""

    nodes: list[Node]
    links: list[GroupLink]
    specs: dict[str, InputSpec] = field(default_factory=dict)
    # Node index, inner name, outer name
    widgets: list[tuple[int, str, str]] = field(default_factory=list)
    inputs: list[tuple[int, str]] = field(default_factory=list)
    outputs: list[tuple[int, int]] = field(default_factory=list)

    def node_class(self, name: str) -> NodeClass:
        specs = list(self.specs.values())
        return NodeClass(name, specs, specs, [])


class GroupReader:
    def __init__(self, data: Json, nodes: list[Node], definitions: Definitions) -> None:
        self._definitions = definitions
        self._config: Json = data["config"] if isinstance(data.get("config"), dict) else {}
        self._seen: dict[str, int] = {}
        self._group = GroupClass(nodes, [*_links(data.get("links"), len(nodes))])
        self._linked_in = {(link[2], link[3]): link for link in self._group.links}
        self._linked_out = {(link[0], link[1]): link for link in reversed(self._group.links)}
        external = data.get("external")
        self._outside = {
            (int(item[0]), int(item[1]))
            for item in (external if isinstance(external, list) else ())
            if isinstance(item, list)
            and len(item) > 2
            and all(isinstance(x, int) for x in item[:2])
        }

    def read(self) -> GroupClass:
        converted: list[tuple[int, InputSpec]] = []
        for number, node in enumerate(self._group.nodes):
            specs, outputs = self._shape(number, node)
            slots = []
            for spec in specs:
                if not spec.is_widget:
                    slots.append(spec)
                elif any(slot.name == slot.widget == spec.name for slot in node.inputs):
                    converted.append((number, spec))
                else:
                    self._add_widget(number, spec)
            for place, spec in enumerate(slots):
                self._add_input(number, spec, place)
            self._add_outputs(number, outputs)
        for number, spec in converted:  # converted widgets come last, for all nodes
            if self._add_input(number, spec, 0):
                self._group.widgets.append((number, spec.name, next(reversed(self._group.specs))))
        return self._group

    def _shape(self, number: int, node: Node) -> tuple[list[InputSpec], int]:
        """Return the inputs and the number of outputs of an inner node."""
        node_class = self._definitions.get(node.type)
        if node_class is not None:
            return [*node_class.inputs], len(node_class.outputs)
        link = self._linked_out.get((number, 0))
        if node.type == PRIMITIVE and link is not None:
            return [self._primitive_spec(link)], 1
        if node.type in REROUTES and not self._is_inner_reroute(number):
            return [InputSpec("*", "*", {"forceInput": True})], 1
        return [], 0

    def _is_inner_reroute(self, number: int) -> bool:
        return (
            (number, 0) in self._linked_in
            and (number, 0) in self._linked_out
            and (number, 0) not in self._outside
        )

    def _primitive_spec(self, link: GroupLink) -> InputSpec:
        """Return a primitive's widget: the type of its first target, with a control widget."""
        target = self._group.nodes[link[2]]
        node_class = self._definitions.get(target.type)
        slot = target.inputs[link[3]] if link[3] < len(target.inputs) else None
        for spec in node_class.inputs if node_class and slot else ():
            if spec.name == (slot and slot.name):
                return InputSpec(
                    "value", spec.type, {**spec.options, "control_after_generate": True}
                )
        return InputSpec("value", link[4], {"control_after_generate": True})

    def _add_widget(self, number: int, spec: InputSpec) -> None:
        name = self._outer_name(number, spec.name)
        options = spec.options
        if spec.name in SEEDS:
            options = {**options, "control_after_generate": True}
        self._group.specs[name] = replace(spec, name=name, options=options)
        self._group.widgets.append((number, spec.name, name))

    def _add_input(self, number: int, spec: InputSpec, place: int) -> bool:
        """Show an input unless it is connected inside; return whether it is unconnected."""
        slots = [slot.name for slot in self._group.nodes[number].inputs]
        place = slots.index(spec.name) if spec.name in slots else place
        if (number, place) in self._linked_in:
            return False
        name = self._outer_name(number, spec.name)
        if not spec.is_widget and self._custom(number, "input", spec.name).get("visible") is False:
            return False
        self._group.specs[name] = replace(spec, name=name)
        self._group.inputs.append((number, spec.name))
        return True

    def _add_outputs(self, number: int, count: int) -> None:
        for slot in range(count):
            visible = self._custom(number, "output", str(slot)).get("visible")
            if visible is None:
                inner = (number, slot) in self._linked_out and (number, slot) not in self._outside
                visible = not inner
            if visible:
                self._group.outputs.append((number, slot))

    def _outer_name(self, number: int, name: str) -> str:
        """Return the name shown; prefixed with the node's title or type if it is already used."""
        node = self._group.nodes[number]
        custom = self._custom(number, "input", name).get("name")
        slot = node.input(name)
        label = custom if isinstance(custom, str) else slot.label if slot else ""
        key = outer = label or name
        if (node.type == PRIMITIVE and node.title) or outer in self._seen:
            prefix = node.title or node.type
            key = outer = f"{prefix} {name}"
            if outer in self._seen:
                outer = f"{prefix} {self._seen[outer]} {name}"
        self._seen[key] = self._seen.get(key, 1) + 1
        return outer

    def _custom(self, number: int, kind: str, name: str) -> Json:
        """Return the user's settings of an input or output: `{"name", "visible"}`."""
        found: Any = self._config
        for key in (str(number), kind, name):
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}


def is_possible(node: Node, definitions: Definitions) -> bool:
    return node.type in VIRTUAL or definitions.get(node.type) is not None


def _links(items: Any, count: int) -> Iterator[GroupLink]:
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, list) or len(item) < 4:
            continue
        ends = item[:4]
        if not all(isinstance(end, int) and not isinstance(end, bool) for end in ends):
            continue  # links from outside have no index
        if 0 <= ends[0] < count and 0 <= ends[2] < count and min(ends) >= 0:
            kind = item[5] if len(item) > 5 and isinstance(item[5], str) else "*"
            yield (ends[0], ends[1], ends[2], ends[3], kind)
