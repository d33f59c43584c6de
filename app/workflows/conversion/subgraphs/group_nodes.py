"""Converts group nodes to subgraphs, like the page does with old files.

Each instance becomes a separate subgraph: its nodes get new ids, then the subgraph node that
replaces the group node. The values of the group node are assigned to the inner nodes.
"""

from dataclasses import replace

from app.workflows.conversion.configure import connect
from app.workflows.conversion.definitions import Definitions
from app.workflows.conversion.layout import lay_out
from app.workflows.conversion.model import (
    INPUT_BOUNDARY,
    OUTPUT_BOUNDARY,
    Boundary,
    Document,
    Graph,
    Link,
    Node,
    Slot,
    Widget,
)
from app.workflows.conversion.reading import read_node
from app.workflows.conversion.resolution import types_match
from app.workflows.conversion.subgraphs.group_classes import GroupClass, GroupReader, is_possible
from app.workflows.conversion.values import restore, set_value
from app.workflows.conversion.virtual import PRIMITIVE

PREFIXES = ("workflow>", "workflow/")  # the second is the older prefix
NEW_NAME = "New Subgraph"


def unfold(document: Document, definitions: Definitions) -> None:
    """Replace all group nodes of the root whose inner node types the server knows."""
    used = {node_id for graph in document.graphs() for node_id in graph.nodes}
    links = len(document.root.links)
    for host in list(document.root.nodes.values()):
        name = next((host.type[len(p) :] for p in PREFIXES if host.type.startswith(p)), None)
        data = document.groups.get(name) if name is not None else None
        if isinstance(data, dict) and isinstance(data.get("nodes"), list):
            document.effort.copy(data)  # parsed anew for each instance
            document.effort.spend(links)
            nodes = [
                read_node({**item, "id": -1}) for item in data["nodes"] if isinstance(item, dict)
            ]
            known = [node for node in nodes if node and is_possible(node, definitions)]
            if known and len(known) == len(data["nodes"]):
                group = GroupReader(data, known, definitions).read()
                document.effort.make(2 * len(group.specs))
                Unfolding(document, definitions, host, group).run(used)


