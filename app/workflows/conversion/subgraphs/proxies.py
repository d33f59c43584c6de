"""Promoted widgets in files before 1.58: `properties.proxyWidgets` of a subgraph node.

Each entry `[node id, widget name]` is an inner widget, and `widgets_values` of the subgraph node
has a value for each entry, in order. When the page opens such a file it adds an input to the
subgraph for each widget that no input leads to; so does this module.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.workflows.conversion.model import (
    INPUT_BOUNDARY,
    Boundary,
    Document,
    Graph,
    Link,
    Node,
    Slot,
    Widget,
)
from app.workflows.conversion.subgraphs.promotion import OWN_INPUT, Promotions, listed
from app.workflows.conversion.virtual import PRIMITIVE

PROPERTY = "proxyWidgets"
BYPASS_MARK = "proxyBypassedToSubgraphInput"
NESTED_PREFIX = re.compile(r"\s*(\d+)\s*:\s*(.+)")
PREVIEW = "$$"
LIMITS = ("min", "max", "step", "round")


@dataclass(frozen=True, slots=True)
class ProxyEntry:
    node_id: str
    widget: str
    inner_id: str | None  # node id in a nested subgraph, where names alone are ambiguous
    own_input: str | None  # set if the entry is an input of the subgraph itself
    value: tuple[Any] | None  # boxed; None if the file has no value


def adopt(document: Document, promotions: Promotions, graph: Graph) -> None:
    """Convert the entries of all subgraph nodes of the graph to inputs and values."""
    for node in graph.nodes.values():
        definition = document.definition(node)
        if definition is not None and PROPERTY in node.properties:
            Adoption(document, promotions, node, definition).run()


class Adoption:
    """The entries of one subgraph node."""

    def __init__(
        self, document: Document, promotions: Promotions, host: Node, definition: Graph
    ) -> None:
        self._document = document
        self._promotions = promotions
        self._host = host
        self._definition = definition
        document.effort.spend(len(definition.inputs))
        self._counts: dict[str, int] = {}  # number of inputs by name
        self._taken = {boundary.name for boundary in definition.inputs}
        targets = [(promotions.target(definition, b), b.name) for b in definition.inputs]
        self._leading_to = {target: name for target, name in reversed(targets) if target}

    def run(self) -> None:
        # All entries are resolved before any change: of two for one widget, the second gets it.
        placed = [(entry, self._linked_input(entry)) for entry in self._entries()]
        primitives: dict[str, list[ProxyEntry]] = {}
        for entry, linked in placed:
            source = self._definition.nodes.get(entry.node_id)
            if linked is None and source is not None and source.type == PRIMITIVE:
                primitives.setdefault(source.id, []).append(entry)
            else:
                self._place(entry, linked, source)
        for entry, linked in placed:
            if linked is None and entry.node_id not in self._definition.nodes:
                self._set(entry.own_input, entry)
        self._replace_primitives(primitives)

    def _place(self, entry: ProxyEntry, linked: str | None, source: Node | None) -> None:
        """Set the input that leads to the widget, adding one if there is none."""
        slot = self._slot(source, entry) if linked is None and source is not None else None
        if slot is not None and source is not None:
            linked = self._promote(entry.widget, slot.type, [(source, slot)])
        self._set(linked, entry)

    def _entries(self) -> Iterator[ProxyEntry]:
        items = listed(self._host.properties[PROPERTY])
        if not all(_is_entry(item) for item in items):
            return
        values = self._host.values if isinstance(self._host.values, list) else []
        for place, (node_id, name, *rest) in enumerate(items):
            inner_id = rest[0] if rest else None
            own_input = name if node_id == OWN_INPUT else None
            value = (values[place],) if place < len(values) else None
            if not self._leads_to_widget(node_id, name):
                while found := NESTED_PREFIX.fullmatch(name):
                    self._document.effort.read(name)
                    inner_id, name = found.groups()
            yield ProxyEntry(node_id, name, inner_id, own_input, value)

    def _leads_to_widget(self, node_id: str, name: str) -> bool:
        graph: Graph | None = self._definition
        while graph is not None:
            self._document.effort.spend(2)
            node = graph.nodes.get(node_id)
            if node is None:
                return False
            graph = self._document.definition(node)
            if graph is None:
                return node.widget(name) is not None
            boundary = graph.input(name)
            target = self._promotions.target(graph, boundary) if boundary else None
            if target is None:
                return False
            node_id, name = target
        return False

    def _linked_input(self, entry: ProxyEntry) -> str | None:
        """Return the input of the subgraph that already leads to the widget, or None."""
        name = self._leading_to.get((entry.node_id, entry.widget))
        if name is not None:
            return name
        source = self._definition.nodes.get(entry.node_id)
        mark = source.properties.get(BYPASS_MARK) if source and source.type == PRIMITIVE else None
        return mark if isinstance(mark, str) and self._definition.input(mark) else None

    def _slot(self, source: Node, entry: ProxyEntry) -> Slot | None:
        """Return the inner input of the entry's widget."""
        if entry.widget.startswith(PREVIEW):
            return None
        inner = self._document.definition(source)
        if inner is None:
            widget = source.widget(entry.widget)
            return next((s for s in source.inputs if widget and s.widget == widget.name), None)
        self._document.effort.spend(len(inner.inputs))
        found = [b for b in inner.inputs if self._promotions.source(inner, b) is not None]
        targets = [self._promotions.target(inner, boundary) for boundary in found]
        by_node = [
            boundary
            for boundary, target in zip(found, targets, strict=True)
            if target is not None and target == (entry.inner_id or target[0], entry.widget)
        ]
        by_name = [boundary for boundary in found if boundary.name == entry.widget]
        first, second = (by_node, by_name) if entry.inner_id is not None else (by_name, by_node)
        best = next(iter([*first, *second]), None)
        return source.input(best.name) if best is not None else None

    def _set(self, name: str | None, entry: ProxyEntry) -> None:
        boundary = self._definition.input(name) if name is not None else None
        if boundary is None or entry.value is None:
            return
        if self._promotions.source(self._definition, boundary) is not None:
            self._host.promoted[boundary.name] = entry.value[0]

    def _promote(self, name: str, kind: str, targets: list[tuple[Node, Slot]]) -> str:
        """Add an input to the subgraph that leads to these inner inputs; return its name."""
        unique, number = name, self._counts.get(name, 0)
        while unique in self._taken:
            number += 1
            unique = f"{name}_{number}"
        self._taken.add(unique)
        self._counts[name] = number
        self._document.effort.read(unique)
        boundary = Boundary(unique, kind, [])
        for node, slot in targets:
            if slot.link is not None:
                self._definition.links.pop(slot.link.id, None)
            link_id = f"{unique}>{node.id}:{slot.name}"
            self._document.effort.spend(len(node.inputs) // 8)
            place = node.inputs.index(slot)
            border = len(self._definition.inputs)
            slot.link = Link(link_id, INPUT_BOUNDARY, border, node.id, place)
            self._definition.links[link_id] = slot.link
            boundary.link_ids.append(link_id)
        self._definition.inputs.append(boundary)
        self._promotions.forget(self._definition)
        return unique

    def _replace_primitives(self, primitives: dict[str, list[ProxyEntry]]) -> None:
        outgoing: dict[str, list[Link]] = {}
        self._document.effort.spend(2 * len(self._definition.links) if primitives else 0)
        for link in self._definition.links.values() if primitives else ():
            outgoing.setdefault(link.origin, []).append(link)
        for node_id, entries in primitives.items():
            links = [link for link in outgoing.get(node_id, ()) if link.origin_slot == 0]
            self._replace_primitive(self._definition.nodes[node_id], entries, links)

    def _replace_primitive(
        self, primitive: Node, entries: list[ProxyEntry], links: list[Link]
    ) -> None:
        """Replace a promoted primitive: its targets are connected to an input of the subgraph."""
        targets = [self._definition.target_of(link) for link in links]
        found = [target for target in targets if target is not None]
        kind = primitive.outputs[0].type if primitive.outputs else "*"
        same_widget = len({entry.widget for entry in entries}) == 1
        if not found or len(found) < len(links) or not same_widget or not _alike(found, kind):
            return
        if isinstance(primitive.values, list) and len(primitive.values) > 1:
            mark = Widget("control_after_generate", "CONTROL", primitive.values[1])
            for node, slot in found:
                if widget := node.widget(slot.widget):
                    widget.control = mark
        title = primitive.title if primitive.title != PRIMITIVE else ""
        name = self._promote(title or entries[0].widget, kind, found)
        primitive.properties = {**primitive.properties, BYPASS_MARK: name}
        self._set(name, next((entry for entry in entries if entry.value), entries[0]))


def _is_entry(item: Any) -> bool:
    return (
        isinstance(item, list)
        and len(item) in (2, 3)
        and all(isinstance(part, str) for part in item)
    )


def _alike(targets: list[tuple[Node, Slot]], kind: str) -> bool:
    """Return whether one input can lead to all targets: same type, widgets with equal limits."""
    if kind != "*" and any(slot.type not in (kind, "*") for _, slot in targets):
        return False
    widgets = [widget for node, slot in targets if (widget := node.widget(slot.widget))]
    return len({_limits(widget) for widget in widgets}) <= 1


def _limits(widget: Widget) -> str:
    return repr((widget.type, [widget.options.get(name) for name in LIMITS]))
