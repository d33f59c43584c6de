"""Tells subscribers of a queued task how its place and its ETA change while it waits."""

import asyncio
import logging
from typing import Any

from app.errors import TaskNotFound
from app.tasks.forecast import is_waiting
from app.tasks.forecaster import Forecaster
from app.tasks.hub import Hub
from app.tasks.store import TaskStore

log = logging.getLogger(__name__)

INTERVAL = 2.0  # seconds between two tellings
MOST = 100  # tasks that are looked at each time
SHOWN = ("queue_position", "eta_seconds", "waiting_for")


async def tell_places(hub: Hub, store: TaskStore, forecaster: Forecaster) -> None:
    """For ever, for tasks that somebody follows by their ids."""
    told: dict[str, list[Any]] = {}
    while True:
        await asyncio.sleep(INTERVAL)
        watched = hub.watched()[:MOST]
        told = {task_id: told[task_id] for task_id in watched if task_id in told}
        for task_id in watched:
            try:
                task = await store.get(task_id)
            except TaskNotFound:
                continue
            except Exception:  # it is only a convenience
                log.exception("the place of task %s cannot be told", task_id)
                continue
            view = forecaster.view(task)
            news = [view[name] for name in SHOWN]
            if is_waiting(task) and told.get(task_id) != news:
                told[task_id] = news
                hub.publish(task_id, "status", view)
