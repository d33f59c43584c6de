"""Publishes changes of followed tasks that no event announces.

These are the queue position and ETA of a queued task, and what another process on the same SQLite
file, or a replica while Redis is unreachable, does to a task.
"""

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from app.db.engine.list_parameters import parts_of
from app.db.tasks import TaskRepository
from app.events.hub import Hub
from app.events.subscription import Update
from app.limits.periodic import every
from app.scheduler.dispatcher import Dispatcher
from app.scheduler.presenter import TaskPresenter
from app.tasks.model import Progress, QueuePosition, Status, Task
from app.tasks.view import Expected, progress_view

LOOK_INTERVAL = 2.0  # seconds between two passes
MAX_FOLLOWED_TASKS = 2000  # maximum number of tasks read in a pass
TOLD = 6000  # maximum number of tasks whose last view is remembered
QUEUE_HEAD_TASKS = (
    # Head of the queue whose positions and ETAs are published; a client can extrapolate the rest
    # from the last of them
    100
)
DRIFT = 2.0  # seconds, or a tenth of the ETA: published again if it differs from the clock by more
AT_ONCE = 100  # tasks published before waiting for slow subscribers
DELIVERY_TIMEOUT = 2.0  # seconds; upper bound of that waiting in one pass
STATE = ("status", "waiting_for", "warnings")


class Hope(NamedTuple):
    """What was last published of a queued task, and when."""

    position: int | None
    waiting_for: str | None
    eta: float | None
    at: float
    heard: int  # the id of the task's newest update at that time

    def is_like(self, other: "Hope") -> bool:
        """Return whether `other` is `self` with its ETA counted down by the clock."""
        if (self.position, self.waiting_for) != (other.position, other.waiting_for):
            return False
        if self.eta is None or other.eta is None:
            return self.eta is other.eta
        due = max(self.eta - (other.at - self.at), 0.0)
        return abs(due - other.eta) <= max(DRIFT, due / 10)


