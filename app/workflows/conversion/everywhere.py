"""Use Everywhere (custom node pack): nodes that send to all unconnected inputs of a type.

The pack adds these links in the page, just before the prompt is created; files do not contain them.
Newer versions save them in `extra.ue_links`. For older ones the simple rules are implemented here;
a warning is given for rules with regular expressions, groups or colors.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from app.limits.json_types import Json
from app.limits.quoting import quoted
from app.workflows.conversion.definitions import Definitions
from app.workflows.conversion.model import (
    INPUT_BOUNDARY,
    OUTPUT_BOUNDARY,
    Document,
    Graph,
    Link,
    Node,
    Slot,
)
from app.workflows.conversion.virtual import EVERYWHERE, PRIMITIVE, REROUTES, VIRTUAL

ANYTHING, PROMPTS, SEED = "Anything Everywhere", "Prompts Everywhere", "Seed Everywhere"
BY_PATTERN = "Anything Everywhere?"
SEEDS = ("seed", "noise_seed")
PROMPT_NAMES = ("pos", "neg")  # name prefixes of the inputs that its first and second input go to
# Alternatives of plain words: other regular expressions from a file are not executed.
_SIMPLE = re.compile(r"(\^?[\w -]+\$?)(\|\^?[\w -]+\$?)*")
SEARCH = 50  # objects charged per search of an expression
LONGEST = 100  # maximum characters of an expression
WAY_OUT = "If an input is missing, send the API format (Workflow > Export (API))."


@dataclass(frozen=True, slots=True)
class Broadcast:
    """What one input of a node sends, and the inputs of its type that receive it."""

    node: Node
    origin: str
    slot: int
    type: str
    priority: int
    suits: Callable[[Node, Slot], bool]
    by_name: bool = False
    seeds: bool = False


def connect_saved(document: Document, graph: Graph, links: list[Link]) -> None:
    """Add the links that the file lists, unless the input is connected."""
    taken = {(link.target, link.target_slot) for link in graph.links.values()}
    for link in links:
        if (link.target, link.target_slot) in taken:
            continue
        if not (_begins(graph, link) and _ends(graph, link)):
            document.warn(
                f"Use Everywhere's link from node {quoted(link.origin)} to node "
                f"{quoted(link.target)} leads nowhere. {WAY_OUT}"
            )
            continue
        taken.add((link.target, link.target_slot))
        graph.links[link.id] = link
        graph.sends_everywhere = False  # all links are listed in the file


def _begins(graph: Graph, link: Link) -> bool:
    if link.origin != INPUT_BOUNDARY:
        return link.origin in graph.nodes
    if 0 <= link.origin_slot < len(graph.inputs):
        graph.inputs[link.origin_slot].link_ids.append(link.id)
        return True
    return False


def _ends(graph: Graph, link: Link) -> bool:
    if link.target == OUTPUT_BOUNDARY:
        if 0 <= link.target_slot < len(graph.outputs):
            graph.outputs[link.target_slot].link_ids.append(link.id)
            return True
        return False
    found = graph.target_of(link)
    if found is not None:
        found[1].link_id = link.id
    return found is not None


def take_seeds(document: Document, definitions: Definitions) -> None:
    """Treat the pack's seed node as a primitive if no server has its class."""
    if definitions.get(SEED) is None:
        for graph in document.graphs():
            for node in graph.nodes.values():
                if node.type == SEED:
                    node.outputs = [Slot(slot.name, "INT") for slot in node.outputs[:1]]
                    node.outputs = node.outputs or [Slot("int", "INT")]
                    node.type = PRIMITIVE
                    node.properties = {**node.properties, SEED: True}


def broadcast(document: Document, graph: Graph, saved: dict[str, set[str]]) -> None:
    """Connect what the nodes of the graph send everywhere.

    `saved`: the inputs in the file by node; a widget that is not an input there receives nothing.
    """
    if not graph.sends_everywhere:
        return
    found = [one for node in graph.nodes.values() for one in _sent_by(document, graph, node)]
    by_name = sum(one.by_name for one in found)
    for node in graph.nodes.values() if found else ():
        if node.off or node.type in VIRTUAL or node.properties.get("rejects_ue_links"):
            continue
        for place, slot in enumerate(node.inputs):
            if slot.link is not None:
                continue
            document.effort.make(len(found) + SEARCH * by_name)
            best = _best(document, node, slot, found, saved.get(node.id, set()))
            if best is not None:
                name = f"everywhere>{node.id}:{place}"
                slot.link = Link(name, best.origin, best.slot, node.id, place)
                graph.links[name] = slot.link


def _is_open(node: Node, slot: Slot, saved: set[str], *, to_seeds: bool) -> bool:
    """Return whether an input may receive: all sockets do, and widgets that are inputs."""
    own = _object(node.properties.get("ue_properties"))
    chosen = own.get("widget_ue_connectable", node.properties.get("widget_ue_connectable"))
    if slot.widget is None:
        return not _object(own.get("input_ue_unconnectable")).get(slot.name)
    if isinstance(chosen, dict):  # newer versions of the pack select widgets individually
        return bool(chosen.get(slot.name))
    # Files of newer pages list all widgets among the inputs.
    is_old = any(other.widget and other.name not in saved for other in node.inputs)
    return slot.name in saved and (to_seeds or is_old)


