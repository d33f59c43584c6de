"""A task and its states. Pure: no clock, no I/O.

What clients and servers have said is in no `repr`: that would put it into the log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from app.limits.json_types import Json
from app.tasks.webhook import Webhook, WebhookJson
from app.workflows.parameters.apply import Change
from app.workflows.requirements import Needs
from app.workflows.secret_values import Secrets


class Status(StrEnum):
    """The words of Comfy API v2."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    CANCELING = "canceling"
    CANCELED = "canceled"
    FAILED = "failed"
    EXPIRED = "expired"


TERMINAL = frozenset({Status.SUCCEEDED, Status.CANCELED, Status.FAILED, Status.EXPIRED})
ACTIVE = frozenset(Status) - TERMINAL

# What may follow what. RUNNING -> QUEUED: its server was lost, another try is due.
# CANCELING -> SUCCEEDED or FAILED: the cancel came too late.
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset(
        {Status.RUNNING, Status.CANCELING, Status.CANCELED, Status.FAILED, Status.SUCCEEDED}
    ),
    Status.RUNNING: frozenset(
        {Status.QUEUED, Status.CANCELING, Status.SUCCEEDED, Status.FAILED, Status.CANCELED}
    ),
    Status.CANCELING: frozenset({Status.CANCELED, Status.SUCCEEDED, Status.FAILED}),
    Status.SUCCEEDED: frozenset({Status.EXPIRED}),
    Status.CANCELED: frozenset({Status.EXPIRED}),
    Status.FAILED: frozenset({Status.EXPIRED}),
    Status.EXPIRED: frozenset(),
}


def sources_of(status: Status) -> tuple[Status, ...]:
    """The states from which `status` may be reached, itself included."""
    return (status, *(source for source, targets in TRANSITIONS.items() if status in targets))


class CancelReason(StrEnum):
    REQUEST = "request"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a task is. `value` runs from 0 to 1 over all its nodes."""

    value: float = 0.0
    nodes_done: int = 0
    nodes_total: int = 0
    current_node: str | None = None
    class_type: str | None = None
    step: float | None = None
    steps: float | None = None
    # Of the nodes that are through: what they took; None if they came from ComfyUI's cache.
    node_seconds: dict[str, float | None] = field(default_factory=dict)


def fields_of(item: "Progress | TaskError | Attempt | Output") -> Json:
    """As they are; `dataclasses.asdict` would copy all that is in them."""
    return {name: getattr(item, name) for name in item.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class TaskError:
    """Why a task failed. `code` is for programs, `message` says what to do where it can."""

    code: str
    message: str = field(repr=False)
    node_id: str | None = None
    class_type: str | None = None
    traceback: tuple[str, ...] = field(default=(), repr=False)
    node_errors: Json | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One handing of the prompt to a server. `outcome` is None while it lasts."""

    server: str
    started_at: float
    ended_at: float | None = None
    outcome: str | None = None
    reason: str | None = field(default=None, repr=False)
    ran: bool = False  # not only waited there


@dataclass(frozen=True, slots=True)
class Output:
    """One result. Text has `text`, all others a file; `error` says why there is no file."""

    node_id: str
    kind: str
    filename: str | None = None
    subfolder: str = ""
    type: str = "output"
    content_type: str | None = None
    size_bytes: int | None = None
    hash: str | None = None
    key: str | None = None  # in the file store
    text: str | None = field(default=None, repr=False)
    error: str | None = field(default=None, repr=False)
    length: int | None = None  # characters of the whole text, if `text` is its beginning
    copy: int = 0  # how many equal ones are before it

    @property
    def identity(self) -> tuple[str | None, ...]:
        """What it is; a copy has the same."""
        if self.filename is None:
            return self.node_id, self.text
        return self.node_id, self.type, self.subfolder, self.filename


ITEM = "item"  # `Output.type` of a single character, which may be one of a list or of a text


MOST_LISTED = 10_000  # ids in the answer about many tasks
EXPIRED_OUTPUT = "The file was removed after its time."  # `Output.error` of an expired task


