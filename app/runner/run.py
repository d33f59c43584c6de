"""Drives one claimed task on one server to its end.

Send the prompt unless the server has it, follow its events and poll, read the history, fetch the
results, write the end. The socket is an optimization: without any event, polling finds the end.
"""

import asyncio
import logging
import time
from functools import partial

from app.comfyui.events import Event, Executed, Executing, ExecutionError, ExecutionStart, Preview
from app.comfyui.history import HistoryEntry, PromptState
from app.comfyui.socket import Connected
from app.db.claimed import Claim
from app.db.engine.errors import cannot_write
from app.db.run_steps import LostClaim
from app.errors import GatewayError
from app.runner import messages
from app.runner.cancellation import Cancellation, unless_canceled
from app.runner.context import RunContext
from app.runner.eta import Seen, seen_in_row
from app.runner.expectation import SeenOn
from app.runner.finalize import EndedRun, broken_off, finalize
from app.runner.messages import CancelRequest, Message, MoveRequest, calls_for_a_look
from app.runner.outputs import SAVE_IMAGE_WEBSOCKET, TOO_MANY, OutputCollector
from app.runner.progress import Tracker
from app.runner.publisher import ProgressPublisher
from app.runner.relay import Relay
from app.runner.remote_prompt import RemotePrompt, nodes_of
from app.runner.run_record import RunRecord
from app.runner.send_prompt import PromptSender
from app.runner.stage_inputs import readable_outcome
from app.runner.watchdog import Watchdog, check_pulse
from app.servers.event_inbox import EventInbox
from app.servers.server import Server
from app.tasks.model import CancelReason, Output, Progress, Status, Task
from app.tasks.outcome import Canceled, Outcome, Succeeded, interruption, judge
from app.tasks.warnings import blocked, remarks_on

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0  # between two polls of the prompt's state while the socket is connected
BLIND_POLL_SECONDS = 0.5  # between two polls while the socket is down


