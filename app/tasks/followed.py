"""Tells subscribers here of tasks that other processes drive: at once where these tell of it, and
otherwise by looking."""

import asyncio
import logging
import time

from app.errors import TaskNotFound
from app.tasks.dispatcher import Dispatcher
from app.tasks.forecaster import Forecaster
from app.tasks.hub import Hub
from app.tasks.model import Status
from app.tasks.signals import Signals, Topic
from app.tasks.store import TaskStore

log = logging.getLogger(__name__)

INTERVAL = 2.0  # seconds between two looks at what is followed here and driven elsewhere
PAGE = 500  # tasks that are asked for at once


class Followed:
    def __init__(
        self, hub: Hub, store: TaskStore, forecaster: Forecaster, dispatcher: Dispatcher
    ) -> None:
        self._hub = hub
        self._store = store
        self._forecaster = forecaster
        self._dispatcher = dispatcher
        self._news: set[str] = set()
        self._told: dict[str, Status] = {}  # as we found them last, of those that are followed
        self._wake = asyncio.Event()

    def listen(self, signals: Signals) -> None:
        """Hear of what happens to tasks elsewhere."""
        signals.on(Topic.STATUS, self._heard)

    async def run(self) -> None:
        """For ever."""
        look_at = 0.0
        while True:
            try:
                async with asyncio.timeout(INTERVAL):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            news, self._news = self._news, set()
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + INTERVAL
                watched = set(self._hub.watched())
                self._told = {id: self._told[id] for id in self._told.keys() & watched}
                news |= watched
            try:
                await self._tell([id for id in news if self._dispatcher.progress_of(id) is None])
            except Exception:  # a database that is away: the next look finds the same
                log.exception("it cannot be seen how tasks are doing elsewhere")

    def _heard(self, task_id: str) -> None:
        if task_id and self._hub.subscribers:
            self._news.add(task_id)
            self._wake.set()

    async def _tell(self, task_ids: list[str]) -> None:
        for begin in range(0, len(task_ids), PAGE):
            page = task_ids[begin : begin + PAGE]
            for task_id, status in (await self._store.statuses(page)).items():
                if status not in (self._told.get(task_id), self._published(task_id)):
                    await self._find(task_id, status)

    async def _find(self, task_id: str, status: Status) -> None:
        try:
            task = await self._store.get(task_id)
        except TaskNotFound:  # deleted this moment
            return
        self._told[task_id] = status
        self._hub.tell(task_id, "status", self._forecaster.view(task))

    def _published(self, task_id: str) -> Status | None:
        """The last status that was an event of ours."""
        told = [u.data["status"] for u in self._hub.since(task_id, 0) if u.type == "status"]
        return Status(told[-1]) if told else None
