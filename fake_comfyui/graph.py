"""Prompt graphs: links, and the keys of the node cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
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


def cache_keys(
    graph: Graph, salt: Callable[[str], str], known: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """A key per node made of its class, its values and its ancestors' keys, not of ids.

    `salt` adds what else a node's result depends on, like the file it loads. `known`: the keys of
    nodes beside those of `graph`.
    """
    keys: dict[str, str] = {}

    def known_parents(node_id: str) -> list[str]:
        return [parent for parent in parents(graph, node_id) if parent in graph]

    def key_of(node_id: str) -> str:
        return keys.get(node_id) or known.get(node_id, "?")

    for node_id in post_order(graph, known_parents):
        node = graph[node_id]
        inputs = sorted(
            (name, (key_of(value[0]), value[1]) if is_link(value) else value)
            for name, value in inputs_of(node).items()
        )
        text = repr((node["class_type"], salt(node_id), inputs))
        keys[node_id] = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return keys
