"""Gives servers with room their next tasks, and keeps what it drives alive."""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from app.db.claims import Claims
from app.db.engine.notify import Notifications, Topic
from app.db.lease import is_dead
from app.db.queue import Choose, Claim, Queue
from app.limits.periodic import Work, attempt, every
from app.runner.context import RunContext
from app.runner.eta import Seen
from app.runner.expectation import wait_on
from app.runner.failed_saves import FailedSaves
from app.runner.messages import CancelRequest, MoveRequest
from app.runner.run import Run
from app.scheduler.planner import ServerCapacity, plan
from app.scheduler.recovery import cancel_stray_prompts, clear_stall_if_idle, recover_orphans
from app.scheduler.waiting import WaitingRequirements
from app.servers.pool import Pool
from app.servers.server import Server
from app.tasks.model import Assignment, CancelReason, Progress, Status, Task, WaitingTask
from app.tasks.view import task_view

log = logging.getLogger(__name__)

# In the time of a lease, which so outlasts ten busy seconds. They wait for the database alone.
RENEWALS = 6
IDLE = 5.0  # seconds after which work is looked for unasked: a net, not the rule
AFTER_OTHERS = 0.1  # seconds in which work is left to the process that told of it
# Seconds in which a server is swept again and again, since it came online or left a prompt without
SWEPT_FOR = 150.0  # an answer: longer than anything on the way should hold a request
PROGRESS_SAVED = 1.0  # seconds between two writes of live progress
REFRESHED = 30.0  # seconds between two looks whether a server has now what a task waits for