class Unfolding:
    """The conversion of one group node to a subgraph."""

    def __init__(
        self, document: Document, definitions: Definitions, host: Node, group: GroupClass
    ) -> None:
        self._root = document.root
        self._document = document
        self._definitions = definitions
        self._host = host
        self._group = group
        self._inside = Graph(f"group node {host.id}", NEW_NAME, {}, {})

    def run(self, used: set[str]) -> None:
        for node in self._group.nodes:
            node.id = self._document.mint_node_id(used)
            used.add(node.id)
            self._inside.nodes[node.id] = node
            node_class = self._definitions.get(node.type)
            if node_class is not None:
                saved = node.inputs
                lay_out(node, node_class)
                restore(node, node_class)
                self._document.effort.make(2 * (len(node.widgets) + len(node.inputs)))
                names = {slot.name for slot in node.inputs}
                node.inputs += [slot for slot in saved if slot.name not in names]
            elif node.type == PRIMITIVE:
                node.values = []  # the page loses their values here; the targets keep theirs
            for slot in node.inputs:
                slot.link_id = None  # links of a group are listed separately
        outside = self._connect_outside()
        self._hand_in_values(outside)
        for link in self._group.links:
            self._link_inside(*link[:4])
        new_host = self._new_host(used)
        self._bring_in(outside, new_host)
        self._bring_out(new_host)
        self._document.subgraphs[self._inside.id] = self._inside

    def _connect_outside(self) -> Node:
        """Return the group node laid out with its values and links."""
        outer = replace(self._host)
        node_class = self._group.node_class(self._host.type)
        lay_out(outer, node_class)
        restore(outer, node_class)
        links = [link for link in self._root.links.values() if link.target == self._host.id]
        for lost in connect(outer, self._host.inputs, links):
            del self._root.links[lost.id]
        return outer

    def _hand_in_values(self, outer: Node) -> None:
        """Assign the shown values to the inner widgets; equal names in order."""
        shown: dict[str, list[Widget]] = {}
        for widget in reversed(outer.widgets):
            shown.setdefault(widget.name, []).append(widget)
        for number, inner_name, outer_name in self._group.widgets:
            node = self._group.nodes[number]
            inner = node.widget(inner_name)
            if inner is not None and shown.get(outer_name):
                set_value(node, inner, shown[outer_name].pop().value)
        for node in self._group.nodes:
            if node.type != PRIMITIVE:
                node.values = {widget.name: widget.value for widget in node.widgets if widget.saved}

    def _link_inside(self, source: int, slot: int, target: int, place: int) -> None:
        origin, node = self._group.nodes[source], self._group.nodes[target]
        if place >= len(node.inputs) or not _may_connect(origin, slot, node.inputs[place]):
            return
        self._add(Link(f"{target}:{place}", origin.id, slot, node.id, place), node.inputs[place])

    def _add(self, link: Link, slot: Slot) -> None:
        """Add a link; it replaces an earlier one of the same input."""
        if slot.link_id is not None:
            self._inside.links.pop(slot.link_id, None)
        slot.link_id = link.id
        self._inside.links[link.id] = link

    def _new_host(self, used: set[str]) -> Node:
        new_id = self._document.mint_node_id(used)
        used.add(new_id)
        host = Node(new_id, self._inside.id, NEW_NAME, 0, [], [], [], {})
        del self._root.nodes[self._host.id]
        self._root.nodes[new_id] = host
        return host

    def _bring_in(self, outer: Node, host: Node) -> None:
        """Redirect links to the group node through an input of the subgraph each."""
        for place, (number, name) in enumerate(self._group.inputs):
            link = outer.inputs[place].link if place < len(outer.inputs) else None
            node = self._group.nodes[number]
            slot = node.input(name)
            self._document.effort.spend(len(node.inputs) // 8)
            origin = self._root.nodes.get(link.origin) if link else None
            if link is None or slot is None or origin is None:
                continue
            if not _may_connect(origin, link.origin_slot, slot):
                continue
            border = len(self._inside.inputs)
            inner = Link(f"in {border}", INPUT_BOUNDARY, border, node.id, node.inputs.index(slot))
            self._add(inner, slot)
            self._inside.inputs.append(Boundary(f"{border}", slot.type, [inner.id]))
            host.inputs.append(Slot(f"{border}", slot.type, link_id=link.id))
            link.target, link.target_slot = host.id, border
        for link in [*self._root.links.values()]:
            if link.target == self._host.id:
                del self._root.links[link.id]

    def _bring_out(self, host: Node) -> None:
        for link in [*self._root.links.values()]:
            if link.origin != self._host.id:
                continue
            found = self._output(link)
            if found is None:
                del self._root.links[link.id]
                continue
            node, slot = found
            border = len(self._inside.outputs)
            inner = Link(f"out {border}", node.id, slot, OUTPUT_BOUNDARY, border)
            self._inside.links[inner.id] = inner
            self._inside.outputs.append(Boundary(f"{border}", "*", [inner.id]))
            link.origin, link.origin_slot = host.id, border

    def _output(self, link: Link) -> tuple[Node, int] | None:
        """Return the inner output behind a link of the group node, if its type fits the target."""
        target = self._root.nodes.get(link.target)
        if target is None or not 0 <= link.origin_slot < len(self._group.outputs):
            return None
        number, slot = self._group.outputs[link.origin_slot]
        node = self._group.nodes[number]
        sockets = [socket for socket in target.inputs if socket.link_id == link.id]
        return (node, slot) if all(_may_connect(node, slot, s) for s in sockets) else None


def _may_connect(origin: Node, slot: int, target: Slot) -> bool:
    """Return whether the page makes this link; it checks types when it rebuilds a group."""
    if origin.type == PRIMITIVE:
        return target.widget is not None
    kind = origin.outputs[slot].type if 0 <= slot < len(origin.outputs) else "*"
    return types_match(kind, target.type)
