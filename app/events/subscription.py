"""Updates of tasks, and the queue of one subscriber."""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal

from app.limits.worker_threads import caller
from app.tasks.view import output_below, task_below

Type = Literal["status", "progress", "preview", "output"]

WITH_URLS: tuple[Type, ...] = ("status", "output")
THINNED: tuple[Type, ...] = ("progress", "preview")
QUEUE_LIMIT = 1000  # maximum number of undelivered updates
# Maximum size of undelivered updates; each is in memory once, for all subscribers
QUEUE_BYTES = 16 << 20
PROGRESS_BYTES = 1000  # assumed size of a progress update

Render = Callable[[], Mapping[str, Any]]


class Content:
    """What an update says: made when somebody wants it, once for all.

    `render` makes it, of values that do not change. `weight`: what these take in memory, in bytes.
    """

    def __init__(self, render: Render, weight: int = 0) -> None:
        self._render: Render | None = render
        self._data: Mapping[str, Any] = {}
        self.weight = weight

    def make(self) -> Mapping[str, Any]:
        if self._render is not None:
            self._data, self._render = self._render(), None
        return self._data

    @property
    def is_made(self) -> bool:
        return self._render is None

    @cached_property
    def json(self) -> str:
        """It as JSON, encoded once for all subscribers."""
        return _encoded(self.make())


def made(data: Mapping[str, Any]) -> Content:
    """Return content that is there already."""
    content = Content(lambda: data)
    content.make()
    return content


@dataclass(frozen=True, eq=False)
class Update:
    """An update of a task.

    Ids increase over all tasks and over restarts of the gateway. Compared by identity.
    """

    id: int
    task_id: str
    type: Type
    content: Content = field(repr=False)
    image: bytes = field(default=b"", repr=False)  # previews only
    # When the task was created: an id may have belonged to another task before. Its replica says so
    # with each update: who hears only a later one does not know it
    born: str | None = None
    is_end: bool = False  # a status: the task is finished

    @property
    def data(self) -> Mapping[str, Any]:
        return self.content.make()

    @property
    def json(self) -> str:
        return self.content.json

    def json_below(self, base_path: str) -> str:
        """Return `json` with its URLs below a path, "" for none."""
        if not base_path or self.type not in WITH_URLS:
            return self.json
        return _json_below(self, base_path)

    @cached_property
    def size(self) -> int:
        """The approximate size in bytes."""
        if self.type in ("progress", "preview"):
            return len(self.image) + PROGRESS_BYTES
        return len(self.json) if self.content.is_made else self.content.weight


@lru_cache(maxsize=16)  # shared by all subscribers
def _json_below(update: Update, base_path: str) -> str:
    below: Any = output_below if update.type == "output" else task_below
    return _encoded(below(update.data, base_path))


def _encoded(data: Mapping[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False)


class Ended(Exception):
    """There will be no more updates."""


class Overrun(Ended):
    """The subscriber was too slow and has missed updates: it must start over."""


class Interrupted(Ended):
    """Updates of other replicas may have been missed: the subscriber must start over."""


class Closed(Ended):
    """The gateway is stopping."""


class Subscription:
    """A bounded queue of updates.

    Of the types in THINNED only the newest undelivered update of a task is kept. `lasts`: not a
    stream, but for ends of tasks; it continues while updates of other replicas are missing.
    """

    def __init__(
        self,
        task_ids: Collection[str] | None,
        *,
        previews: bool,
        lasts: bool = False,
        limit: int = QUEUE_LIMIT,
        on_change: "Callable[[Subscription, frozenset[str] | None], None] | None" = None,
    ) -> None:
        self._task_ids = None if task_ids is None else frozenset(task_ids)
        self.previews = previews
        self.lasts = lasts
        self.caller = caller()
        self._limit = limit
        self._on_change = on_change
        # Sends what waits as far as that is possible at once; the rest is for `first` and `get`
        self.send: Callable[[], None] | None = None
        self._waiting: OrderedDict[object, Update] = OrderedDict()
        self._bytes = 0
        self._ready = asyncio.Event()
        self._end: Exception | None = None

    @property
    def task_ids(self) -> frozenset[str] | None:
        """The ids of the followed tasks; None: all tasks."""
        return self._task_ids

    @task_ids.setter
    def task_ids(self, task_ids: Collection[str] | None) -> None:
        before = self._task_ids
        self._task_ids = None if task_ids is None else frozenset(task_ids)
        if self._on_change is not None:
            self._on_change(self, before)

    @property
    def is_behind(self) -> bool:
        """Whether the queue is more than half full."""
        return len(self._waiting) > self._limit // 2

    @property
    def ended(self) -> bool:
        return self._end is not None

    def wants(self, update: Update) -> bool:
        if update.type == "preview" and not self.previews:
            return False
        if self.lasts and not update.is_end:
            return False
        return self._task_ids is None or update.task_id in self._task_ids

    def put(self, update: Update) -> bool:
        """Queue an update; return False if the subscription has ended, by this update or before."""
        if self._end:
            return False
        key: object = object()
        if update.type in THINNED:
            key = (update.task_id, update.type)
        self._drop(key)
        self._waiting[key] = update
        self._bytes += update.size
        while self._is_full and self._drop_preview():
            pass
        if self._is_full:
            self.end(Overrun())
        elif self.send is not None:
            self.send()
        if self._waiting:
            self._ready.set()
        return self._end is None

    def end(self, reason: Exception) -> None:
        self._end = self._end or reason
        if isinstance(self._end, Overrun):
            self._waiting.clear()  # a slow subscriber must not hold memory
        self._ready.set()

    async def get(self) -> Update:
        """Wait for the next update. Raises Ended if there will be none."""
        await self.first()
        return self.take(1)[0]

    async def first(self) -> Update:
        """Wait for the next update like `get`, and leave it in the queue."""
        while (update := self.peek()) is None:
            if self._end:
                raise self._end
            self._ready.clear()
            await self._ready.wait()
        return update

    def peek(self) -> Update | None:
        """Return the next queued update, which stays there, or None."""
        return next(iter(self._waiting.values()), None)

    def take(self, most: int) -> list[Update]:
        """Return up to `most` queued updates without waiting."""
        count = min(most, len(self._waiting))
        taken = [self._waiting.popitem(last=False)[1] for _ in range(count)]
        self._bytes -= sum(update.size for update in taken)
        return taken

    @property
    def _is_full(self) -> bool:
        return len(self._waiting) > self._limit or self._bytes > QUEUE_BYTES

    def _drop_preview(self) -> bool:
        for key, update in self._waiting.items():
            if update.type == "preview":
                self._drop(key)
                return True
        return False

    def _drop(self, key: object) -> None:
        if update := self._waiting.pop(key, None):
            self._bytes -= update.size
