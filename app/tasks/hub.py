"""Fan-out of what happens to tasks, in this process. Streams are a convenience: a subscriber
that is too slow is let go, and finds the truth by asking."""

import asyncio
import json
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

Json = dict[str, Any]
Type = Literal["status", "progress", "preview", "output"]

KEPT_UPDATES = 200  # a task, for streams that resume
KEPT_TASKS = 500
KEPT_PREVIEWS = 100  # tasks of which the newest is kept
QUEUE_LIMIT = 1000  # updates that a subscriber may be behind
QUEUE_BYTES = 16 << 20  # and their size; each is in memory once, however many wait for it
KEPT_BYTES = 64 << 20  # of all kept updates
SMALL = 1000  # bytes that a progress update is taken for


@dataclass(frozen=True)
class Update:
    """One thing that happened. Ids rise over all tasks, and over restarts of the gateway."""

    id: int
    task_id: str
    type: Type
    data: Json
    image: bytes = field(default=b"", repr=False)  # previews only

    @cached_property
    def json(self) -> str:
        """The data encoded: once for all subscribers."""
        return json.dumps(self.data, separators=(",", ":"), ensure_ascii=False)

    @cached_property
    def size(self) -> int:
        """About how many bytes it holds."""
        is_small = self.type in ("progress", "preview")
        return len(self.image) + (SMALL if is_small else len(self.json))


class Overrun(Exception):
    """The subscriber did not keep up and has missed updates: it must start over."""


class Closed(Exception):
    """The gateway is stopping."""


class Subscription:
    """A bounded queue. Of a task's undelivered progress and previews only the newest is kept."""

    def __init__(self, task_ids: Collection[str] | None, *, previews: bool) -> None:
        self.task_ids = None if task_ids is None else set(task_ids)  # None: all tasks
        self.previews = previews
        self._waiting: OrderedDict[object, Update] = OrderedDict()
        self._bytes = 0
        self._ready = asyncio.Event()
        self._end: Exception | None = None

    @property
    def ended(self) -> bool:
        return self._end is not None

    def wants(self, update: Update) -> bool:
        if update.type == "preview" and not self.previews:
            return False
        return self.task_ids is None or update.task_id in self.task_ids

    def put(self, update: Update) -> bool:
        """False if it had to be let go, now or before."""
        if self._end:
            return False
        replaceable = update.type in ("progress", "preview")
        key: object = (update.task_id, update.type) if replaceable else object()
        self._take(key)
        self._waiting[key] = update
        self._bytes += update.size
        while self._is_full and self._drop_preview():
            pass
        if self._is_full:
            self.end(Overrun())
        self._ready.set()
        return self._end is None

    def end(self, reason: Exception) -> None:
        self._end = self._end or reason
        if isinstance(self._end, Overrun):
            self._waiting.clear()  # whoever is that slow may not ask for long
        self._ready.set()

    async def get(self) -> Update:
        """The next update. Raises Overrun or Closed when there will be none."""
        while not self._waiting:
            if self._end:
                raise self._end
            self._ready.clear()
            await self._ready.wait()
        update = self._waiting.popitem(last=False)[1]
        self._bytes -= update.size
        return update

    @property
    def _is_full(self) -> bool:
        return len(self._waiting) > QUEUE_LIMIT or self._bytes > QUEUE_BYTES

    def _drop_preview(self) -> bool:
        for key, update in self._waiting.items():
            if update.type == "preview":
                self._take(key)
                return True
        return False

    def _take(self, key: object) -> None:
        if update := self._waiting.pop(key, None):
            self._bytes -= update.size


class Hub:
    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._recent: OrderedDict[str, deque[Update]] = OrderedDict()
        self._last_id = 0
        self._closed = False
        self._listeners: list[Callable[[str], None]] = []
        self._watchers: list[Callable[[Update], None]] = []
        self._previews: OrderedDict[str, Update] = OrderedDict()
        self._kept_bytes = 0
        self.relayed = 0  # updates given to subscribers
        self.dropped = 0  # subscribers that were too slow

    def publish(self, task_id: str, type: Type, data: Json, image: bytes = b"") -> None:
        # Microseconds: larger than all ids before a restart, and exact in JavaScript.
        self._last_id = max(self._last_id + 1, time.time_ns() // 1000)
        update = Update(self._last_id, task_id, type, data, image)
        if type == "preview":
            self._keep_preview(update)
        else:
            self._keep(update)
        for subscription in self._subscriptions:
            if subscription.wants(update):
                self._give(subscription, update)
        for watcher in self._watchers:
            watcher(update)
        if type == "status":
            for listener in self._listeners:
                listener(task_id)

    def tell(self, task_id: str, type: Type, data: Json) -> None:
        """To our own subscribers: how a task was found to be. It is no event: whoever resumes gets
        the task's state anyway, so it has no id of its own."""
        update = Update(self._last_id, task_id, type, data)
        for subscription in self._subscriptions:
            if subscription.wants(update):
                self._give(subscription, update)

    def on_status(self, listener: Callable[[str], None]) -> None:
        """Call it with the task's id whenever a task's status may have changed, for parts of
        ours that must not fall behind as a subscriber may."""
        self._listeners.append(listener)

    def on_update(self, watcher: Callable[[Update], None]) -> None:
        """Call it with whatever is published here."""
        self._watchers.append(watcher)

    @contextmanager
    def subscribe(
        self, task_ids: Collection[str] | None = None, *, previews: bool = False
    ) -> Iterator[Subscription]:
        subscription = Subscription(task_ids, previews=previews)
        if self._closed:
            subscription.end(Closed())
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def since(self, task_id: str, last_id: int) -> list[Update]:
        """The task's updates after `last_id`, as far as they are kept; previews are not."""
        return [update for update in self._recent.get(task_id, ()) if update.id > last_id]

    def last_preview(self, task_id: str) -> Update | None:
        """The newest preview of a task that is not finished."""
        return self._previews.get(task_id)

    @property
    def last_id(self) -> int:
        return self._last_id

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def subscribers(self) -> int:
        return len(self._subscriptions)

    def watched(self) -> list[str]:
        """The tasks that somebody follows by their ids."""
        found = [s.task_ids for s in self._subscriptions if s.task_ids is not None]
        return sorted(set().union(*found))

    def close(self) -> None:
        """End all streams, so that the server can stop."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.end(Closed())

    def _give(self, subscription: Subscription, update: Update) -> None:
        had_ended = subscription.ended
        if subscription.put(update):
            self.relayed += 1
        elif not had_ended:
            self.dropped += 1

    def _keep_preview(self, update: Update) -> None:
        self._previews[update.task_id] = update
        self._previews.move_to_end(update.task_id)
        if len(self._previews) > KEPT_PREVIEWS:
            self._previews.popitem(last=False)

    def _keep(self, update: Update) -> None:
        if update.type == "status" and update.data.get("finished_at"):
            self._previews.pop(update.task_id, None)
        updates = self._recent.setdefault(update.task_id, deque())
        self._recent.move_to_end(update.task_id)
        updates.append(update)
        self._kept_bytes += update.size
        if len(updates) > KEPT_UPDATES:
            self._kept_bytes -= updates.popleft().size
        while len(self._recent) > KEPT_TASKS or self._kept_bytes > KEPT_BYTES:
            _, oldest = self._recent.popitem(last=False)
            self._kept_bytes -= sum(update.size for update in oldest)
