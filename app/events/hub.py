"""Fan-out of task updates to the subscribers of this process.

Streams are a convenience: a subscriber that is too slow is dropped, and reads the task's state
instead. With several replicas an event bus (redis_bus.py) carries the updates of each to the hubs
of all; while it cannot, there are no streams.
"""

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

from app.events.subscription import (
    Closed,
    Content,
    Interrupted,
    Render,
    Subscription,
    Type,
    Update,
)
from app.limits.lru_cache import BoundedCache
from app.limits.worker_threads import caller
from app.tasks.model import Task
from app.tasks.view import moment

KEPT_UPDATES = 200  # per task, for streams that resume
KEPT_TASKS = 500
KEPT_PREVIEWS = 64 << 20  # bytes of previews, the newest of each task
MOST_FOLLOWED = 50_000  # maximum number of tasks followed by id over all streams of a caller
KEPT_BYTES = 64 << 20  # of all kept updates
TASK_BYTES, OUTPUT_BYTES = 2000, 300  # assumed size of a task, and of each of its results


class EventBus(Protocol):
    """Carries updates to the hubs of all replicas, including this one."""

    def send(self, update: Update) -> None:
        """Queue an update; except for previews it is also delivered to this hub, with an id of the
        bus and in the order of ids."""
        ...

    async def run(self) -> None:
        """Carry updates until cancelled."""
        ...

    async def flush(self) -> None:
        """Send queued updates before the process ends."""
        ...


