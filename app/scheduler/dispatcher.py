"""Assigns tasks to servers with free slots, and keeps the leases of the driven tasks."""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from app.db.claimed import Claim
from app.db.claims import Claims
from app.db.engine.notify import Notifications, Topic
from app.db.lease import RENEWALS, is_dead
from app.db.queue import Choose, Left, Queue
from app.limits.periodic import Work, attempt, every, to_its_end
from app.runner.context import RunContext
from app.runner.eta import Seen
from app.runner.expectation import wait_on
from app.runner.failed_saves import FailedSaves
from app.runner.messages import CancelRequest, MoveRequest
from app.runner.run import Run
from app.scheduler.capacities import capacities_of
from app.scheduler.planner import ServerCapacity, plan
from app.scheduler.recovery import cancel_stray_prompts, clear_stall_if_idle, recover_orphans
from app.scheduler.replica_tasks import ReplicaTasks
from app.scheduler.waiting import WaitingRequirements
from app.servers.pool import Pool
from app.servers.server import Server
from app.tasks.model import Assignment, CancelReason, Progress, Status, Task, WaitingTask
from app.tasks.view import task_view

log = logging.getLogger(__name__)

IDLE = 5.0  # seconds between looks for work without a notification, in case one is lost
AFTER_OTHERS = 0.1  # seconds that a new task is left to the process that announced it
# Seconds in which a server is swept repeatedly after it came online or left a POST unanswered:
# longer than any proxy should hold a request
SWEPT_FOR = 150.0
PROGRESS_SAVED = 1.0  # seconds between two writes of live progress
REFRESHED = 30.0  # seconds between two checks whether a server now has what a task waits for


