"""Fan-out of what happens to tasks to the subscribers of this process. Streams are a convenience:
a subscriber that is too slow is let go, and finds the truth by asking.

With several replicas an event bus (redis_bus.py) brings what one publishes to the hubs of all.
While it cannot, there are no streams.
"""

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

from app.events.subscription import Closed, Interrupted, Subscription, Type, Update
from app.limits.lru_cache import BoundedCache
from app.limits.worker_threads import caller

KEPT_UPDATES = 200  # a task, for streams that resume
KEPT_TASKS = 500
KEPT_PREVIEWS = 64 << 20  # bytes of them, the newest of a task
MOST_FOLLOWED = 50_000  # tasks that one caller may follow by their ids, over all its streams
KEPT_BYTES = 64 << 20  # of all kept updates
KNOWN_BIRTHS = 50_000  # tasks


class EventBus(Protocol):
    """Brings updates to the hubs of all replicas, ours included."""

    def send(self, task_id: str, type: Type, data: Mapping[str, Any], image: bytes) -> None:
        """Take it, to deliver it to us, too, in its turn (but for previews)."""
        ...

    async def run(self) -> None:
        """For ever."""
        ...

    async def flush(self) -> None:
        """Send what waits, before the end."""
        ...


class Hub:
    def __init__(self) -> None:
        self.event_bus: EventBus | None = None  # none: we are alone
        self.interruption: str | None = None  # why updates of other replicas do not come, if so
        self._subscriptions: set[Subscription] = set()
        self._everything: set[Subscription] = set()  # those of them to all tasks
        self._of_task: dict[str, set[Subscription]] = {}
        self._recent: OrderedDict[str, deque[Update]] = OrderedDict()
        self._last_id = 0
        self._closed = False
        self._listeners: list[Callable[[str], None]] = []
        self._watchers: list[Callable[[Update], None]] = []
        self._born: BoundedCache[str, str] = BoundedCache(KNOWN_BIRTHS)
        self._previews: BoundedCache[str, Update] = BoundedCache(
            KEPT_PREVIEWS, lambda update: update.size
        )
        self._followed: Counter[str] = Counter()  # by caller: ids, each as often as it is followed
        self._kept_bytes = 0
        self.relayed = 0  # updates given to subscribers
        self.dropped = 0  # subscribers that were too slow

    def publish(
        self, task_id: str, type: Type, data: Mapping[str, Any], image: bytes = b""
    ) -> None:
        """Something has happened to a task: tell the subscribers of all replicas."""
        update = Update(self._new_id(type), task_id, type, data, image)
        if self.event_bus is not None:
            self.event_bus.send(task_id, type, data, image)
        if update.id:
            self.deliver(update)
        elif self.interruption:  # it comes back late: whoever waits for it hears of it now
            self.tell(task_id, type, data)
        for watcher in self._watchers:
            watcher(update)
        if type == "status":
            for listener in self._listeners:
                listener(task_id)

    def deliver(self, update: Update) -> None:
        """To our own subscribers."""
        update = self._dated(update)
        self._last_id = max(self._last_id, update.id)
        if update.type == "preview":
            self._keep_preview(update)
        else:
            self._keep(update)
        self._spread(update)

    def tell(self, task_id: str, type: Type, data: Mapping[str, Any]) -> None:
        """To our own subscribers: how a task was found to be. It is no event: whoever resumes gets
        the task's state anyway, so it has no id of its own."""
        self._spread(self._dated(Update(self._last_id, task_id, type, data)))

    def _dated(self, update: Update) -> Update:
        """With the time at which its task was made, as the newest status told it."""
        if update.type == "status" and (born := update.data.get("created_at")):
            self._born.put(update.task_id, born)
        return replace(update, born=self._born.get(update.task_id))

    def suspend(self, why: str) -> None:
        """Updates of other replicas do not come: streams end, and there are none until `resume`."""
        self.interruption = why
        self.interrupt()

    def resume(self) -> None:
        """They come again, and what was told meanwhile has come."""
        self.interruption = None

    def interrupt(self) -> None:
        """Some may have been missed: streams end, so that their clients begin anew."""
        for subscription in self._subscriptions:
            if not subscription.lasts:
                subscription.end(Interrupted())

    def begin_at(self, id: int) -> None:
        """Ids go on from there: what a replica gives as ids must not be behind the others'."""
        self._last_id = max(self._last_id, id)

    def _new_id(self, type: Type) -> int:
        """0 if the event bus gives it one, and brings the update back with it."""
        if self.event_bus is not None:
            return self._last_id + 1 if type == "preview" else 0
        # Microseconds: larger than all ids before a restart, and exact in JavaScript.
        return max(self._last_id + 1, time.time_ns() // 1000)

    def _spread(self, update: Update) -> None:
        for subscriptions in (self._everything, self._of_task.get(update.task_id, ())):
            for subscription in subscriptions:
                if subscription.wants(update):
                    self._give(subscription, update)

    def _give(self, subscription: Subscription, update: Update) -> None:
        had_ended = subscription.ended
        if subscription.put(update):
            self.relayed += 1
        elif not had_ended:
            self.dropped += 1

    async def caught_up(self, patience: float) -> float:
        """Wait until no subscriber is far behind, so many seconds at most; answers what is left of
        them. For whoever has very much to tell."""
        until = time.monotonic() + patience
        while (left := until - time.monotonic()) > 0:
            if not any(subscription.is_behind for subscription in self._subscriptions):
                return left
            await asyncio.sleep(min(left, 0.02))
        return 0.0

    def on_status(self, listener: Callable[[str], None]) -> None:
        """Call it with the task's id whenever a task's status may have changed by what this replica
        did, for parts of ours that must not fall behind as a subscriber may."""
        self._listeners.append(listener)

    def on_update(self, watcher: Callable[[Update], None]) -> None:
        """Call it with whatever this replica publishes; it may have no id yet."""
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
        """Whether the caller may follow so many tasks more by their ids."""
        return self._followed[caller()] + more <= MOST_FOLLOWED

    def since(self, task_id: str, last_id: int, born: str | None = None) -> list[Update]:
        """The task's updates after `last_id`, as far as they are kept; previews are not. `born`:
        only of the task that was made then."""
        updates = [update for update in self._recent.get(task_id, ()) if update.id > last_id]
        return [update for update in updates if born in (None, update.born)]

    def last_preview(self, task_id: str, born: str | None) -> Update | None:
        """The newest preview of a task that is not finished, and was made then."""
        found = self._previews.get(task_id)
        return found if found and found.born == born else None

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def last_id(self) -> int:
        return self._last_id

    def newest(self, task_id: str) -> int:
        """The id of the task's last update, 0 if none is kept."""
        updates = self._recent.get(task_id)
        return updates[-1].id if updates else 0

    @property
    def subscribers(self) -> int:
        return len(self._subscriptions)

    def subscribers_of(self, caller: str) -> int:
        """Those of one caller (see app/limits/worker_threads.py)."""
        return sum(subscription.caller == caller for subscription in self._subscriptions)

    def watched(self, *, previews: bool = False) -> list[str]:
        """The tasks that somebody follows by their ids; `previews`: to see those, too."""
        if not previews:
            return sorted(self._of_task)
        return [id for id, found in self._of_task.items() if any(s.previews for s in found)]

    def watches_all(self, *, previews: bool = False) -> bool:
        """Whether somebody follows all tasks."""
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
        self._previews.put(update.task_id, update)

    def _keep(self, update: Update) -> None:
        if update.type == "status" and update.data.get("finished_at"):
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
