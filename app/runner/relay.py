"""Tells the client of a native task what its server says, while the task runs.

In the order of the server, but `execution_start` is told once in a task's life, whichever attempt
it is of, and only when the start is written; and `executed` when the files that it names are stored
and can be read. What comes behind it waits. Ends are not told here: whoever serves the client's
socket reads them from the database (app/events/client_channels.py).
"""

import logging
import time
from collections import deque
from dataclasses import dataclass
from functools import partial

from app.comfyui.events import (
    UNREADABLE,
    Event,
    Executed,
    Executing,
    ExecutionCached,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
    NodeText,
    Preview,
    Progress,
    ProgressState,
    Unknown,
)
from app.comfyui.history import HistoryEntry
from app.comfyui.results import FileResult, results_of
from app.events.client_channels import Channel, Kind, Message
from app.limits.json_types import Json
from app.runner import native_frames
from app.runner.context import RunContext
from app.runner.run_record import RunRecord
from app.tasks.model import Output
from app.tasks.warnings import blocked

log = logging.getLogger(__name__)

# What waits for results at most. Beyond it previews go, then progress; if that is not enough,
# nothing waits any more.
HELD_MESSAGES = 500
HELD_BYTES = 8 << 20
MOST_NODES = 10_000  # that may have told something

FileName = tuple[str, str, str]  # type, subfolder, filename


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    message: Message
    files: frozenset[FileName] = frozenset()  # that must be readable before
    is_progress: bool = False