class StreamReconciler:
    def __init__(
        self,
        hub: Hub,
        store: TaskRepository,
        presenter: TaskPresenter,
        dispatcher: Dispatcher,
    ) -> None:
        self._hub = hub
        self._store = store
        self._presenter = presenter
        self._dispatcher = dispatcher
        self._last_event: dict[str, int] = {}  # task id -> its newest update in the last pass
        self._last_view: dict[str, Mapping[str, Any]] = {}  # task id -> its view in the last pass
        # Of the head of the queue, for subscriptions to all tasks
        self._hopes: dict[str, Hope] = {}

    async def run(self) -> None:
        """Check followed tasks every LOOK_INTERVAL seconds, until cancelled."""
        await every(LOOK_INTERVAL, self._look, "looking at followed tasks")

    async def _look(self) -> None:
        watched = self._hub.watched()[:MAX_FOLLOWED_TASKS]
        began = self._hub.last_id
        await self._tell_all(await self._store.several(self._silent(watched)), began)
        await self._tell_head(set(watched), began)
        ours = self._dispatcher.driven() if self._hub.watches_all() else watched
        places = await self._places(ours[:MAX_FOLLOWED_TASKS])
        for task_id in ours[:MAX_FOLLOWED_TASKS]:
            self._tell_of_ours(task_id, places.get(task_id))
        kept = {*watched, *ours[:MAX_FOLLOWED_TASKS]}
        self._last_view = {
            task_id: view for task_id, view in self._last_view.items() if task_id in kept
        }

    def _silent(self, watched: Iterable[str]) -> list[str]:
        """Return the tasks without an update since the last pass, except those that this process
        drives: it publishes their changes itself."""
        heard = {task_id: self._hub.newest(task_id) for task_id in watched}
        changed = [id for id, newest in heard.items() if self._last_event.get(id) != newest]
        for task_id in changed:
            self._last_view.pop(task_id, None)
        self._last_event, quiet = heard, set(heard).difference(changed)
        return sorted(id for id in quiet if self._dispatcher.progress_of(id) is None)

    async def _tell_all(self, tasks: list[Task], began: int) -> None:
        """Publish changes of these tasks. `began`: the newest update id when they were read."""
        patience = DELIVERY_TIMEOUT
        for part in parts_of(tasks, AT_ONCE):
            for task in part:
                # Then the row is older than the update
                heard_since = self._hub.newest(task.task_id) > began
                if not heard_since and self._dispatcher.progress_of(task.task_id) is None:
                    self._tell(task)
            patience = await self._hub.caught_up(patience)

    def _tell(self, task: Task) -> None:
        task_id = task.task_id
        view = self._presenter.view(task)
        known = self._last_view.get(task_id) or _heard_of(self._hub.since(task_id, 0))
        if task_id in self._last_view or len(self._last_view) < TOLD:
            self._last_view[task_id] = view
        for output in view["outputs"]:
            if known is None or output not in known["outputs"]:
                self._hub.tell(task, "output", partial(dict, output))
        if known is None or _essence(view, task) != _essence(known, task):
            self._hub.tell(task, "status", lambda: view)
        elif _is_ahead(view, known):
            self._tell_progress(task, self._presenter.seen(task).progress, view)

    async def _tell_head(self, told: Collection[str], began: int) -> None:
        """Publish changed positions and ETAs of the head of the queue to subscriptions to all
        tasks.

        Changes that follow from the clock alone are not published. Of thousands of waiting tasks
        only the head is read: a client can move the others by as much as the last of the head
        moved.
        """
        head = await self._store.waiting(limit=QUEUE_HEAD_TASKS) if self._hub.watches_all() else []
        before, self._hopes = self._hopes, {}
        for task in head:
            if self._hub.newest(task.task_id) > began:  # then the row is older than the update
                continue
            view = self._presenter.view(task)
            at = time.monotonic()
            heard = self._hub.newest(task.task_id)
            hope = Hope(view["queue_position"], view["waiting_for"], view["eta_seconds"], at, heard)
            known = before.get(task.task_id)
            if known and known.heard == heard and known.is_like(hope):
                self._hopes[task.task_id] = known
                continue
            if task.task_id not in told:
                expected = Expected(hope.eta, hope.waiting_for)
                render = partial(progress_view, task, task.progress, expected)
                self._hub.tell(task, "progress", render)
            self._hopes[task.task_id] = hope

    async def _places(self, task_ids: Iterable[str]) -> dict[str, QueuePosition | None]:
        """Return the queue positions of the tasks that this process drives and that wait on their
        servers: the runner of a task does not know what is queued before it."""
        seen = [(task_id, self._dispatcher.seen(task_id)) for task_id in task_ids]
        ids = [task_id for task_id, each in seen if each and each.task.status == Status.QUEUED]
        found = await self._store.several(ids) if ids else []
        return {task.task_id: task.queue_position for task in found}

    def _tell_of_ours(self, task_id: str, queue_position: QueuePosition | None) -> None:
        """Publish changes without an event of a task that this process drives: its server went
        offline or came back, a node is slow, its queue position changed."""
        seen = self._dispatcher.seen(task_id)
        if seen is None:
            return
        if seen.task.status == Status.QUEUED:
            seen = seen._replace(task=replace(seen.task, queue_position=queue_position))
        view: Mapping[str, Any] = self._presenter.view(seen.task)
        told = self._last_view.get(task_id)
        known = told or _heard_of(self._hub.since(task_id, 0)) or view
        if told or len(self._last_view) < TOLD:
            self._last_view[task_id] = view
        if [view[name] for name in STATE] != [known[name] for name in STATE]:
            self._hub.tell(seen.task, "status", lambda: view)
            return
        # Else no event has arrived since `known`
        names = ("queue_position", *(["eta_seconds"] if told else []))
        if any(view[name] != known[name] for name in names):
            self._tell_progress(seen.task, seen.progress, view)

    def _tell_progress(self, task: Task, progress: Progress, view: Mapping[str, Any]) -> None:
        expected = Expected(view["eta_seconds"], view["waiting_for"])
        self._hub.tell(task, "progress", partial(progress_view, task, progress, expected))


def _is_ahead(view: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Return whether the row is newer than what was published: it may be older."""
    value, before = view["progress"]["value"], known["progress"]["value"]
    is_older = value == before and view["eta_seconds"] != known["eta_seconds"]
    return bool(value > before or is_older)


def _essence(view: Mapping[str, Any], task: Task) -> list[Any]:
    """Return the fields whose change is published at once as status, for a task that has not
    started including its queue position."""
    names = ["status", "started_at", "finished_at", "server", "outputs", "warnings", "attempts"]
    if task.started_at is None:
        names += ["waiting_for", "queue_position", "eta_seconds"]
    return [view[name] for name in names]


def _heard_of(updates: Iterable[Update]) -> Mapping[str, Any] | None:
    """Return the task's state as its updates show it; None if too few of them are kept."""
    view: dict[str, Any] | None = None
    for update in updates:
        if update.type == "status":
            view = dict(update.data)
        elif update.type == "progress" and view:
            view |= {
                name: update.data[name] for name in ("progress", "queue_position", "eta_seconds")
            }
        elif update.type == "output" and view:
            view["outputs"] = [*view["outputs"], update.data]
    return view