@dataclass(frozen=True, slots=True)
class SharedGraph:
    """A prompt that several tasks share, as it is stored: with changes of each task's own."""

    graph_id: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Extra:
    """What goes to ComfyUI along with the prompts of several tasks, as it is stored."""

    extra_id: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewTask:
    """What a submit decides; the store adds the rest. With a `graph`, `prompt` is what that says,
    and `changes` are to be set in it."""

    task_id: str
    prompt: Json = field(repr=False)
    graph: SharedGraph | None = None
    changes: tuple[Change, ...] = field(default=(), repr=False)
    extra: Extra | None = None
    params: Json = field(default_factory=dict, repr=False)
    metadata: Json | str = field(default_factory=dict, repr=False)
    filename: str | None = None  # the workflow it came from, if it was a saved one
    timeout: float | None = None  # seconds of running
    priority: int = 0
    wanted_server: str | None = None
    retry_of: str | None = None
    batch_id: str | None = None
    warnings: tuple[str, ...] = ()
    webhooks: tuple["Webhook", ...] = ()
    needs: Needs = field(default_factory=Needs)
    requirements_id: str = ""  # if it was made before: see app/db/mapping.py
    shape: str = ""  # the same for prompts that should take the same time
    expected: float | None = None  # seconds of running, from past runs of the shape
    needs_paid_node_key: bool = False  # it came with secrets
    owner: str | None = None  # whose it is: of the key that made it; see app/auth
    # What is secret in extra_data, such as keys of paid nodes: never stored, see
    # app/runner/paid_node_keys.py.
    secrets: Secrets = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """Where a queued task stands: what is before it, in tasks and in seconds of running."""

    position: int  # 1 is next
    # Of those before it that are on no server yet, and could go to one.
    seconds_ahead: float  # where their time is known
    unknown_ahead: int  # how many of them there are whose time is not

    def next(self, expected: float | None, *, is_here: bool) -> "QueuePosition":
        """That of the task behind the one that stands here and should take so many seconds.
        `is_here`: it is on no server, and some server takes its like."""
        return QueuePosition(
            self.position + 1,
            self.seconds_ahead + (expected or 0.0 if is_here else 0.0),
            self.unknown_ahead + (is_here and expected is None),
        )


@dataclass(frozen=True, slots=True)
class Task:
    """A row of the task table. Times are seconds since the epoch."""

    seq: int
    task_id: str
    status: Status
    priority: int
    created_at: float
    started_at: float | None
    finished_at: float | None
    server: str | None
    wanted_server: str | None
    client_id: str | None
    runner_id: str | None
    submitted_at: float | None
    cancel_reason: CancelReason | None
    timeout: float | None
    filename: str | None
    retry_of: str | None
    batch_id: str | None
    requirements_id: str  # stands for what a server must have to run it, and be
    shape: str
    expected: float | None
    params: Json = field(repr=False)
    metadata: Json | str = field(repr=False)
    progress: Progress
    error: TaskError | None = field(repr=False)
    attempts: tuple[Attempt, ...] = field(repr=False)
    warnings: tuple[str, ...] = field(repr=False)
    outputs: tuple[Output, ...] = field(default=(), repr=False)
    queue_position: QueuePosition | None = None  # while it is queued
    cut: Mapping[str, int] = field(default_factory=dict)  # what is not all here, and how long it is
    # The one it was submitted with, as it may be seen.
    webhook: WebhookJson | None = field(default=None, repr=False)
    needs_paid_node_key: bool = False  # it came with an API key, see app/runner/paid_node_keys.py
    owner: str | None = None  # whose it is: of the key that made it; see app/auth

    @property
    def finished(self) -> bool:
        return self.status in TERMINAL

    @property
    def sent_as(self) -> str | None:
        """The client_id that its prompt was sent under, if it was."""
        return self.client_id if self.submitted_at is not None else None


@dataclass(slots=True)
class Many:
    """What was done to how many tasks, and the ids of the first of them. `begun`: the same of those
    that still have to end."""

    count: int = 0
    task_ids: list[str] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)

    def add(self, task_ids: Sequence[str], begun: Sequence[str] = ()) -> None:
        self.count += len(task_ids) + len(begun)
        self.task_ids += task_ids[: MOST_LISTED - len(self.task_ids)]
        self.begun += begun[: MOST_LISTED - len(self.begun)]


@dataclass(frozen=True, slots=True)
class WaitingTask:
    """A task in the queue. `waited` is in seconds."""

    seq: int
    requirements_id: str
    needs: Needs
    wanted_server: str | None
    shape: str
    priority: int
    waited: float
    owner: str | None = None  # whose it is


class Assignment(NamedTuple):
    seq: int
    server: str