def _best(
    document: Document, node: Node, slot: Slot, found: list[Broadcast], saved: set[str]
) -> Broadcast | None:
    fitting = [
        one
        for one in found
        if one.type == slot.type
        and one.origin != node.id
        and _is_open(node, slot, saved, to_seeds=one.seeds)
        and one.suits(node, slot)
    ]
    fitting.sort(key=lambda one: -one.priority)
    best = [one for one in fitting if one.priority == fitting[0].priority]
    if len({(one.origin, one.slot) for one in best}) > 1:
        document.warn(
            f"Node {node.id}: its input {quoted(slot.name)} is open, as several nodes send what "
            f"fits it everywhere. {WAY_OUT}"
        )
        return None
    return next(iter(best), None)


def _sent_by(document: Document, graph: Graph, node: Node) -> Iterator[Broadcast]:
    is_seed = node.type == SEED or (node.type == PRIMITIVE and SEED in node.properties)
    if node.off or not (is_seed or node.type in EVERYWHERE):
        return
    own = _object(node.properties.get("ue_properties"))
    patterns = _patterns(node, own)
    restricted = any(
        {**node.properties, **own}.get(f"{by}_restricted") for by in ("group", "color")
    )
    if restricted or patterns is None:
        document.warn(
            f"Node {node.id} ({quoted(node.type)}): where it sends to depends on an "
            f"expression, a group or a colour. {WAY_OUT}"
        )
        return
    if is_seed:
        yield Broadcast(node, node.id, 0, "INT", 20, lambda _, slot: slot.name in SEEDS, seeds=True)
        return
    title, name = patterns
    kinds = [_source(document, graph, slot) for slot in node.inputs]
    times = Counter(one[2] for one in kinds if one is not None)
    for place, (slot, source) in enumerate(zip(node.inputs, kinds, strict=True)):
        if source is None:
            continue
        suits = _suiting(node, place, slot, alike=times[source[2]] > 1)
        priority = 10 + 10 * (node.type == PROMPTS) + 20 * bool(title or name)
        by_name = bool(title or name)
        yield Broadcast(node, *source, priority, _all(suits, title, name), by_name)


def _all(
    suits: Callable[[Node, Slot], bool], title: re.Pattern[str] | None, name: re.Pattern[str] | None
) -> Callable[[Node, Slot], bool]:
    return lambda node, slot: (
        suits(node, slot)
        and (title is None or bool(title.search(node.title or node.type)))
        and (name is None or bool(name.search(slot.label or slot.name)))
    )


def _suiting(node: Node, place: int, slot: Slot, *, alike: bool) -> Callable[[Node, Slot], bool]:
    """Return the restriction by input names: for prompts, and for several inputs of one type."""
    if node.type == PROMPTS and place < len(PROMPT_NAMES):
        return lambda _, other: other.name.lower().startswith(PROMPT_NAMES[place])
    if alike:
        return lambda _, other: (other.label or other.name) == (slot.label or slot.name)
    return lambda _node, _slot: True


def _source(document: Document, graph: Graph, slot: Slot) -> tuple[str, int, str] | None:
    """Return the source of a link and its type, resolved through nodes that pass values on."""
    link, kind = slot.link, slot.type
    if link is None:
        return None
    first, seen = (link.origin, link.origin_slot), set[str]()
    while kind == "*" and link is not None and link.origin not in seen:
        seen.add(link.origin)
        document.effort.spend(1)
        node = graph.nodes.get(link.origin)
        if node is None:
            borders = graph.inputs if link.origin == INPUT_BOUNDARY else []
            outputs: list[Any] = list(borders)
        else:
            outputs = node.outputs
        if not 0 <= link.origin_slot < len(outputs):
            return None
        kind = outputs[link.origin_slot].type
        passes = node is not None and node.type in REROUTES and node.inputs
        link = node.inputs[0].link if node is not None and passes else None
    origin = graph.nodes.get(first[0])
    is_live = first[0] == INPUT_BOUNDARY or (origin is not None and not origin.off)
    return (*first, kind) if is_live and kind != "*" else None


def _patterns(
    node: Node, own: Json
) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None] | None:
    """Return the patterns of titles and of input names; None if they are not simple."""
    given = [own.get(f"{what}_regex") for what in ("title", "input", "group")]
    if node.type == BY_PATTERN and not own and isinstance(node.values, list):
        given = [*node.values[:3], None, None, None][:3]
    given = [None if text in (None, "", ".*") else text for text in given]
    inverted = any(value for key, value in own.items() if key.endswith("_invert"))
    if given[2] is not None or (inverted and any(given)):
        return None
    if not all(text is None or _is_simple(text) for text in given):
        return None
    title, name = (re.compile(text) if text else None for text in given[:2])
    return title, name


def _is_simple(text: Any) -> bool:
    usable = isinstance(text, str) and len(text) <= LONGEST
    return usable and _SIMPLE.fullmatch(text) is not None


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
