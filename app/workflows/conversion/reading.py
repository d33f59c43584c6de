"""Parses a file of any version into the model; tolerates malformed parts.

Links are arrays `[id, origin, slot, target, slot, type]` in schema 0.4 and objects in schema 1.0
and in subgraphs; ids are numbers or strings. Native reroutes need no handling: they only affect
drawing, and links have their actual ends. Unreadable parts are skipped with a warning.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from app.errors import InvalidWorkflow
from app.limits.json_types import Json
from app.limits.quoting import quoted
from app.workflows.conversion.everywhere import connect_saved
from app.workflows.conversion.model import Boundary, Document, Graph, Link, Node, Slot
from app.workflows.conversion.refusing import refused

MAX_SLOTS = 1000  # per node; real ones have a few dozen
MAX_TITLE = 500  # characters, as other names include it
LARGEST = 2**53  # larger integers are not exact in JavaScript
EVERYWHERE_FIELDS = ("upstream", "upstream_slot", "downstream", "downstream_slot")
LINK_FIELDS = ("id", "origin_id", "origin_slot", "target_id", "target_slot")


def read(workflow: Any) -> Document:
    """Parse a file. Raises InvalidWorkflow if it has no graph."""
    if not isinstance(workflow, dict) or not isinstance(workflow.get("nodes"), list):
        raise InvalidWorkflow('The workflow has no "nodes" (an array).')
    extra = _object(workflow.get("extra"))
    groups = _object(extra.get("groupNodes"))
    document = Document(Graph("", "", {}, {}), {}, groups, _last_id(workflow), [])
    document.root = _graph(document, workflow, document.twins)
    document.root.id = ""
    for data in _definitions(workflow):
        graph = _graph(document, data, [])
        if graph.id:
            document.subgraphs.setdefault(graph.id, graph)
    return document


def _definitions(workflow: Json) -> Iterator[Json]:
    """Yield all subgraph definitions, including nested ones."""
    pending = deque([workflow])
    while pending:
        found = _items(_object(pending.popleft().get("definitions")).get("subgraphs"))
        yield from (data for data in found if isinstance(data, dict))
        pending.extend(data for data in found if isinstance(data, dict))


def _last_id(workflow: Json) -> int:
    state = _object(workflow.get("state"))
    return max(_integer(workflow.get("last_node_id")), _integer(state.get("lastNodeId")), 0)


def _graph(document: Document, data: Json, twins: list[Node]) -> Graph:
    name = _text(data.get("name"))
    nodes: dict[str, Node] = {}
    for number, item in enumerate(_items(data.get("nodes"))):
        node = read_node(item)
        if node is None:
            document.warn(
                f"Item {number} of the nodes{f' of {quoted(name)}' if name else ''} is no node."
            )
        elif node.id in nodes:
            document.warn(f"Node {node.id} stands twice in the file; links are the first one's.")
            twins.append(node)
        else:
            nodes[node.id] = node
    inputs, outputs = _boundaries(data.get("inputs")), _boundaries(data.get("outputs"))
    links = _links(data, nodes.values(), (*inputs, *outputs))
    graph = Graph(_text(data.get("id")), name, nodes, links, inputs, outputs)
    connect_saved(document, graph, _everywhere(data))
    return graph


def _everywhere(data: Json) -> list[Link]:
    """Return the links of Use Everywhere that are listed in the file."""
    items = _items(_object(data.get("extra")).get("ue_links"))
    found = (
        _link([f"everywhere>{number}", *map(item.get, EVERYWHERE_FIELDS)])
        for number, item in enumerate(items)
        if isinstance(item, dict)
    )
    return [link for link in found if link is not None]


def read_node(item: Any) -> Node | None:
    if not isinstance(item, dict) or not isinstance(item.get("type"), str):
        return None
    node_id = _id(item.get("id"))
    if node_id is None:
        return None
    inputs, outputs = _items(item.get("inputs")), _items(item.get("outputs"))
    if max(len(inputs), len(outputs)) > MAX_SLOTS:
        message = f"It has more than {MAX_SLOTS} inputs or outputs."
        raise refused(node_id, item["type"], "too_many_slots", message)
    values = item.get("widgets_values")
    return Node(
        id=node_id,
        type=item["type"],
        title=_text(item.get("title"))[:MAX_TITLE],
        mode=_integer(item.get("mode")),
        inputs=[_slot(slot) for slot in inputs],
        outputs=[_slot(slot) for slot in outputs],
        values=values if isinstance(values, list | dict) else [],
        properties=_object(item.get("properties")),
    )


def _slot(item: Any) -> Slot:
    slot = _object(item)
    widget = _object(slot.get("widget")).get("name")
    return Slot(
        name=_text(slot.get("name")),
        type=slot_type(slot.get("type")),
        widget=widget if isinstance(widget, str) else None,
        link_id=_id(slot.get("link")),
        label=_text(slot.get("label")),
    )


def slot_type(value: Any) -> str:
    """Return a socket's type. Old files list a combo's choices instead; 0 and -1 are wildcards."""
    if isinstance(value, list):
        return ",".join(item for item in value if isinstance(item, str)) or "*"
    return value if isinstance(value, str) and value else "*"


def _boundaries(value: Any) -> list[Boundary]:
    slots = [_object(item) for item in _items(value)]
    return [
        Boundary(
            _text(slot.get("name")),
            slot_type(slot.get("type")),
            [found for item in _items(slot.get("linkIds")) if (found := _id(item)) is not None],
        )
        for slot in slots
    ]


def _links(data: Json, nodes: Iterable[Node], boundaries: Iterable[Boundary]) -> dict[str, Link]:
    """Return the links by id, one per input.

    If two links have the same input the first is kept, unless they differ and only the second is
    named by its node. References to a dropped link are changed to the kept one.
    """
    slots = [slot for node in nodes for slot in node.inputs]
    named = {slot.link_id for slot in slots}
    taken: dict[tuple[str, int], Link] = {}
    dropped: dict[str, Link] = {}
    for link in filter(None, map(_link, _items(data.get("links")))):
        rival = taken.setdefault((link.target, link.target_slot), link)
        if rival is link:
            continue
        same = (rival.origin, rival.origin_slot) == (link.origin, link.origin_slot)
        if not same and link.id in named and rival.id not in named:
            taken[link.target, link.target_slot] = link
            link, rival = rival, link
        dropped[link.id] = rival
    links = {link.id: link for link in reversed(taken.values())}
    for slot in slots:
        slot.link_id = _survivor(slot.link_id, links, dropped)
    for boundary in boundaries:
        found = (_survivor(link_id, links, dropped) for link_id in boundary.link_ids)
        boundary.link_ids = list(dict.fromkeys(link_id for link_id in found if link_id is not None))
    return dict(reversed(links.items()))


def _survivor(link_id: str | None, links: dict[str, Link], dropped: dict[str, Link]) -> str | None:
    if link_id in links or link_id not in dropped:
        return link_id
    return dropped[link_id].id


def _link(item: Any) -> Link | None:
    if isinstance(item, dict):
        item = [item.get(name) for name in LINK_FIELDS]
    if not isinstance(item, list) or len(item) < len(LINK_FIELDS):
        return None
    link_id, origin, target = _id(item[0]), _id(item[1]), _id(item[3])
    if link_id is None or origin is None or target is None:
        return None
    return Link(link_id, origin, _integer(item[2]), target, _integer(item[4]))


def _id(value: Any) -> str | None:
    """Return an id as text, since files mix 3 and "3"."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str):
        return value
    usable = isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST
    return str(value) if usable else None


def _integer(value: Any) -> int:
    """Convert a slot index, which is text in some files."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
