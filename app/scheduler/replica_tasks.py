"""What other replicas have on the servers."""

import asyncio
import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.db.mapping import Row, outline_of
from app.db.replica_tasks import ReplicaTaskRepository
from app.db.run_times import RunTimes
from app.events.hub import Hub
from app.events.subscription import Update
from app.limits.periodic import every
from app.runner.eta import Seen, seen_in_row
from app.servers.pool import Pool
from app.servers.server import Server
from app.tasks.model import TERMINAL, Status, Task

REFRESHED = 1.0  # seconds between two readings of the database
LEARNED = 2.0  # seconds between two exchanges of run times
COMPUTED = 0.1  # seconds for which the progress on a server is not computed again


class ReplicaTasks:
    """The unfinished tasks on servers that other processes drive, or that a process left behind.

    A snapshot of the database, at most REFRESHED seconds and the time of a query old while the
    database answers; after `refresh` it is current. Ends of tasks are known as soon as they are
    published. The progress of a running task is that of its newest update, which arrives within
    milliseconds; while Redis is away, or if the hub does not keep the task's updates any more, it
    is that of the database, at most a second older than the snapshot.

    Without a repository there are no other processes, and nothing is read.
    """

    def __init__(
        self, store: ReplicaTaskRepository | None, pool: Pool, hub: Hub, run_times: RunTimes
    ) -> None:
        self._store = store
        self._pool = pool
        self._hub = hub
        self._run_times = run_times
        self._asked = self._read = 0  # number of the last reading that began, and of the snapshot's
        self._rows: dict[str, list[Row]] = {}  # by server
        self._tasks: dict[str, list[Task]] = {}  # the same, as far as they were asked for
        self._computed: dict[str, tuple[float, list[Seen]]] = {}

    async def run(self) -> None:
        """Keep the snapshot current until cancelled."""
        async with asyncio.TaskGroup() as group:
            looks = every(REFRESHED, self.refresh, "reading the tasks of other replicas")
            learns = every(LEARNED, self._exchange_run_times, "exchanging run times")
            group.create_task(looks, name="tasks of other replicas")
            group.create_task(learns, name="run times of other replicas")

    async def refresh(self) -> None:
        """Read the tasks now: what was committed before the call is in the snapshot."""
        if self._store is None:
            return
        self._asked += 1
        number = self._asked
        rows = await self._store.rows()
        if number < self._read:
            return  # overtaken by a later call
        self._read = number
        self._rows, self._tasks, self._computed = {}, {}, {}
        for row in rows:
            self._rows.setdefault(row["server"], []).append(row)
        for server in self._pool:
            server.held_beside = 0  # the snapshot has all of them

    def on(self, server: Server, own: Container[str]) -> list[Seen]:
        """Return the tasks on a server, except those in `own`, which this process drives by now."""
        if server.id not in self._rows:
            return []
        at, found = self._computed.get(server.id, (0.0, []))
        if time.monotonic() - at > COMPUTED:
            if server.id not in self._tasks:
                self._tasks[server.id] = [outline_of(row) for row in self._rows[server.id]]
            tasks = self._tasks[server.id]
            found = [self.seen(task) for task in tasks if not self._has_ended(task)]
            self._computed[server.id] = time.monotonic(), found
        return [seen for seen in found if seen.task.task_id not in own]

    def seen(self, task: Task) -> Seen:
        """Return a task that another process drives, with the progress that was published last, or
        the stored one if that is newer."""
        told = _last_told(self._hub.since(task.task_id, 0))
        if task.started_at is None or told is None:
            return seen_in_row(task)
        newest, first = told
        progress = newest.data["progress"]
        if newest.data["status"] == Status.QUEUED or progress["value"] < task.progress.value:
            return seen_in_row(task)
        names = ("value", "nodes_done", "current_node", "class_type", "step", "steps")
        known = replace(task.progress, **{name: progress[name] for name in names})
        return Seen(task, known, max(time.time() - first.id / 1e6, 0.0))

    def _has_ended(self, task: Task) -> bool:
        told = _last_told(self._hub.since(task.task_id, 0))
        return told is not None and told[0].data["status"] in TERMINAL

    async def _exchange_run_times(self) -> None:
        """Save run times and read those of others, on which estimates of their tasks depend."""
        await self._run_times.save()
        await self._run_times.learn_from_others()


def _last_told(updates: Sequence[Update]) -> tuple[Update, Update] | None:
    """Return the newest update with the progress of a task, and the first one with the same
    progress. Ids of updates are microseconds."""
    told = [update for update in updates if "progress" in update.data]
    if not told:
        return None
    newest = first = told[-1]
    for update in reversed(told):
        if _where(update.data) != _where(newest.data):
            break
        first = update
    return newest, first


def _where(data: Mapping[str, Any]) -> tuple[Any, ...]:
    progress = data["progress"]
    queued = data["status"] == Status.QUEUED
    return queued, progress["value"], progress["current_node"], progress["step"]
