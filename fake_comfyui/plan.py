"""Which nodes of a running prompt are to run, and which is next."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from fake_comfyui.graph import inputs_of, is_link
from fake_comfyui.growing import GrowingGraph


class Plan:
    """Nodes can be added, and made to wait for others, at any time: by those that expand, and by
    those that are lazy."""

    def __init__(
        self,
        graph: GrowingGraph,
        has_result: Callable[[str], bool],
        is_output: Callable[[str], bool],
        is_lazy: Callable[[str, str], bool],
    ) -> None:
        self._graph = graph
        self._has_result = has_result
        self._is_output = is_output
        self._is_lazy = is_lazy
        self._waits_for: dict[str, set[str]] = {}
        self._blocks: dict[str, list[str]] = {}
        self._order: dict[str, int] = {}
        self._arrivals = itertools.count()
        self._ready: list[str] = []
        self._distances: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._waits_for)

    @property
    def left(self) -> list[str]:
        return list(self._waits_for)

    def add(self, node_id: str) -> None:
        """A node that is to run, with all that it needs. Raises MissingNode."""
        stack = [node_id]
        while stack:
            current = stack.pop()
            if current in self._waits_for:
                continue
            node = self._graph[current]
            self._waits_for[current] = set()
            self._order[current] = next(self._arrivals)
            self._distances.clear()
            if not self._has_result(current):
                for name, value in inputs_of(node).items():
                    if is_link(value) and not self._is_lazy(current, name):
                        stack += self._link(current, value[0])
            if not self._waits_for[current]:
                self._ready.append(current)

    def wait(self, node_id: str, parents: list[str]) -> None:
        """The node that was next is to run again, after these."""
        for parent in parents:
            for missing in self._link(node_id, parent):
                self.add(missing)
        if not self._waits_for[node_id]:
            self._ready.append(node_id)

    def next(self) -> str | None:
        """The ready node closest to an output, None if there is none (a cycle)."""
        if not self._ready:
            return None
        chosen = min(self._ready, key=lambda node: (self._distance(node), self._order[node]))
        self._ready.remove(chosen)
        return chosen

    def done(self, node_id: str) -> None:
        del self._waits_for[node_id]
        for blocked in self._blocks.pop(node_id, ()):
            waits = self._waits_for[blocked]
            waits.discard(node_id)
            if not waits and blocked not in self._ready:
                self._ready.append(blocked)

    def _link(self, node_id: str, parent: str) -> list[str]:
        """Let a node wait for another one; what is to be added for that."""
        if parent in self._graph and self._has_result(parent):
            return []
        waits = self._waits_for[node_id]
        if parent not in waits:
            waits.add(parent)
            self._blocks.setdefault(parent, []).append(node_id)
            self._distances.clear()
        return [parent]

    def _distance(self, node_id: str) -> int:
        """0 for output nodes, 1 and 2 for what leads straight to one, 3 for the rest."""
        known = self._distances.get(node_id)
        if known is None:
            known = self._distances[node_id] = self._measured(node_id)
        return known

    def _measured(self, node_id: str) -> int:
        if self._is_output(node_id):
            return 0
        blocked = self._blocks.get(node_id, [])
        if any(map(self._is_output, blocked)):
            return 1
        behind = (other for one in blocked for other in self._blocks.get(one, ()))
        return 2 if any(map(self._is_output, behind)) else 3