class Dispatcher:
    def __init__(self, pool: Pool, context: RunContext, peers: ReplicaTasks) -> None:
        self._pool = pool
        self.peers = peers
        self._context = context
        self._claims: Claims = context.claims
        self._queue: Queue = context.queue
        self._waits = WaitingRequirements(pool, context.queue)
        self._runs: dict[str, Run] = {}
        self._drives: dict[Run, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._is_empty = False  # no task waits in the queue
        self._later: asyncio.TimerHandle | None = None
        self._work: asyncio.Task[None] | None = None
        self._troubles = FailedSaves(context.claims, self._tell)
        self._left_behind = True  # there may be tasks on servers without an owner

    async def run(self) -> None:
        """Work until stopped; then release all tasks, so that other processes can take over at
        once."""
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
            await to_its_end(self._claims.hand_back())
            await to_its_end(self._context.run_times.save())

    def stop(self) -> None:
        if self._work is not None:
            self._work.cancel()

    def wake(self) -> None:
        """Look for work now: a task was queued, or servers changed."""
        self._is_empty = False
        self._wake.set()

    def listen(self, notifications: Notifications) -> None:
        """Subscribe to tasks and cancels that other processes accepted."""

        def cancel(task_id: str) -> None:
            self.cancel(task_id, CancelReason.REQUEST)

        def left(_: str) -> None:
            self._left_behind = True
            self.wake()

        notifications.on(Topic.WORK, self._work_elsewhere)
        notifications.on(Topic.LEFT, left)
        notifications.on(Topic.CANCEL, cancel)

    def _work_elsewhere(self, _: str) -> None:
        """Look for work after a delay: the announcing process goes first.

        Otherwise every process would try to claim each task at once.
        """

        def wake() -> None:
            self._later = None
            self.wake()

        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(AFTER_OTHERS, wake)

    def cancel(self, task_id: str, reason: CancelReason) -> None:
        """Cancel the run of the task, if this process drives it."""
        if run := self._runs.get(task_id):
            run.ask(CancelRequest(reason))

    def move_away(self, server: Server, reason: str, *, force: bool = False) -> None:
        """Take pending prompts off a server; with `force` running ones, too."""
        for run in self.running_on(server):
            if force or run.task.started_at is None:
                run.ask(MoveRequest(reason, force))

    def progress_of(self, task_id: str) -> Progress | None:
        """Return the live progress, which is newer than the database's; None if not driven here."""
        run = self._runs.get(task_id)
        return run.progress if run else None

    def running_on(self, server: Server) -> list[Run]:
        """Return the runs of this process on the server; `seen_on` has those of all."""
        return [run for run in self._runs.values() if run.server is server]

    async def until_idle(self, server: Server) -> None:
        """Wait until this process drives nothing on the server."""
        while drives := [self._drives[run] for run in self.running_on(server)]:
            await asyncio.wait(drives)

    def seen(self, task_id: str) -> Seen | None:
        run = self._runs.get(task_id)
        return run.seen if run else None

    def driven(self) -> list[str]:
        return list(self._runs)

    def seen_on(self, server: Server) -> list[Seen]:
        """Return the tasks of all gateways on the server; see ReplicaTasks for how old they are."""
        return [*(run.seen for run in self.running_on(server)), *self.peers.on(server, self._runs)]

    def wait_of(self, server: Server) -> float:
        """Return the estimated seconds until the server has finished what it holds."""
        return wait_on(server, self.seen_on(server), self._context.run_times)

    # -- work -----------------------------------------------------------------------------------

    async def _give_work(self) -> None:
        """Assign tasks to all free slots; if the database cannot be written, the next call does."""
        await self._take_over()
        self._is_empty, left = True, set[Left]()  # a wake meanwhile makes it False
        try:
            while Left.MORE in (left := await self._give_out()):
                pass
        finally:
            self._is_empty &= left == {Left.NOTHING}

    async def _take_over(self) -> None:
        """Drive the tasks on our servers that have no live owner."""
        if not self._left_behind:
            return
        self._left_behind = False
        servers = [server.id for server in self._pool.online()]
        for claim in await self._queue.take_over(servers):
            self._start(claim)

    async def _give_out(self) -> set[Left]:
        """Assign the next tasks to servers with free slots; return what they left."""
        times = self._context.run_times
        groups = capacities_of(self._pool, self.running_on, self.seen_on, times)
        if groups and self._waits.overdue:
            await self._waits.look_over()
        return {await self._give_to(room, barred) for barred, room in groups.items()}

    async def _give_to(self, room: Sequence[ServerCapacity], barred: Collection[str]) -> Left:
        times, waits = self._context.run_times, self._waits

        def offer(held: Mapping[str, int]) -> tuple[list[str], Choose] | None:
            for server in self._pool:
                server.held_beside = held.get(server.id, 0) - len(self.seen_on(server))
            beside = (one.beside(held.get(one.server.id, 0)) for one in room)
            free = [capacity for capacity in beside if capacity.free > 0]

            def choose(waiting: Sequence[WaitingTask]) -> Sequence[Assignment]:
                waits.notice(waiting, free)
                return plan(waiting, free, times)

            return (waits.passed_over(free), choose) if free else None

        claims, left = await self._queue.assign(offer, barred=barred, large=waits.many)
        for claim in claims:
            self._start(claim)
        if left is Left.MORE and not (claims or waits.overdue):
            return Left.UNFIT  # the same again
        return left

    def _start(self, claim: Claim) -> None:
        task_id = claim.task.task_id
        if claim.task.server not in self._pool:  # the server was removed during the claim
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
        # The end could not be written, for example because the disk is full
        except Exception as error:
            log.exception("task %s could not be ended", task_id)
            await self._troubles.after(run.task, error, run.server)
            self._left_behind = True
        finally:
            if self._runs.get(task_id) is run:  # unless the task was already taken up again
                del self._runs[task_id]
            self._drives.pop(run, None)
            if not self._is_empty or not run.task.finished:
                self.wake()  # its slot is free

    def _tell(self, task: Task) -> None:
        self._context.hub.publish(task, "status", partial(task_view, task))

    # -- upkeep ---------------------------------------------------------------------------------

    async def _rescue(self) -> None:
        await recover_orphans(self._pool, self._context, self._troubles)
        self._left_behind = True  # a lease of another process may have lapsed meanwhile
        self.wake()

    async def _look_after_servers(self) -> None:
        for server_id, needs in (await self._queue.newest()).items():
            if needs.files and server_id in self._pool:
                # Another process may have assigned tasks to it
                self._pool.get(server_id).warm = needs.models
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
        """Cancel driven tasks whose cancel was accepted by another process."""
        if self._runs:
            for task_id in await self._claims.canceled():
                run = self._runs.get(task_id)
                if run and run.task.status is not Status.CANCELING:
                    run.ask(CancelRequest(CancelReason.REQUEST))

    async def _refresh(self) -> None:
        """Reload node types and models if a task waits for some: they may be being installed."""
        if await self._waits.look_over():
            await self._pool.refresh()
            self.wake()

    async def _free_the_dead(self) -> None:
        """Take over from dead processes of this host, without waiting for their leases to end."""
        for runner_id in await self._queue.runner_ids():
            if is_dead(runner_id):
                log.info("taking over from %s", runner_id)
                await self._claims.hand_back(runner_id)

    def _server_changed(self) -> None:
        # A TaskGroup that is being cancelled accepts no tasks
        stops = bool(self._work and self._work.cancelling())
        for server in self._pool:
            if server.online and not (server.swept or server.sweeping or stops):
                server.sweeping = True
                self._group.create_task(self._sweep(server), name=f"sweep {server.id}")
            if server.stalled and self.running_on(server):
                self.move_away(server, f"{server.id} is stalled.")
        self._left_behind = True
        self.wake()

    async def _sweep(self, server: Server) -> None:
        """Cancel stray prompts on a server that came online; it gets work after that."""
        sweep = partial(cancel_stray_prompts, server, self._context)
        try:
            # On failure repeated by the upkeep
            await attempt(sweep, f"sweeping server {server.id}")
        finally:
            server.sweeping = False
        self.wake()
