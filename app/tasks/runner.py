"""Drives one claimed task on one server to its end.

Hand over the prompt (looking first wherever it may be there already), follow its events and
poll, read the history, fetch the results, write the end. The socket only makes things faster:
with every event lost, polling still finds the end.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, replace

from sqlalchemy.exc import SQLAlchemyError

from app.comfyui.events import (
    Event,
    Executed,
    Executing,
    ExecutionStart,
    Preview,
)
from app.comfyui.history import HistoryEntry, State
from app.comfyui.socket import Connected
from app.errors import GatewayError
from app.servers.server import Inbox, Server
from app.tasks.claims import Claim, LostClaim
from app.tasks.collector import Collector
from app.tasks.handover import Reach, warnings_of
from app.tasks.inputs import place_inputs
from app.tasks.model import Attempt, CancelReason, Progress, Status, Task, TaskError
from app.tasks.outcome import Canceled, Lost, Outcome, Succeeded, judge, outcome_of
from app.tasks.progress import Tracker
from app.tasks.tools import Tools
from app.tasks.view import progress_view, task_view

log = logging.getLogger(__name__)

SAVE_IMAGE_WEBSOCKET = "SaveImageWebsocket"


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Put into a run's inbox by whoever asked for the cancel."""

    reason: CancelReason


