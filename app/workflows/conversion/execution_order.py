"""The order in which the page processes the nodes of the root: dependencies first."""

from collections import deque

from app.workflows.conversion.model import Graph, Link, Node


def in_order(graph: Graph) -> list[Node]:
    """Return nodes without dependencies first, in the file's order; nodes of a cycle last."""
    waiting_for = {
        node.id: sum(slot.link is not None for slot in node.inputs) for node in graph.nodes.values()
    }
    outgoing: dict[str, list[Link]] = {}
    for link in sorted(graph.links.values(), key=lambda link: (link.origin_slot, link.age)):
        outgoing.setdefault(link.origin, []).append(link)
    ready = deque(node for node in graph.nodes.values() if not waiting_for[node.id])
    ordered: dict[str, Node] = {}
    while ready:
        node = ready.popleft()
        ordered[node.id] = node
        for link in outgoing.get(node.id, ()):
            if link.target in waiting_for:
                waiting_for[link.target] -= 1
                if waiting_for[link.target] == 0:
                    ready.append(graph.nodes[link.target])
    return [*ordered.values(), *(n for n in graph.nodes.values() if n.id not in ordered)]