class Dispatcher:
    def __init__(self, pool: Pool, context: RunContext) -> None:
        self._pool = pool
        self._context = context
        self._claims: Claims = context.claims
        self._queue: Queue = context.queue
        self._waits = WaitingRequirements(pool, context.queue)
        self._runs: dict[str, Run] = {}
        self._drives: dict[Run, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._later: asyncio.TimerHandle | None = None
        self._work: asyncio.Task[None] | None = None
        self._troubles = FailedSaves(context.claims, self._tell)
        self._left_behind = True  # there may be tasks on servers that nobody drives

    async def run(self) -> None:
        """Work until stopped; then let go of all tasks, so that others can take over at once."""
        self._work = asyncio.current_task()
        await self._free_the_dead()
        await self._context.run_times.learn_from_others()
        upkeep: list[tuple[float, Work]] = [
            (self._context.lease.seconds / RENEWALS, self._claims.renew),
            (self._context.lease.seconds / 3, self._rescue),
            (PROGRESS_SAVED, self._save_progress),
            (PROGRESS_SAVED, self._look_for_cancels),
            (IDLE, self._look_after_servers),
            (IDLE, self._context.run_times.save),
            (REFRESHED, self._refresh),
            (REFRESHED, self._context.run_times.learn_from_others),
        ]
        try:
            async with asyncio.TaskGroup() as self._group:
                for seconds, work in upkeep:
                    name = work.__qualname__
                    self._group.create_task(every(seconds, work, name), name=name)
                self._group.create_task(self._pool.run(self._server_changed), name="servers")
                give = every(IDLE, self._give_work, "giving out tasks", self._wake)
                self._group.create_task(give, name="dispatch")
        finally:
            await asyncio.shield(self._claims.hand_back())
            await asyncio.shield(self._context.run_times.save())

    def stop(self) -> None:
        if self._work is not None:
            self._work.cancel()

    def wake(self) -> None:
        """There may be work, or somebody who can do it."""
        self._wake.set()

    def listen(self, notifications: Notifications) -> None:
        """Hear of work and of cancels that came to other processes."""

        def cancel(task_id: str) -> None:
            self.cancel(task_id, CancelReason.REQUEST)

        def left(_: str) -> None:
            self._left_behind = True
            self.wake()

        notifications.on(Topic.WORK, self._work_elsewhere)
        notifications.on(Topic.LEFT, left)
        notifications.on(Topic.CANCEL, cancel)

    def _work_elsewhere(self, _: str) -> None:
        """Whoever tells of it sees to it first. Otherwise all would ask for each task at once."""
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(AFTER_OTHERS, self._wake_now)

    def _wake_now(self) -> None:
        self._later = None
        self.wake()

    def cancel(self, task_id: str, reason: CancelReason) -> None:
        """Tell the run that drives the task, if it is one of ours."""
        if run := self._runs.get(task_id):
            run.ask(CancelRequest(reason))

    def move_away(self, server: Server, reason: str, *, force: bool = False) -> None:
        """Take off a server what waits there; with `force` what runs there, too."""
        for run in self.running_on(server):
            if force or run.task.started_at is None:
                run.ask(MoveRequest(reason, force))

    def progress_of(self, task_id: str) -> Progress | None:
        """Live progress, newer than what the store has."""
        run = self._runs.get(task_id)
        return run.progress if run else None

    def running_on(self, server: Server) -> list[Run]:
        return [run for run in self._runs.values() if run.server is server]

    async def until_idle(self, server: Server) -> None:
        """Wait until nothing of ours is driven on the server."""
        while drives := [self._drives[run] for run in self.running_on(server)]:
            await asyncio.wait(drives)

    def seen(self, task_id: str) -> Seen | None:
        run = self._runs.get(task_id)
        return run.seen if run else None

    def driven(self) -> list[str]:
        return list(self._runs)

    def seen_on(self, server: Server) -> list[Seen]:
        return [run.seen for run in self.running_on(server)]

    def wait_of(self, server: Server) -> float:
        """Seconds until the server is through with what it holds, as far as can be told."""
        return wait_on(server, self.seen_on(server), self._context.run_times)

    # -- work -----------------------------------------------------------------------------------

    async def _give_work(self) -> None:
        """Give out all that our servers have room for. A full or locked database leaves the queue
        as it is: the next call goes on."""
        await self._take_over()
        while await self._give_out():
            pass

    async def _take_over(self) -> None:
        """Drive what is on our servers and has no live owner."""
        if not self._left_behind:
            return
        self._left_behind = False
        servers = [server.id for server in self._pool.online()]
        for claim in await self._queue.take_over(servers):
            self._start(claim)

    async def _give_out(self) -> bool:
        """Give the next tasks to servers with room; False when nothing is left to give."""
        groups = self._capacities()
        if groups and self._waits.overdue:
            await self._waits.look_over()
        return any([await self._give_to(room, barred) for barred, room in groups.items()])

    async def _give_to(self, room: Sequence[ServerCapacity], barred: Collection[str]) -> bool:
        seconds, waits = self._context.run_times.seconds, self._waits

        def offer(held: Mapping[str, int]) -> tuple[list[str], Choose] | None:
            for server in self._pool:
                server.held_beside = held.get(server.id, 0) - len(self.running_on(server))
            beside = (one.beside(held.get(one.server.id, 0)) for one in room)
            free = [capacity for capacity in beside if capacity.free > 0]

            def choose(waiting: Sequence[WaitingTask]) -> Sequence[Assignment]:
                waits.notice(waiting, free)
                return plan(waiting, free, seconds)

            return (waits.passed_over(free), choose) if free else None

        claims, more = await self._queue.assign(offer, barred=barred, large=waits.many)
        for claim in claims:
            self._start(claim)
        return more  # what was seen and found no capacity is passed over next time

    def _capacities(self) -> dict[frozenset[str], list[ServerCapacity]]:
        """Of servers that may have room, by the keys that they are closed to."""
        capacities: dict[frozenset[str], list[ServerCapacity]] = {}
        for server in self._pool:
            slots = 1 if server.is_probing else server.slots
            if server.accepting and len(self.running_on(server)) < slots:
                capacity = ServerCapacity(server, slots, self.wait_of(server), server.warm)
                capacities.setdefault(server.barred, []).append(capacity)
        return capacities

    def _start(self, claim: Claim) -> None:
        task_id = claim.task.task_id
        if claim.task.server not in self._pool:  # removed while the claim was written
            self._group.create_task(self._troubles.let_go(task_id), name=f"let go {task_id}")
            return
        run = Run(claim, self._pool.get(claim.task.server or ""), self._context, self.seen_on)
        self._runs[task_id] = run
        self._drives[run] = self._group.create_task(self._drive(run), name=f"task {task_id}")

    async def _drive(self, run: Run) -> None:
        task_id = run.task.task_id
        try:
            await run.drive()
            self._troubles.is_over(task_id)
        except Exception as error:  # the end cannot be written, for want of room say
            log.exception("task %s could not be ended", task_id)
            await self._troubles.after(run.task, error, run.server)
            self._left_behind = True
        finally:
            if self._runs.get(task_id) is run:  # or has it been taken up again already?
                del self._runs[task_id]
            self._drives.pop(run, None)
            self.wake()

    def _tell(self, task: Task) -> None:
        self._context.hub.publish(task.task_id, "status", task_view(task))

    # -- upkeep ---------------------------------------------------------------------------------

    async def _rescue(self) -> None:
        await recover_orphans(self._pool, self._context, self._troubles)
        self._left_behind = True  # perhaps, by a process whose lease has lapsed meanwhile
        self.wake()

    async def _look_after_servers(self) -> None:
        for server_id, needs in (await self._queue.newest()).items():
            if needs.files and server_id in self._pool:
                self._pool.get(server_id).warm = needs.models  # others may have given it something
        for server in self._pool:
            if server.stalled and not self.running_on(server):
                await clear_stall_if_idle(server)
            if server.swept and time.time() - server.doubted_at < SWEPT_FOR:
                await cancel_stray_prompts(server, self._context)
        await self._troubles.free_the_idle(self._runs)
        await self._waits.ask_again()
        self._server_changed()

    async def _save_progress(self) -> None:
        news = {task_id: run.progress for task_id, run in self._runs.items() if run.is_news()}
        if news:
            await self._claims.save_progress(news)

    async def _look_for_cancels(self) -> None:
        """A cancel may have come to another process."""
        if self._runs:
            for task_id in await self._claims.canceled():
                run = self._runs.get(task_id)
                if run and run.task.status is not Status.CANCELING:
                    run.ask(CancelRequest(CancelReason.REQUEST))

    async def _refresh(self) -> None:
        """A task may wait for a node type or model file that is being installed somewhere."""
        if await self._waits.look_over():
            await self._pool.refresh()
            self.wake()

    async def _free_the_dead(self) -> None:
        """Take over from processes of this host that are gone, without waiting for their leases."""
        for runner_id in await self._queue.runner_ids():
            if is_dead(runner_id):
                log.info("taking over from %s", runner_id)
                await self._claims.hand_back(runner_id)

    def _server_changed(self) -> None:
        stops = bool(self._work and self._work.cancelling())  # a group that ends takes no more
        for server in self._pool:
            if server.online and not (server.swept or server.sweeping or stops):
                server.sweeping = True
                self._group.create_task(self._sweep(server), name=f"sweep {server.id}")
            if server.stalled and self.running_on(server):
                self.move_away(server, f"{server.id} is stalled.")
        self._left_behind = True
        self.wake()

    async def _sweep(self, server: Server) -> None:
        """A server that is online (again) gets work once it is rid of what should not be there."""
        sweep = partial(cancel_stray_prompts, server, self._context)
        try:
            await attempt(sweep, f"sweeping server {server.id}")  # tried again before long
        finally:
            server.sweeping = False
        self.wake()