class Relay:
    """The messages of one run to the sockets of its client; of other tasks there are none."""

    def __init__(self, record: RunRecord, prompt: Json, context: RunContext) -> None:
        task = record.task
        native = task.native
        self._channel: Channel | None = None
        if native is not None and native.client_id is not None:
            self._channel = Channel(task.owner, native.client_id)
        self._origin = native.origin if native else ""
        self._task_id = task.task_id
        self._record = record
        self._prompt = prompt
        self._channels = context.channels
        self._hidden = partial(context.paid_node_keys.hidden, task)
        # Whether `execution_start` was told, or nobody was there to hear it
        self._is_start_told = task.started_at is not None or any(a.ran for a in task.attempts)
        self._executed: set[str] = set()  # nodes whose `executed` was told, or waits
        self._stored: set[FileName] = {_name_of(output) for output in task.outputs if output.key}
        self._held: deque[_Held] = deque()
        self._bytes = 0

    def is_heard(self) -> bool:
        """Return whether a socket of the client may be open."""
        return self._channel is not None and self._channels.is_heard(self._channel)

    def take(self, event: Event, frame: str | bytes | None) -> None:
        """Take an event as it comes, except for previews. `frame`: None if nobody hears it."""
        if self._channel is None:
            return
        if frame is None:
            self._is_start_told = True
            return
        try:
            held = self._held_for(event, frame)
        except ValueError as error:
            log.debug("task %s: a message is not told: %r", self._task_id, error)
            return
        if held is not None:
            self._hold(held)

    def take_image(
        self, event: Preview, frame: str | bytes | None, node_id: str | None, *, is_result: bool
    ) -> None:
        """Take a preview, or with `is_result` a picture that is on no disk (SaveImageWebsocket)."""
        if self._channel is not None and isinstance(frame, bytes):
            image = native_frames.preview(frame, event, self._task_id, node_id)
            self._hold(self._wrapped("binary" if is_result else "preview", image))

    def stored(self, output: Output) -> None:
        """Note that a result can be read."""
        if self._channel is not None and output.key is not None:
            self._stored.add(_name_of(output))
            self.tell()

    def tell(self) -> None:
        """Tell what does not have to wait any longer."""
        if self._record.task.started_at is not None:
            while self._held and self._held[0].files <= self._stored:
                self._release()

    def finish(self, history: HistoryEntry | None, *, again: bool) -> None:
        """Tell the rest; to be called when the end of the attempt is written, and not told yet.

        `history`: of the server; what was not heard of it, as the socket was away, is told now.
        None: the server lost the prompt, and nobody can read the missing files. `again`: there will
        be another attempt, and there are no files of this one.
        """
        if self._channel is None:
            return
        if history is not None and not again and self.is_heard():
            for node_id, output in history.outputs.items():
                if node_id not in self._executed:
                    self._repeat(node_id, output)
        while self._held:
            files = self._held[0].files
            if files and (again or (history is None and not files <= self._stored)):
                self._drop(0)
            else:
                self._release()

    # -- what is told -----------------------------------------------------------------------------

    def _held_for(self, event: Event, frame: str | bytes) -> _Held | None:
        if isinstance(frame, bytes):
            names = self._record.names
            data = native_frames.node_text(frame, names) if isinstance(event, NodeText) else frame
            return self._wrapped("binary", data)
        match event:
            case ExecutionStart():
                if self._is_start_told:
                    return None
                self._is_start_told = True
                return self._wrapped("text", native_frames.plain(frame))
            case Progress() | ProgressState():
                return self._wrapped("text", native_frames.plain(frame), is_progress=True)
            case ExecutionCached() | Executing(node=str()):
                return self._wrapped("text", native_frames.plain(frame))
            case Executed():
                return self._of_executed(event, self._hidden(frame))
        return self._of_others(event, frame)

    def _of_others(self, event: Event, frame: str) -> _Held | None:
        match event:
            case Executing() | ExecutionSuccess() | ExecutionInterrupted():
                return None
            case ExecutionError() if blocked(event) is None:
                return None
            case Unknown(type=kind) if kind == UNREADABLE:
                return None
        names = self._record.names
        return self._wrapped("text", native_frames.with_names(self._hidden(frame), names))

    def _of_executed(self, event: Executed, frame: str) -> _Held:
        self._note_executed(event.node)
        data = native_frames.executed(frame, self._task_id, self._record.names)
        return _Held(self._message("text", data), _files_of(event.node, event.output))

    def _repeat(self, node_id: str, output: Json) -> None:
        self._note_executed(node_id)
        about = (self._record.names, self._prompt)
        data = native_frames.executed_again(self._task_id, node_id, output, *about)
        self._hold(self._wrapped("text", self._hidden(data.decode()).encode()))

    def _note_executed(self, node_id: str) -> None:
        if len(self._executed) < MOST_NODES:
            self._executed.add(node_id)

    def _message(self, kind: Kind, data: bytes) -> Message:
        return Message(kind, self._task_id, self._origin, data)

    def _wrapped(self, kind: Kind, data: bytes, *, is_progress: bool = False) -> _Held:
        return _Held(self._message(kind, data), is_progress=is_progress)

    # -- what waits -------------------------------------------------------------------------------

    def _hold(self, held: _Held) -> None:
        if not self._is_start_told:  # it began while the socket was away
            self._is_start_told = True
            began = self._record.task.started_at or time.time()
            self._hold(self._wrapped("text", native_frames.started(self._task_id, began)))
        self._held.append(held)
        self._bytes += len(held.message.data)
        while self._is_full and self._drop_one():
            pass
        while self._is_full:
            self._release()
        self.tell()

    @property
    def _is_full(self) -> bool:
        return len(self._held) > HELD_MESSAGES or self._bytes > HELD_BYTES

    def _drop_one(self) -> bool:
        """Drop the oldest preview, or else the oldest progress; return False if there is none."""
        for place, held in enumerate(self._held):
            if held.message.kind == "preview":
                return self._drop(place)
        for place, held in enumerate(self._held):
            if held.is_progress:
                return self._drop(place)
        return False

    def _drop(self, place: int) -> bool:
        self._bytes -= len(self._held[place].message.data)
        del self._held[place]
        return True

    def _release(self) -> None:
        message = self._held[0].message
        self._drop(0)
        if self._channel is not None and self.is_heard():
            self._channels.publish(self._channel, message)


def _files_of(node_id: str, output: Json | None) -> frozenset[FileName]:
    found = results_of(node_id, output)
    return frozenset(one.identity for one in found if isinstance(one, FileResult))


def _name_of(output: Output) -> FileName:
    return output.type, output.subfolder, output.filename or ""