class Hub:
    def __init__(self) -> None:
        self.event_bus: EventBus | None = None  # None: there is a single replica
        # Why updates of other replicas are missing; None: they arrive
        self.interruption: str | None = None
        self._subscriptions: set[Subscription] = set()
        self._everything: set[Subscription] = set()  # subscriptions to all tasks
        self._of_task: dict[str, set[Subscription]] = {}
        self._recent: OrderedDict[str, deque[Update]] = OrderedDict()
        self._last_id = 0
        self._closed = False
        self._listeners: list[Callable[[Task], None]] = []
        self._watchers: list[Callable[[Update], None]] = []
        self._previews: BoundedCache[str, Update] = BoundedCache(
            KEPT_PREVIEWS, lambda update: update.size
        )
        # By caller: the ids followed, counted once per subscription
        self._followed: Counter[str] = Counter()
        self._kept_bytes = 0
        self.relayed = 0  # updates put into subscriptions
        self.dropped = 0  # subscribers that were too slow

    def publish(self, task: Task, type: Type, render: Render, image: bytes = b"") -> None:
        """Publish an update of a task to the subscribers of all replicas.

        `render` is called at once if somebody follows the task, else when somebody wants it.
        """
        update = _update(self._new_id(type), task, type, render, image)
        if self.event_bus is not None:
            update.content.make()  # now: what it estimates is of this moment
            self.event_bus.send(update)
        if update.id:
            self.deliver(update)
        elif self.interruption:  # the bus delivers it late: tell waiting requests now
            self._spread(replace(update, id=self._last_id))
        for watcher in self._watchers:
            watcher(update)
        if type == "status":
            for listener in self._listeners:
                listener(task)

    def deliver(self, update: Update) -> None:
        """Deliver an update to the subscribers of this process."""
        self._last_id = max(self._last_id, update.id)
        self._spread(update)
        if update.type == "preview":
            self._keep_preview(update)
        else:
            self._keep(update)

    def tell(self, task: Task, type: Type, render: Render) -> None:
        """Deliver the state of a task to the subscribers of this process, without an id.

        It is not kept: a stream that resumes starts with the task's state anyway.
        """
        self._spread(_update(self._last_id, task, type, render))

    def suspend(self, why: str) -> None:
        """End all streams and refuse new ones until `resume`: updates of other replicas are
        missing."""
        self.interruption = why
        self.interrupt()

    def resume(self) -> None:
        """Allow streams again: all updates that were missing have been delivered."""
        self.interruption = None

    def interrupt(self) -> None:
        """End all streams, as updates may have been missed: their clients start over."""
        for subscription in self._subscriptions:
            if not subscription.lasts:
                subscription.end(Interrupted())

    def begin_at(self, id: int) -> None:
        """Continue ids from `id`: the ids of a replica must not fall behind those of the others."""
        self._last_id = max(self._last_id, id)

    def _new_id(self, type: Type) -> int:
        """Return the next id; 0 if the event bus assigns it and delivers the update."""
        if self.event_bus is not None:
            return self._last_id + 1 if type == "preview" else 0
        # Microseconds: greater than any id before a restart, and exact in JavaScript.
        return max(self._last_id + 1, time.time_ns() // 1000)

    def _spread(self, update: Update) -> None:
        for subscriptions in (self._everything, self._of_task.get(update.task_id, ())):
            for subscription in subscriptions:
                if subscription.wants(update):
                    if not subscription.lasts:
                        update.content.make()  # now, as above
                    self._give(subscription, update)

    def _give(self, subscription: Subscription, update: Update) -> None:
        had_ended = subscription.ended
        if subscription.put(update):
            self.relayed += 1
        elif not had_ended:
            self.dropped += 1

    async def caught_up(self, patience: float) -> float:
        """Wait until no subscriber is far behind, for at most `patience` seconds; return what is
        left of them.

        Used by callers that publish very many updates.
        """
        until = time.monotonic() + patience
        while (left := until - time.monotonic()) > 0:
            if not any(subscription.is_behind for subscription in self._subscriptions):
                return left
            await asyncio.sleep(min(left, 0.02))
        return 0.0

    def on_status(self, listener: Callable[[Task], None]) -> None:
        """Call `listener` with a task whenever this replica may have changed its status.

        For parts of this process that must not miss a change, as a slow subscriber may.
        """
        self._listeners.append(listener)

    def on_update(self, watcher: Callable[[Update], None]) -> None:
        """Call `watcher` with each update that this replica publishes; it may have no id yet."""
        self._watchers.append(watcher)

    @contextmanager
    def subscribe(
        self,
        task_ids: Collection[str] | None = None,
        *,
        previews: bool = False,
        lasts: bool = False,
    ) -> Iterator[Subscription]:
        subscription = Subscription(task_ids, previews=previews, lasts=lasts, on_change=self._move)
        if self._closed:
            subscription.end(Closed())
        elif self.interruption and not lasts:
            subscription.end(Interrupted())
        self._subscriptions.add(subscription)
        self._enter(subscription)
        try:
            yield subscription
        finally:
            self._leave(subscription, subscription.task_ids)
            self._subscriptions.discard(subscription)

    def has_room(self, more: int) -> bool:
        """Return whether the caller may follow `more` further tasks by id."""
        return self._followed[caller()] + more <= MOST_FOLLOWED

    def since(self, task_id: str, last_id: int, born: str | None = None) -> list[Update]:
        """Return the kept updates of a task after `last_id`, without previews.

        `born`: only of the task created at that time, if its id was used more than once.
        """
        updates = [update for update in self._recent.get(task_id, ()) if update.id > last_id]
        return [update for update in updates if born in (None, update.born)]

    def last_preview(self, task_id: str, born: str | None) -> Update | None:
        """Return the newest preview of an unfinished task that was created at `born`."""
        found = self._previews.get(task_id)
        return found if found and found.born == born else None

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def last_id(self) -> int:
        return self._last_id

    def newest(self, task_id: str) -> int:
        """Return the id of the task's newest kept update, or 0."""
        updates = self._recent.get(task_id)
        return updates[-1].id if updates else 0

    @property
    def subscribers(self) -> int:
        return len(self._subscriptions)

    def subscribers_of(self, caller: str) -> int:
        """Return the number of subscriptions of one caller (see app/limits/worker_threads.py)."""
        return sum(subscription.caller == caller for subscription in self._subscriptions)

    def watched(self, *, previews: bool = False) -> list[str]:
        """Return the tasks followed by id; `previews`: only those followed with previews."""
        if not previews:
            return sorted(self._of_task)
        return [id for id, found in self._of_task.items() if any(s.previews for s in found)]

    def watches_all(self, *, previews: bool = False) -> bool:
        """Return whether there are subscriptions to all tasks."""
        return any(s.previews or not previews for s in self._everything)

    def close(self) -> None:
        """End all streams, so that the server can stop."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.end(Closed())

    def _enter(self, subscription: Subscription) -> None:
        if subscription.task_ids is None:
            self._everything.add(subscription)
        self._followed[subscription.caller] += len(subscription.task_ids or ())
        for task_id in subscription.task_ids or ():
            self._of_task.setdefault(task_id, set()).add(subscription)

    def _leave(self, subscription: Subscription, task_ids: frozenset[str] | None) -> None:
        self._everything.discard(subscription)
        self._followed[subscription.caller] -= len(task_ids or ())
        if not self._followed[subscription.caller]:
            del self._followed[subscription.caller]
        for task_id in task_ids or ():
            self._of_task[task_id].discard(subscription)
            if not self._of_task[task_id]:
                del self._of_task[task_id]

    def _move(self, subscription: Subscription, before: frozenset[str] | None) -> None:
        self._leave(subscription, before)
        self._enter(subscription)

    def _keep_preview(self, update: Update) -> None:
        if update.born is None and (kept := self._recent.get(update.task_id)):
            update = replace(update, born=kept[-1].born)  # other replicas do not say it
        self._previews.put(update.task_id, update)

    def _keep(self, update: Update) -> None:
        if update.is_end:
            self._previews.discard(update.task_id)
        updates = self._recent.setdefault(update.task_id, deque())
        self._recent.move_to_end(update.task_id)
        updates.append(update)
        self._kept_bytes += update.size
        if len(updates) > KEPT_UPDATES:
            self._kept_bytes -= updates.popleft().size
        while len(self._recent) > KEPT_TASKS or self._kept_bytes > KEPT_BYTES:
            _, oldest = self._recent.popitem(last=False)
            self._kept_bytes -= sum(update.size for update in oldest)


def _update(id: int, task: Task, type: Type, render: Render, image: bytes = b"") -> Update:
    is_end = type == "status" and task.finished
    # Progress and previews are counted by a size of their own
    weight = 0 if type in ("progress", "preview") else _weight_of(task)
    content = Content(render, weight)
    return Update(id, task.task_id, type, content, image, moment(task.created_at), is_end)


def _weight_of(task: Task) -> int:
    """Return about how many bytes of memory a task takes: what is not rendered yet holds it."""
    texts = sum(len(output.text) for output in task.outputs if output.text)
    given = len(str(task.params)) + len(str(task.metadata))
    return TASK_BYTES + OUTPUT_BYTES * len(task.outputs) + texts + given
