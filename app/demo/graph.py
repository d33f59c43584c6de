"""Prompt graphs: links, order of execution, and the keys of the node cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Graph = dict[str, dict[str, Any]]


class MissingNode(LookupError):
    """A link leads to a node that is not in the graph."""


def is_link(value: Any) -> bool:
    """[node_id, slot]: what the executor, unlike validation, takes for a link."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int | float)
    )


def parents(graph: Graph, node_id: str) -> list[str]:
    """The nodes that `node_id` is linked to, known inputs or not."""
    return [value[0] for value in inputs_of(graph[node_id]).values() if is_link(value)]


def inputs_of(node: dict[str, Any]) -> dict[str, Any]:
    """A node that no output depends on may lack them."""
    return node.get("inputs") or {}


def post_order(roots: Iterable[str], children: Callable[[str], list[str]]) -> Iterator[str]:
    """Every reachable node after the nodes it depends on; cycles are cut, depth is no limit."""
    seen: set[str] = set()
    for root in roots:
        stack: list[tuple[str, Iterator[str]]] = []
        if root not in seen:
            seen.add(root)
            stack.append((root, iter(children(root))))
        while stack:
            node_id, rest = stack[-1]
            for child in rest:
                if child not in seen:
                    seen.add(child)
                    stack.append((child, iter(children(child))))
                    break
            else:
                stack.pop()
                yield node_id


def cache_keys(graph: Graph, salt: Callable[[str], str]) -> dict[str, str]:
    """A key per node made of its class, its values and its ancestors' keys, not of ids.

    `salt` adds what else a node's result depends on, like the file it loads.
    """
    keys: dict[str, str] = {}

    def known_parents(node_id: str) -> list[str]:
        return [parent for parent in parents(graph, node_id) if parent in graph]

    for node_id in post_order(graph, known_parents):
        node = graph[node_id]
        inputs = sorted(
            (name, (keys.get(value[0], "?"), value[1]) if is_link(value) else value)
            for name, value in inputs_of(node).items()
        )
        text = repr((node["class_type"], salt(node_id), inputs))
        keys[node_id] = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return keys


class Plan:
    """Which nodes are to run, and which is next."""

    def __init__(
        self,
        graph: Graph,
        outputs: list[str],
        is_cached: Callable[[str], bool],
        is_output: Callable[[str], bool],
    ) -> None:
        self._waits_for: dict[str, set[str]] = {}
        self._blocks: dict[str, list[str]] = {}
        for output in outputs:
            self._add(graph, output, is_cached)
        self._order = {node_id: place for place, node_id in enumerate(self._waits_for)}
        self._ready = [node_id for node_id, waits in self._waits_for.items() if not waits]
        self._distance = self._distances(is_output)

    def __len__(self) -> int:
        return len(self._waits_for)

    @property
    def left(self) -> list[str]:
        return list(self._waits_for)

    def next(self) -> str | None:
        """The ready node closest to an output, None if there is none (a cycle)."""
        if not self._ready:
            return None
        chosen = min(self._ready, key=lambda node: (self._distance[node], self._order[node]))
        self._ready.remove(chosen)
        return chosen

    def done(self, node_id: str) -> None:
        del self._waits_for[node_id]
        for blocked in self._blocks.get(node_id, ()):
            waits = self._waits_for[blocked]
            waits.discard(node_id)
            if not waits and blocked not in self._ready:
                self._ready.append(blocked)

    def _add(self, graph: Graph, output: str, is_cached: Callable[[str], bool]) -> None:
        stack = [output]
        while stack:
            node_id = stack.pop()
            if node_id in self._waits_for:
                continue
            if node_id not in graph:
                raise MissingNode(node_id)
            waits = self._waits_for[node_id] = set()
            if is_cached(node_id):
                continue
            for parent in parents(graph, node_id):
                if parent in graph and is_cached(parent):
                    continue
                waits.add(parent)
                self._blocks.setdefault(parent, []).append(node_id)
                stack.append(parent)

    def _distances(self, is_output: Callable[[str], bool]) -> dict[str, int]:
        """0 for output nodes, 1 and 2 for what leads straight to one, 3 for the rest."""
        distance = {node: 0 if is_output(node) else 3 for node in self._waits_for}
        for step in (1, 2):
            for node in distance:
                blocked = (distance[other] for other in self._blocks.get(node, ()))
                if distance[node] == 3 and step - 1 in blocked:
                    distance[node] = step
        return distance
