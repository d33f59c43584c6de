"""The prompt queue and the history of finished prompts."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fake_comfyui.graph import Graph

LONGEST_HISTORY = 10_000
SECRETS = ("auth_token_comfy_org", "api_key_comfy_org")

HistoryEntry = dict[str, Any]


@dataclass(slots=True)
class QueueItem:
    """An accepted prompt; `as_list` is how /queue and /history show it."""

    number: float
    prompt_id: str
    graph: Graph
    extra_data: dict[str, Any]
    outputs: list[str]
    secrets: dict[str, Any] = field(default_factory=dict)

    def as_list(self) -> list[Any]:
        return [self.number, self.prompt_id, self.graph, self.extra_data, self.outputs]

    @property
    def client_id(self) -> Any:
        return self.extra_data.get("client_id")


class PromptQueue:
    """Pending prompts in order of number, the running one, and the history."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._heap: list[tuple[float, int, QueueItem]] = []
        self._arrivals = itertools.count()
        self._waiting = asyncio.Event()
        self.running: QueueItem | None = None
        self.history: dict[str, HistoryEntry] = {}

    @property
    def remaining(self) -> int:
        return len(self._heap) + (self.running is not None)

    @property
    def pending(self) -> list[QueueItem]:
        return [item for _, _, item in self._heap]

    def put(self, item: QueueItem) -> None:
        heapq.heappush(self._heap, (item.number, next(self._arrivals), item))
        self._waiting.set()
        self._changed()

    async def get(self) -> QueueItem:
        """Wait for the next prompt; it is the running one from now on."""
        while not self._heap:
            self._waiting.clear()
            await self._waiting.wait()
        _, _, self.running = heapq.heappop(self._heap)
        self._changed()
        return self.running

    def finish(self, item: QueueItem, entry: HistoryEntry) -> None:
        """Move the running prompt to the history."""
        self.running = None
        while len(self.history) >= LONGEST_HISTORY:
            del self.history[next(iter(self.history))]
        self.history.pop(item.prompt_id, None)
        self.history[item.prompt_id] = {"prompt": item.as_list(), **entry}
        self._changed()

    def delete(self, prompt_id: Any) -> bool:
        """Take one pending prompt of this id out."""
        for place, (_, _, item) in enumerate(self._heap):
            if item.prompt_id == prompt_id:
                del self._heap[place]
                heapq.heapify(self._heap)
                self._changed()
                if not self._heap:  # the real server says it twice for the last one
                    self._changed()
                return True
        return False

    def clear(self) -> None:
        self._heap.clear()
        self._changed()

    def page(self, max_items: int | None, offset: int) -> dict[str, HistoryEntry]:
        """The last `max_items`, or those from `offset` (counted from the oldest)."""
        ids = list(self.history)
        if offset < 0:
            offset = max(0, len(ids) - max_items) if max_items is not None else 0
        end = None if max_items is None else offset + max(0, max_items)
        return {prompt_id: self.history[prompt_id] for prompt_id in ids[offset:end]}
