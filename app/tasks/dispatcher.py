"""Gives every server with a free slot its next task, and keeps what it drives alive."""

import asyncio
import logging
import os
import socket
import time
from uuid import uuid4

from app.servers.pool import Pool
from app.servers.server import Server
from app.tasks.claims import Claims
from app.tasks.model import CancelReason, Progress
from app.tasks.outcome import Lost
from app.tasks.runner import Run
from app.tasks.tools import Tools
from app.tasks.view import task_view

log = logging.getLogger(__name__)

IDLE = 5.0  # seconds after which a server looks for work unasked: a net, not the rule
PROGRESS_SAVED = 1.0  # seconds between two writes of live progress


def new_owner() -> str:
    """A name for this process. Host and pid tell after a crash that it is gone for good."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:12]}"


def is_dead(owner: str) -> bool:
    """True if `owner` was a process on this host that no longer runs."""
    host, pid, _ = owner.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    if int(pid) == os.getpid():
        return True  # not us, but it had our pid: a container's pids start at 1 each time
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


class Dispatcher:
    def __init__(self, pool: Pool, tools: Tools) -> None:
        self._pool = pool
        self._tools = tools
        self._claims: Claims = tools.claims
        self._runs: dict[str, Run] = {}
        self._wakes = {server.id: asyncio.Event() for server in pool}

    async def run(self) -> None:
        """Work until cancelled; then let go of all tasks, so that others can take over at once."""
        await self._free_the_dead()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_alive(), name="heartbeat")
                group.create_task(self._save_progress(), name="progress")
                group.create_task(self._pool.run(self.wake), name="servers")
                for server in self._pool:
                    serving = self._serve(server, group)
                    group.create_task(serving, name=f"dispatch {server.id}")
        finally:
            await asyncio.shield(self._claims.hand_back())

    def wake(self) -> None:
        """There may be work, or somebody who can do it."""
        for event in self._wakes.values():
            event.set()

    def cancel(self, task_id: str, reason: CancelReason) -> None:
        """Tell the run that drives the task, if it is one of ours."""
        if run := self._runs.get(task_id):
            run.request_cancel(reason)

    def progress_of(self, task_id: str) -> Progress | None:
        """Live progress, newer than what the store has."""
        run = self._runs.get(task_id)
        return run.progress if run else None

    def running_on(self, server: Server) -> list[str]:
        return [task_id for task_id, run in self._runs.items() if run.server is server]

    # -- work -----------------------------------------------------------------------------------

    async def _serve(self, server: Server, group: asyncio.TaskGroup) -> None:
        wake = self._wakes[server.id]
        while True:
            wake.clear()
            try:
                while server.online and len(self.running_on(server)) < server.slots:
                    if not await self._start_next(server, group):
                        break
            except Exception:  # a full or locked database: the queue is safe, go on later
                log.exception("server %s: no task can be claimed", server.id)
            try:
                async with asyncio.timeout(IDLE):
                    await wake.wait()
            except TimeoutError:
                pass

    async def _start_next(self, server: Server, group: asyncio.TaskGroup) -> bool:
        claim = await self._claims.claim(server.id)
        if claim is None:
            return False
        run = self._runs[claim.task.task_id] = Run(claim, server, self._tools)
        group.create_task(self._drive(run), name=f"task {claim.task.task_id}")
        return True

    async def _drive(self, run: Run) -> None:
        task_id = run.task.task_id
        try:
            await run.drive()
        except Exception:  # the end cannot be written, for want of room say: try it all again
            log.exception("task %s could not be ended", task_id)
            await self._let_go(task_id)
        finally:
            self._runs.pop(task_id, None)
            self.wake()

    async def _let_go(self, task_id: str) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SAVED)
            try:
                await self._claims.let_go(task_id)
            except Exception:  # as above
                log.exception("task %s cannot be let go yet", task_id)
            else:
                return

    # -- upkeep ---------------------------------------------------------------------------------

    async def _keep_alive(self) -> None:
        while True:
            try:
                await self._claims.renew()
                await self._rescue()
            except Exception:  # must go on: without the heartbeat our tasks are not ours
                log.exception("the leases could not be renewed")
            await asyncio.sleep(self._claims.lease_seconds / 3)

    async def _save_progress(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SAVED)
            news = {task_id: run.progress for task_id, run in self._runs.items() if run.is_news()}
            try:
                if news:
                    await self._claims.save_progress(news)
            except Exception:  # it is only progress
                log.exception("progress could not be saved")

    async def _free_the_dead(self) -> None:
        """Take over from processes of this host that are gone, without waiting for their leases."""
        for owner in await self._claims.owners():
            if is_dead(owner):
                log.info("taking over from %s", owner)
                await self._claims.hand_back(owner)

    async def _rescue(self) -> None:
        """See to tasks without an owner whose server is away for good."""
        grace = self._tools.timing.server_grace
        there = [
            server.id
            for server in self._pool
            if server.online or time.time() - server.health.since < grace
        ]
        for task in await self._claims.adopt(keep_servers=there):
            lost = Lost("server_lost", f"{task.server} is gone.")
            elsewhere = self._pool.has_other(task.server, task.wanted_server)
            ended = await self._claims.settle(task, lost, task.attempts, elsewhere)
            self._tools.hub.publish(task.task_id, "status", task_view(ended))
        self.wake()