class Run:
    """One claimed task on one server."""

    def __init__(self, claim: Claim, server: Server, tools: Tools) -> None:
        self.task: Task = claim.task
        self.server = server
        self._prompt = claim.prompt
        self._tools = tools
        self._claims = tools.claims
        self._timing = tools.timing
        self._reach = Reach(
            server, claim.task.task_id, grace=self._timing.server_grace, retry=self._timing.retry
        )
        self._attempts = list(claim.task.attempts)
        known = claim.task.progress if claim.task.progress.nodes_total else None
        self._tracker = Tracker(claim.prompt, known)
        self._collector = Collector(claim.task, server, tools.files, tools.claims, tools.hub)
        self._inbox: Inbox = asyncio.Queue()
        self._cancel_until: float | None = None
        self._saved = self.progress

    @property
    def progress(self) -> Progress:
        return self._tracker.progress

    def is_news(self) -> bool:
        """True if the progress is another one than at the last call."""
        before, self._saved = self._saved, self.progress
        return before != self._saved

    def request_cancel(self, reason: CancelReason) -> None:
        self._inbox.put_nowait(CancelRequest(reason))

    async def drive(self) -> Outcome | None:
        """Run to the end, which is written when this returns. None if the claim was lost."""
        try:
            outcome = await self._until_the_end()
            await self._conclude(outcome)
        except LostClaim:
            log.warning("task %s is driven by somebody else now", self.task.task_id)
            return None
        finally:
            await self._collector.abandon()
        return outcome

    async def _until_the_end(self) -> Outcome:
        with self.server.follow(self.task.task_id, self._inbox):
            async with self.server.hearing(self.task.client_id):
                try:
                    return await self._hand_over() or await self._watch()
                except (LostClaim, SQLAlchemyError):
                    raise  # nothing can be written: the dispatcher lets the task go
                except GatewayError as error:
                    return outcome_of(error)
                except Exception as error:  # whatever it is, the task must come to an end
                    log.exception("task %s", self.task.task_id)
                    return outcome_of(error)

    # -- handing over ---------------------------------------------------------------------------

    async def _hand_over(self) -> Outcome | None:
        """Get the prompt onto the server, unless it is there already."""
        been_here = any(attempt.server == self.server.id for attempt in self._attempts)
        if been_here and await self._reach.knows_it():
            await self._note_attempt(self.task.client_id or self.server.client_id)
            self._inbox.put_nowait(Connected())  # what happened so far was missed: look at once
            return None
        if self.task.submitted_at is not None:
            return self._gone()
        if self.task.status is Status.CANCELING:
            return Canceled()
        prompt = await place_inputs(self._prompt, self.server, self._tools.uploads)
        await self._note_attempt(self.server.client_id)
        node_errors = await self._reach.post(prompt)
        if node_errors:
            warnings = [*self.task.warnings, *warnings_of(node_errors)]
            self.task = await self._claims.warn(self.task.task_id, warnings)
        return None

    async def _note_attempt(self, client_id: str) -> None:
        """Write down that the prompt is (about to be) there: whoever drives the task after a
        crash of ours looks on this server first."""
        if not self._attempts or self._attempts[-1].ended_at is not None:
            self._attempts.append(Attempt(self.server.id, time.time()))
        self.task = await self._claims.submitted(
            self.task.task_id, client_id=client_id, attempts=self._attempts
        )

    # -- following ------------------------------------------------------------------------------

    async def _watch(self) -> Outcome:
        if self.task.status is Status.CANCELING:
            await self._cancel_there()
        while True:
            event = await self._next_event()
            if isinstance(event, CancelRequest):
                await self._begin_cancel(event.reason)
            elif event is not None:
                await self._take(event)
            if _calls_for_a_look(event):
                outcome = await self._look(finished=isinstance(event, Executing))
                if outcome is not None:
                    return outcome

    async def _look(self, *, finished: bool) -> Outcome | None:
        """See how the prompt is doing; its outcome if it is over."""
        sighting = await self._reach.look(finished=finished)
        if sighting.entry is not None:
            return await self._collect(sighting.entry)
        if sighting.state is State.UNKNOWN:
            return self._gone()
        if sighting.state is State.RUNNING:
            await self._mark_started()
        return await self._press_on()

    async def _next_event(self) -> Event | Connected | CancelRequest | None:
        """The next event, or None when it is time to look."""
        timing = self._timing
        wait = timing.poll if self.server.connected else timing.poll_blind
        if (left := self._time_left()) is not None:
            wait = min(wait, max(left, 0))
        try:
            async with asyncio.timeout(wait):
                event: Event | Connected | CancelRequest = await self._inbox.get()
                return event
        except TimeoutError:
            return None

    async def _take(self, event: Event | Connected) -> None:
        match event:
            case ExecutionStart():
                await self._mark_started()
            case Executing(node=str()):
                await self._mark_started()
            case Executed():
                self._collector.add(event.node, event.output)
            case Preview():
                await self._take_image(event)
        if not isinstance(event, Connected) and self._tracker.apply(event):
            view = progress_view(self.task, self.progress)
            self._tools.hub.publish(self.task.task_id, "progress", view)

    async def _take_image(self, preview: Preview) -> None:
        node_id = preview.node_id or self.progress.current_node
        node = self._prompt.get(node_id or "", {})
        if node_id and node.get("class_type") == SAVE_IMAGE_WEBSOCKET:
            await self._collector.add_image(node_id, preview.image, preview.content_type)
            return
        about = {"task_id": self.task.task_id, "node_id": node_id}
        self._tools.hub.publish(
            self.task.task_id,
            "preview",
            {**about, "content_type": preview.content_type},
            preview.image,
        )

    async def _mark_started(self) -> None:
        if self.task.started_at is None:
            self.task = await self._claims.started(self.task.task_id, time.time())
            self._publish_status()

    def _gone(self) -> Outcome:
        if self.task.status is Status.CANCELING:
            return Canceled()  # canceled while it waited there: that leaves no trace
        return Lost("server_restarted", f"{self.server.id} no longer knows the prompt.")

    # -- cancelling -----------------------------------------------------------------------------

    def _time_left(self) -> float | None:
        """Seconds until the task's timeout, None if there is none (or it is over already)."""
        if self.task.timeout is None or self.task.started_at is None or self._cancel_until:
            return None
        return self.task.started_at + self.task.timeout - time.time()

    async def _begin_cancel(self, reason: CancelReason) -> None:
        if self._cancel_until is None:
            self.task = await self._claims.cancel_owned(self.task.task_id, reason)
            self._publish_status()
            await self._cancel_there()

    async def _cancel_there(self) -> None:
        self._cancel_until = time.time() + self._timing.cancel_grace
        await self._reach.cancel()

    async def _press_on(self) -> Outcome | None:
        """After a look that found it unfinished: is its time over, was it to be canceled?"""
        left = self._time_left()
        if left is not None and left <= 0:
            await self._begin_cancel(CancelReason.TIMEOUT)
        elif self._cancel_until is not None and time.time() > self._cancel_until:
            message = f"{self.server.id} was told to stop the prompt, but still runs it."
            return Canceled(TaskError("cancel_unconfirmed", message))
        elif self._cancel_until is not None:
            # It may have moved from waiting to running between the two halves of the cancel.
            await self._reach.cancel()
        return None

    # -- ending ---------------------------------------------------------------------------------

    async def _collect(self, entry: HistoryEntry) -> Outcome:
        await self._reach.patiently(lambda: self._collector.finish(entry.outputs))
        for node_id, node in self._prompt.items():
            silent = not self._collector.has_results_of(node_id)
            if node["class_type"] == SAVE_IMAGE_WEBSOCKET and silent and not entry.error:
                reason = "The image was sent while the gateway was not connected."
                await self._collector.say_missing(node_id, None, reason)
        return judge(entry, self.task, self._collector.missing)

    async def _conclude(self, outcome: Outcome) -> None:
        """Write the end, or put the task back into the queue for another try."""
        self._close_attempt(outcome.word, outcome.reason)
        elsewhere = self._tools.pool.has_other(self.server.id, self.task.wanted_server)
        if isinstance(outcome, Succeeded):
            self._tracker.complete()
        task = replace(self.task, progress=self.progress)
        self.task = await self._claims.settle(task, outcome, self._attempts, elsewhere)
        self._publish_status()
        log.info("task %s: %s on %s", self.task.task_id, self.task.status, self.server.id)

    def _close_attempt(self, outcome: str, reason: str | None) -> None:
        if self._attempts and self._attempts[-1].ended_at is None:
            self._attempts[-1] = replace(
                self._attempts[-1], ended_at=time.time(), outcome=outcome, reason=reason
            )

    # -- plumbing -------------------------------------------------------------------------------

    def _publish_status(self) -> None:
        view = task_view(self.task, self.progress)
        self._tools.hub.publish(self.task.task_id, "status", view)


def _calls_for_a_look(event: Event | Connected | CancelRequest | None) -> bool:
    """Time is up, events may have been missed, or the end was told."""
    match event:
        case None | Connected() | Executing(node=None):
            return True
        case _:
            return False
