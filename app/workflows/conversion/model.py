"""The graph as ComfyUI's page has it after loading a file; all passes operate on it.

A file has one root graph and any number of subgraph definitions; both are a `Graph`. Nothing is
shared with the caller's JSON, so passes may modify it.
"""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Any

from app.limits.json_types import Json
from app.workflows.conversion.effort import Effort

# Node ids of the two boundaries of a subgraph.
INPUT_BOUNDARY = "-10"
OUTPUT_BOUNDARY = "-20"

MUTED, BYPASSED = 2, 4

# The value of a widget without one: JavaScript's undefined, which is not sent. None is null.
UNSET = ...

NUMBER = re.compile("0|[1-9][0-9]{0,14}")


def as_number(text: str) -> int | None:
    """Return an id as a number if it is in JavaScript's canonical notation."""
    return int(text) if NUMBER.fullmatch(text) else None


# Identity of a value that the page draws anew: equal for all inputs that share the value.
Drawn = tuple[int, ...]


def is_drawn(mark: Any) -> bool:
    """Return whether a value of `control_after_generate` means to draw a new one."""
    return isinstance(mark, str) and mark == "randomize"


MAX_WARNINGS, MAX_WARNING = 1000, 300  # warnings per conversion, and characters of each


class NameIndex:
    """Index of the first item of each name in a list, updated when the list grows."""

    def __init__(self) -> None:
        self._items: list[Any] | None = None
        self._count = 0
        self._found: Json = {}

    def get(self, items: list[Any], name: str | None) -> Any:
        if self._items is not items or self._count > len(items):
            self._items, self._count, self._found = items, 0, {}
        for item in items[self._count :]:
            self._found.setdefault(item.name, item)
        self._count = len(items)
        return self._found.get(name) if name is not None else None


@dataclass(slots=True, eq=False)
class Link:
    """A link from an output (or a subgraph's input) to an input (or a subgraph's output)."""

    id: str
    origin: str
    origin_slot: int
    target: str
    target_slot: int

    @property
    def age(self) -> tuple[int, str]:
        """Sort key: by ids, which are usually numbers."""
        return (as_number(self.id) or 0, self.id)


@dataclass(slots=True, eq=False)
class Slot:
    """A socket; `widget` is the name of the widget of an input socket, if any."""

    name: str
    type: str
    widget: str | None = None
    link_id: str | None = None  # as in the file; `link` is the actual one
    link: Link | None = None
    label: str = ""


@dataclass(slots=True, eq=False)
class Widget:
    """A value on a node; `type` is the widget's type, `options` the options of its definition."""

    name: str
    type: str
    value: Any
    options: Json = field(default_factory=dict)
    saved: bool = True  # has a place in `widgets_values`
    sent: bool = True  # included in the prompt
    control: "Widget | None" = None  # determines how the page changes the value after a run

    @property
    def drawn(self) -> Drawn | None:
        """Identity of the value if the page draws it anew for each run, else None."""
        return (id(self.control),) if self.control and is_drawn(self.control.value) else None


@dataclass(slots=True, eq=False)
class Node:
    id: str
    type: str
    title: str
    mode: int
    inputs: list[Slot]
    outputs: list[Slot]
    values: list[Any] | Json
    properties: Json
    widgets: list[Widget] = field(default_factory=list)
    groups: set[str] = field(default_factory=set)  # names of autogrow groups
    promoted: Json = field(default_factory=dict)  # subgraph input name -> value set on this node
    _widget_index: NameIndex = field(default_factory=NameIndex)
    _input_index: NameIndex = field(default_factory=NameIndex)

    @property
    def off(self) -> bool:
        return self.mode in (MUTED, BYPASSED)

    def widget(self, name: str | None) -> Widget | None:
        found: Widget | None = self._widget_index.get(self.widgets, name)
        return found

    def input(self, name: str) -> Slot | None:
        found: Slot | None = self._input_index.get(self.inputs, name)
        return found


@dataclass(slots=True, eq=False)
class Boundary:
    """An input or output of a subgraph, with its links inside."""

    name: str
    type: str
    link_ids: list[str]


@dataclass(slots=True, eq=False)
class Graph:
    id: str
    name: str
    nodes: dict[str, Node]
    links: dict[str, Link]
    inputs: list[Boundary] = field(default_factory=list)
    outputs: list[Boundary] = field(default_factory=list)
    sends_everywhere: bool = True  # by rules; False if the file lists the links
    _input_index: NameIndex = field(default_factory=NameIndex)

    def input(self, name: str) -> Boundary | None:
        found: Boundary | None = self._input_index.get(self.inputs, name)
        return found

    def links_of(self, boundary: Boundary) -> Iterator[Link]:
        return (self.links[link_id] for link_id in boundary.link_ids if link_id in self.links)

    def target_of(self, link: Link) -> tuple[Node, Slot] | None:
        """Return the node and the input at the end of a link, if they exist."""
        node = self.nodes.get(link.target)
        if node is None or not 0 <= link.target_slot < len(node.inputs):
            return None
        return node, node.inputs[link.target_slot]


@dataclass(slots=True)
class Document:
    """A file: the root graph and the subgraph definitions, inner ones first."""

    root: Graph
    subgraphs: dict[str, Graph]
    groups: Json
    last_node_id: int
    warnings: list[str]
    twins: list[Node] = field(default_factory=list)  # nodes of the root with duplicate ids
    effort: Effort = field(default_factory=Effort)

    def warn(self, text: str) -> None:
        """Add a warning, up to MAX_WARNINGS."""
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(text if len(text) <= MAX_WARNING else f"{text[:MAX_WARNING]}...")

    def graphs(self) -> list[Graph]:
        return [*self.subgraphs.values(), self.root]

    def definition(self, node: Node) -> Graph | None:
        """Return the subgraph that a node is an instance of, or None."""
        return self.subgraphs.get(node.type)

    def mint_node_id(self, used: Container[str]) -> str:
        self.last_node_id += 1
        while str(self.last_node_id) in used:
            self.last_node_id += 1
        return str(self.last_node_id)
