"""Promoted widgets: inner widgets that are shown and set on the subgraph node.

An input of a subgraph that leads to a widget is promoted: each instance has its own value for it,
which is used if the input is not connected. Until it is set the inner value is used. Nested
subgraphs pass the value through.
"""

import json
from dataclasses import dataclass
from typing import Any

from app.errors import PayloadTooLarge
from app.limits.json_types import Json
from app.workflows.conversion.layout import choices
from app.workflows.conversion.model import Boundary, Document, Drawn, Graph, Node, Slot, Widget
from app.workflows.json_text import check_values

MAX_LISTED = 20_000  # values in the JSON text of a property
OWN_INPUT = "-1"  # in place of a node id: the subgraph's own input


@dataclass(frozen=True, slots=True)
class Promoted:
    """A promoted value, and its identity if the inner widget is marked to be drawn anew."""

    value: Any
    drawn: Drawn | None


class Promotions:
    """The inputs of subgraphs that lead to a widget, and the values set on instances."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._sources: dict[str, dict[str, tuple[Node, Slot] | None]] = {}

    def source(self, definition: Graph, boundary: Boundary) -> tuple[Node, Slot] | None:
        """Return the inner node and input that a promoted input leads to, one level down."""
        known = self._sources.setdefault(definition.id, {})
        if boundary.name not in known:
            known[boundary.name] = self._find(definition, boundary)
        return known[boundary.name]

    def _find(self, definition: Graph, boundary: Boundary) -> tuple[Node, Slot] | None:
        for link in definition.links_of(boundary):
            self._document.effort.spend(1)
            target = definition.target_of(link)
            if target and self._has_widget(*target):
                return target
        return None

    def _has_widget(self, node: Node, slot: Slot) -> bool:
        inner = self._document.definition(node)
        if inner is None:
            return node.widget(slot.widget) is not None
        boundary = inner.input(slot.name)  # cached, as inner subgraphs are settled first
        return boundary is not None and self.source(inner, boundary) is not None

    def target(self, definition: Graph, boundary: Boundary) -> tuple[str, str] | None:
        """Return the inner node id and the widget or input name that an input leads to."""
        for link in definition.links_of(boundary):
            self._document.effort.spend(1)
            node, slot = definition.target_of(link) or (None, None)
            if node is None or slot is None:
                continue
            if self._document.definition(node) is not None:
                return node.id, slot.name
            if node.widget(slot.widget) is not None:
                return node.id, str(slot.widget)
        return None

    def forget(self, definition: Graph) -> None:
        """Drop the cache of a subgraph whose inputs have changed."""
        self._sources.pop(definition.id, None)

    def value(self, node: Node, name: str) -> Promoted | None:
        """Return the value of an instance's promoted input; None if it is not promoted."""
        set_here: list[tuple[Any, int]] = []
        while (definition := self._document.definition(node)) is not None:
            self._document.effort.spend(1)
            if name in node.promoted:
                set_here.append((node.promoted[name], id(node)))
            boundary = definition.input(name)
            found = self.source(definition, boundary) if boundary else None
            if found is None:
                return None
            node, slot = found
            name = slot.name
            widget = node.widget(slot.widget)
            if widget is not None:
                if not set_here:
                    return Promoted(widget.value, widget.drawn)
                value, owner = set_here[0]  # the outermost instance that sets the value
                return Promoted(_mended(value, widget), widget.drawn and (*widget.drawn, owner))
        return None

    def settle(self, graph: Graph) -> None:
        """Read the values of the graph's subgraph nodes."""
        for boundary in graph.inputs:
            self.source(graph, boundary)
        for node in graph.nodes.values():
            definition = self._document.definition(node)
            if definition is not None:
                self._read_values(node, definition)

    def _read_values(self, node: Node, definition: Graph) -> None:
        """Read `widgets_values`: one value for each promoted input, in order."""
        self._document.effort.spend(len(definition.inputs))
        kept = quarantined(node.properties)
        values = iter(node.values if isinstance(node.values, list) else ())
        for boundary in definition.inputs:
            if self.source(definition, boundary) is None:
                continue
            value = kept.get(boundary.name, next(values, ...))
            if value is not ...:
                node.promoted[boundary.name] = value


def _mended(value: Any, widget: Widget) -> Any:
    """Return the first choice for a combo without a value."""
    if value is None and widget.type == "COMBO":
        return next(iter(choices(widget.options)), None)
    return value


def quarantined(properties: Json) -> Json:
    """Return the values by input that an earlier version of the page could not assign."""
    entries = listed(properties.get("proxyWidgetErrorQuarantine"))
    found: Json = {}
    for entry in entries:
        match entry:
            case {"originalEntry": [node_id, name, *_], "hostValue": value} if node_id == OWN_INPUT:
                found.setdefault(str(name), value)
    return found


def listed(value: Any) -> list[Any]:
    """Return a property that is a list or the JSON text of one."""
    if isinstance(value, str):
        try:
            check_values(value.encode(), MAX_LISTED)
            value = json.loads(value)
        except (ValueError, RecursionError, PayloadTooLarge):
            return []
    return value if isinstance(value, list) else []
