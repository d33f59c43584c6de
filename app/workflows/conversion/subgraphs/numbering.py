"""Assigns new ids to nodes of subgraphs whose ids are not unique.

In the page ids are unique in the whole file. Old files number the nodes of each subgraph
independently; the page renumbers clashing ones from the highest id on, and the prompt has the new
ids.
"""

from typing import Any

from app.workflows.conversion.model import Document, Graph, Link, Node, as_number
from app.workflows.conversion.subgraphs.promotion import listed
from app.workflows.conversion.subgraphs.proxies import PROPERTY


def renumber(document: Document) -> None:
    """Make all node ids of the file unique; those of the root stay, except duplicates."""
    used = set(document.root.nodes)
    changes: dict[str, dict[str, str]] = {}
    for graph in document.subgraphs.values():
        changed = _new_ids(document, graph, used)
        if changed:
            changes[graph.id] = changed
            graph.nodes = {changed.get(key, key): node for key, node in graph.nodes.items()}
            for link in graph.links.values():
                _move_ends(link, changed)
    highest = max((as_number(key) or 0 for key in document.root.nodes), default=0)
    document.last_node_id = max(document.last_node_id, highest)
    for node in document.twins:
        used.add(node.id)
        node.id = document.mint_node_id(used)
        document.root.nodes[node.id] = node
    for graph in document.graphs():
        for node in graph.nodes.values():
            if node.type in changes and PROPERTY in node.properties:
                _rename_promoted(node, changes[node.type])


def _new_ids(document: Document, graph: Graph, used: set[str]) -> dict[str, str]:
    changed: dict[str, str] = {}
    for node in graph.nodes.values():
        if node.id in used:
            changed[node.id] = node.id = document.mint_node_id(used)
        else:
            document.last_node_id = max(document.last_node_id, as_number(node.id) or 0)
        used.add(node.id)
    return changed


def _move_ends(link: Link, changed: dict[str, str]) -> None:
    link.origin = changed.get(link.origin, link.origin)
    link.target = changed.get(link.target, link.target)


def _rename_promoted(node: Node, changed: dict[str, str]) -> None:
    """Rename the inner nodes in the promoted widgets of an instance."""
    entries: list[Any] = listed(node.properties.get(PROPERTY))
    node.properties = {
        **node.properties,
        PROPERTY: [
            [changed.get(str(entry[0]), entry[0]), *entry[1:]]
            if isinstance(entry, list) and entry
            else entry
            for entry in entries
        ],
    }