class Run:
    """A claimed task on one server."""

    def __init__(self, claim: Claim, server: Server, context: RunContext, seen_on: SeenOn) -> None:
        """`seen_on` returns the tasks of all gateways on a server."""
        self.needs = claim.needs
        self.server = server
        self.history: HistoryEntry | None = None  # set when the prompt is over
        task = claim.task
        known = task.progress if task.progress.nodes_total else None
        took = context.run_times.known(task.shape, server.id)
        self.tracker = Tracker(claim.prompt, known, took.nodes if took else None)
        self.prompt = claim.prompt
        self._context = context
        self._teller = ProgressPublisher(context.hub, context.run_times, server, seen_on)
        self._remote = RemotePrompt(server, task.task_id, grace=context.server_grace)
        self._canceling = Cancellation(self._remote, server.id)
        about = (task, context.claims, context.paid_node_keys, lambda: self.outputs)
        self._record = RunRecord(*about, self._publish_status, took=took)
        self._collector = OutputCollector(task, server, context.files, self._record, self._tell)
        self._asked: asyncio.Future[CancelReason] = asyncio.Future()  # set by a cancel request
        self._sender = PromptSender(claim, server, self._record, self._remote, context, self._asked)
        self._relay = Relay(self._record, claim.prompt, context)
        self._inbox = EventInbox(self._relay.is_heard)
        self._watchdog = Watchdog(context.stall_timeout)
        self._saved = self.progress
        self._was_blocked = self._untold = False  # untold: the progress, since it changed

    @property
    def task(self) -> Task:
        return self._record.task

    @property
    def progress(self) -> Progress:
        return self.tracker.progress

    @property
    def outputs(self) -> tuple[Output, ...]:
        return tuple(self._collector.outputs)

    @property
    def _ended(self) -> EndedRun:
        about = (self.task, self.prompt, self.needs, self.server, tuple(self._record.attempts))
        return EndedRun(*about, self.outputs, self.tracker, self.history, self._record.unsaved)

    def is_news(self) -> bool:
        """Return whether the progress has changed since the last call."""
        before, self._saved = self._saved, self.progress
        return before != self._saved

    def ask(self, request: CancelRequest | MoveRequest) -> None:
        self._inbox.put_nowait(request)
        if isinstance(request, CancelRequest) and not self._asked.done():
            self._asked.set_result(request.reason)

    async def drive(self) -> None:
        """Run until the end is written; return without writing if the claim was lost."""
        try:
            outcome = readable_outcome(await self._until_the_end(), names := self._record.names)
            outcome = self._context.paid_node_keys.without(self.task, outcome)
            task = await finalize(self._ended, outcome, self._context, names)
            self._relay.finish(self.history, again=not task.finished)
            self._record.end(task)
            self._remote.note_end(self.history)
        except LostClaim:
            log.warning("task %s is driven by somebody else now", self.task.task_id)
        finally:
            await self._collector.abandon()
            await self._record.close()

    async def _until_the_end(self) -> Outcome:
        with self.server.follow(self.task.task_id, self._inbox):
            async with self.server.hearing(self.task.sent_as):
                try:
                    outcome = await self._hand_over() or await self._watch()
                    may_wait = isinstance(outcome, Succeeded) and not self._asked.done()
                    await self._record.prepare_end(at_once=may_wait)
                    return outcome
                except Exception as error:  # any error must end the task
                    if isinstance(error, LostClaim) or cannot_write(error):
                        raise  # handled by the dispatcher
                    if not isinstance(error, GatewayError):
                        log.exception("task %s", self.task.task_id)
                    return await broken_off(self.server, self.task.task_id, error)

    # -- sending -----------------------------------------------------------------------------------

    async def _hand_over(self) -> Outcome | None:
        """Send the prompt, unless the server already has it."""
        if await self._remote.has_it_from(self._record.attempts):
            await self._sender.note_attempt(self.task.client_id or self.server.client_id)
            self._inbox.put_nowait(Connected())  # earlier events were missed: query the state
            return None
        if self.task.submitted_at is not None:
            return self._gone()
        if self.task.status is Status.CANCELING:
            return Canceled()
        await messages.until_heard(self.server, self._inbox)
        return await self._sender.send()

    # -- following ------------------------------------------------------------------------------

    async def _watch(self) -> Outcome:
        if self.task.status is Status.CANCELING:
            await self._canceling.begin()
        while True:
            message = await self._next_message()
            outcome = await self._take(message)
            if outcome is None and calls_for_a_look(message):
                outcome = await self._look(finished=isinstance(message, Executing))
            if outcome is not None:
                return outcome

    async def _next_message(self) -> Message | None:
        """Return the next message, or None when it is time to poll."""
        wait = POLL_SECONDS if self.server.connected else BLIND_POLL_SECONDS
        if (left := self._canceling.time_left(self.task)) is not None:
            wait = min(wait, max(left, 0))
        message: Message | None = await self._inbox.next(wait)
        return message

    async def _take(self, message: Message | None) -> Outcome | None:
        match message:
            case None:
                pass
            case CancelRequest():
                await self._begin_cancel(message.reason)
            case MoveRequest():
                return await self._move(message)
            case Connected():
                self._watchdog.reset()  # events were missed while disconnected
            case _:
                await self._hear(message)
        return None

    async def _hear(self, event: Event) -> None:
        if not isinstance(event, Preview):
            self._relay.take(event, self._inbox.frame)
        match event:
            case ExecutionStart() | Executing(node=str()):
                await self._mark_started()
            case Executed():
                self._collector.add(event.node, event.output)
            case ExecutionError():
                await self._say_blocked(event)
            case Preview():
                await self._take_image(event)
        if messages.is_sign_of_life(event):
            self.server.shows_life()
            self._watchdog.reset()
        is_last = self._inbox.empty()
        self._untold |= self.tracker.apply(event, time.monotonic(), more=not is_last)
        if is_last and not self._record.unsaved:
            self._tell_progress()

    async def _say_blocked(self, event: ExecutionError) -> None:
        """Warn of blocked nodes, which ComfyUI reports as an error but omits from the history."""
        if said := blocked(event):
            self._was_blocked = True
            await self._record.quote(said)

    async def _look(self, *, finished: bool) -> Outcome | None:
        """Query the prompt's state; return the outcome if it is over."""
        sighting = await self._remote.look(finished=finished)
        if sighting.entry is not None:
            self.server.shows_life()
            self.history = sighting.entry
            await self._record.started(sighting.entry.started_at)
            return await self._collect(sighting.entry)
        if sighting.state is PromptState.UNKNOWN:
            return self._gone()
        if sighting.state is PromptState.RUNNING:
            await self._mark_started()
            await check_pulse(self._watchdog, self.server, self._record)
        if (left := self._canceling.time_left(self.task)) is not None and left <= 0:
            await self._begin_cancel(CancelReason.TIMEOUT)
            return None
        return await self._canceling.press_on()

    async def _take_image(self, preview: Preview) -> None:
        node_id = preview.node_id or self.progress.current_node
        class_type = self.prompt.get(node_id or "", {}).get("class_type")
        is_result = class_type == SAVE_IMAGE_WEBSOCKET
        self._relay.take_image(preview, self._inbox.frame, node_id, is_result=is_result)
        if node_id and is_result:
            await self._collector.add_image(node_id, preview.image, preview.content_type)
            return
        await self._record.save()
        self._teller.preview(self.task, node_id, preview)

    async def _mark_started(self) -> None:
        if self.task.started_at is None:
            self._watchdog.reset()
            await self._record.started()

    def _gone(self) -> Outcome:
        if self.task.status is Status.CANCELING:  # while pending: ComfyUI keeps no history of it
            return Canceled(interruption(self.task))
        return self._remote.loss()

    # -- leaving before the end --------------------------------------------------------------------

    async def _begin_cancel(self, reason: CancelReason) -> None:
        if not self._canceling.begun:
            await self._record.canceling(reason)
            await self._canceling.begin()

    async def _move(self, request: MoveRequest) -> Outcome | None:
        """Take the prompt off the server, unless it runs and may continue."""
        if self.task.status is Status.CANCELING:
            return None
        await self._record.save()
        has_begun = self.task.started_at is not None
        return await self._remote.take_off(request.reason, has_begun=has_begun, force=request.force)

    # -- ending ---------------------------------------------------------------------------------

    async def _collect(self, entry: HistoryEntry) -> Outcome:
        frames = () if entry.error else nodes_of(self.prompt, SAVE_IMAGE_WEBSOCKET)
        lacks_any = partial(self._collector.lacks_any, frames)
        await messages.hear_out(self.server, self._inbox, self._hear, lacks_any)
        collecting = self._remote.retrying(lambda: self._collector.finish(entry.outputs, frames))
        seconds = self._canceling.time_to_collect(self.task)
        asked = None if self.task.status is Status.CANCELING else self._asked
        finish = await unless_canceled(collecting, asked, seconds)
        if finish.reason is not None:
            await self._record.canceling(finish.reason)
        if not finish.done:
            await self._collector.abandon()
            return Canceled(interruption(self.task))
        if left_out := len(self._collector.left_out):
            await self._record.warn(TOO_MANY.format(left_out))
        outcome = judge(entry, self.task, self._collector.missing, self.prompt)
        if isinstance(outcome, Succeeded):
            types, was_blocked = self.server.node_types, self._was_blocked
            said = remarks_on(self.prompt, entry, self.outputs, types, was_blocked=was_blocked)
            await self._record.warn(*said)
        return outcome

    # -- publishing --------------------------------------------------------------------------------

    @property
    def seen(self) -> Seen:
        """The task with its current progress."""
        still, begun = self.tracker.still(time.monotonic()), self._record.unsaved is not None
        if still is None:
            seen, asked = seen_in_row(self.task), self._sender.asked_at
            return seen._replace(progress=self.progress, asked_at=asked, has_begun=begun)
        return Seen(self.task, self.progress, still, not self.server.connected, has_begun=begun)

    def _tell(self, output: Output) -> None:
        self._teller.output(self.task, output)
        self._relay.stored(output)

    def _publish_status(self) -> None:
        self._teller.status(self.seen)
        self._relay.tell()
        if self.task.status is Status.RUNNING:
            self._tell_progress()

    def _tell_progress(self) -> None:
        if self._untold:
            self._untold = False
            self._teller.progress(self.seen)
