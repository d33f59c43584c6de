"""The progress_state message: every node that is not pending, every time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


class ProgressState:
    """Keeps each node's part encoded, as the whole is sent again and again."""

    def __init__(self, prompt_id: str, origin: Callable[[str], dict[str, Any]]) -> None:
        """`origin`: where a node stands in the prompt, in the message's words."""
        self._prompt_id = json.dumps(prompt_id)
        self._origin = origin
        self._parts: dict[str, str] = {}
        self._values: dict[str, tuple[float, float]] = {}

    def start(self, node_id: str) -> str:
        return self._set(node_id, 0.0, 1.0, "running")

    def advance(self, node_id: str, value: float, total: float) -> str:
        return self._set(node_id, float(value), float(total), "running")

    def finish(self, node_id: str) -> str:
        """A node that never told its progress is 1 of 1."""
        _, total = self._values.get(node_id, (0.0, 1.0))
        return self._set(node_id, total, total, "finished")

    def _set(self, node_id: str, value: float, total: float, state: str) -> str:
        self._values[node_id] = value, total
        name = json.dumps(node_id)
        self._parts[node_id] = (
            f'{name}: {{"value": {value}, "max": {total}, "state": "{state}", "node_id": {name}, '
            f'"prompt_id": {self._prompt_id}, {json.dumps(self._origin(node_id))[1:]}'
        )
        nodes = ", ".join(self._parts.values())
        return (
            f'{{"type": "progress_state", "data": {{"prompt_id": {self._prompt_id}, '
            f'"nodes": {{{nodes}}}}}}}'
        )
