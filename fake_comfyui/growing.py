"""The graph of a running prompt: nodes may put others in their place while it runs."""

from __future__ import annotations

from typing import Any

from fake_comfyui.graph import Graph, MissingNode


class DuplicateNode(ValueError):
    """An expansion brings a node whose id is taken."""


class GrowingGraph:
    """The prompt's own nodes, and those that came out of others."""

    def __init__(self, graph: Graph) -> None:
        self.original = graph
        self._nodes: Graph = dict(graph)
        self._parents: dict[str, str] = {}

    def __getitem__(self, node_id: str) -> dict[str, Any]:
        if node_id not in self._nodes:
            raise MissingNode(node_id)
        return self._nodes[node_id]

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._nodes

    def expand(self, parent: str, nodes: Graph) -> None:
        """Put `nodes` in the place of `parent`."""
        for node_id, node in nodes.items():
            if node_id in self._nodes:
                raise DuplicateNode(f"Attempt to add duplicate node {node_id}.")
            self._nodes[node_id] = node
            self._parents[node_id] = parent

    def real(self, node_id: str) -> str:
        """The prompt's own node that this one came out of, or itself; there it is shown."""
        while node_id in self._parents:
            node_id = self._parents[node_id]
        return node_id

    def meta(self, node_id: str) -> dict[str, Any]:
        """How the history says which node it is."""
        return {
            "node_id": node_id,
            "display_node": self.real(node_id),
            "parent_node": self._parents.get(node_id),
            "real_node_id": self.real(node_id),
        }

    def origin(self, node_id: str) -> dict[str, Any]:
        """The same in the words of progress and previews."""
        meta = self.meta(node_id)
        return {
            "display_node_id": meta["display_node"],
            "parent_node_id": meta["parent_node"],
            "real_node_id": meta["real_node_id"],
        }
