"""A task and its states. Pure: no clock, no I/O.

Content of clients and servers is excluded from `repr`, which may be logged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from app.limits.json_types import Json
from app.tasks.native import NativePrompt, NativeRequest
from app.tasks.webhook import Webhook, WebhookJson
from app.workflows.parameters.apply import Change
from app.workflows.requirements import NO_REQUIREMENTS, Needs, TaskRequirements
from app.workflows.secret_values import Secrets


class Status(StrEnum):
    """Task states, with the names of Comfy API v2."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    CANCELING = "canceling"
    CANCELED = "canceled"
    FAILED = "failed"
    EXPIRED = "expired"


TERMINAL = frozenset({Status.SUCCEEDED, Status.CANCELED, Status.FAILED, Status.EXPIRED})
ACTIVE = frozenset(Status) - TERMINAL

# Allowed transitions. RUNNING -> QUEUED: the server was lost, the task is tried again. CANCELING ->
# SUCCEEDED or FAILED: the cancel came too late.
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
    """Return the states from which `status` may be reached, including itself."""
    return (status, *(source for source, targets in TRANSITIONS.items() if status in targets))


class CancelReason(StrEnum):
    REQUEST = "request"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a task; `value` is 0 to 1 over all nodes."""

    value: float = 0.0
    nodes_done: int = 0
    nodes_total: int = 0
    current_node: str | None = None
    class_type: str | None = None
    step: float | None = None
    steps: float | None = None
    # Seconds of the finished nodes; None if cached by ComfyUI.
    node_seconds: dict[str, float | None] = field(default_factory=dict)


def fields_of(item: "Progress | TaskError | Attempt | Output") -> Json:
    """Return the fields as a dict, without copying the values like `dataclasses.asdict`."""
    return {name: getattr(item, name) for name in item.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class TaskError:
    """Why a task failed: `code` is for programs, `message` suggests a remedy where possible."""

    code: str
    message: str = field(repr=False)
    node_id: str | None = None
    class_type: str | None = None
    traceback: tuple[str, ...] = field(default=(), repr=False)
    node_errors: Json | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One submission of the prompt to a server; `outcome` is None while it lasts."""

    server: str
    started_at: float
    ended_at: float | None = None
    outcome: str | None = None
    reason: str | None = field(default=None, repr=False)
    ran: bool = False  # False if the prompt was only pending


@dataclass(frozen=True, slots=True)
class Output:
    """One result. A text has `text`, others a file; `error` is why the file is missing."""

    node_id: str
    kind: str
    filename: str | None = None
    subfolder: str = ""
    type: str = "output"
    content_type: str | None = None
    size_bytes: int | None = None
    hash: str | None = None
    key: str | None = None  # key in the file store
    text: str | None = field(default=None, repr=False)
    error: str | None = field(default=None, repr=False)
    length: int | None = None  # characters of the whole text if `text` is truncated
    copy: int = 0  # number of equal earlier results

    @property
    def identity(self) -> tuple[str | None, ...]:
        """What the result is: the same for copies."""
        if self.filename is None:
            return self.node_id, self.text
        return self.node_id, self.type, self.subfolder, self.filename


ITEM = "item"  # `Output.type` of a single character that may belong to a list or a split text


MOST_LISTED = 10_000  # maximum ids in the answer about many tasks
EXPIRED_OUTPUT = "The file was removed after its time."  # `Output.error` of an expired task


@dataclass(frozen=True, slots=True)
class SharedGraph:
    """A stored prompt shared by several tasks, each with its own changes."""

    graph_id: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Extra:
    """Stored extra data shared by the prompts of several tasks."""

    extra_id: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to be queued; the database assigns the other fields.

    With a `graph`, `prompt` is its content and `changes` are applied to it.
    """

    task_id: str
    prompt: Json = field(repr=False)
    graph: SharedGraph | None = None
    changes: tuple[Change, ...] = field(default=(), repr=False)
    extra: Extra | None = None
    params: Json = field(default_factory=dict, repr=False)
    metadata: Json | str = field(default_factory=dict, repr=False)
    filename: str | None = None  # the saved workflow, if it came from one
    timeout: float | None = None  # seconds of run time
    priority: int = 0
    retry_of: str | None = None
    batch_id: str | None = None
    warnings: tuple[str, ...] = ()
    webhooks: tuple["Webhook", ...] = ()
    requirements: TaskRequirements = NO_REQUIREMENTS
    shape: str = ""  # equal for prompts that should take equally long
    expected: float | None = None  # seconds of run time, from past runs of the shape
    needs_paid_node_key: bool = False  # it came with secrets
    owner: str | None = None  # the API key that created it, see app/auth
    # Secrets in extra_data, such as keys of paid nodes: never stored, see
    # app/runner/paid_node_keys.py.
    secrets: Secrets = field(default_factory=dict, repr=False)
    # Of a task that came through ComfyUI's own protocol
    native: NativePrompt | None = None
    native_request: NativeRequest | None = None


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """The place of a queued task: the tasks ahead of it, and their run time."""

    position: int  # 1 is next
    # Of the tasks ahead that are on no server yet and could go to one.
    seconds_ahead: float  # total of the known run times, in seconds
    unknown_ahead: int  # number of tasks with an unknown run time

    def next(self, expected: float | None, *, is_here: bool) -> "QueuePosition":
        """Return the place behind the task at this place, which is expected to run `expected`
        seconds.

        `is_here`: that task is on no server, and some server accepts it.
        """
        return QueuePosition(
            self.position + 1,
            self.seconds_ahead + (expected or 0.0 if is_here else 0.0),
            self.unknown_ahead + (is_here and expected is None),
        )


@dataclass(frozen=True, slots=True)
class Task:
    """A row of the task table. Times are Unix timestamps."""

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
    requirements_id: str  # identifies what a server must have to run it
    shape: str
    expected: float | None
    params: Json = field(repr=False)
    metadata: Json | str = field(repr=False)
    progress: Progress
    error: TaskError | None = field(repr=False)
    attempts: tuple[Attempt, ...] = field(repr=False)
    warnings: tuple[str, ...] = field(repr=False)
    outputs: tuple[Output, ...] = field(default=(), repr=False)
    queue_position: QueuePosition | None = None  # set while queued
    # Truncated fields with their original lengths
    cut: Mapping[str, int] = field(default_factory=dict)
    # The webhook of the submit, without secrets.
    webhook: WebhookJson | None = field(default=None, repr=False)
    needs_paid_node_key: bool = False  # it came with an API key, see app/runner/paid_node_keys.py
    owner: str | None = None  # the API key that created it, see app/auth
    native: NativePrompt | None = None  # set if it came through ComfyUI's own protocol

    @property
    def finished(self) -> bool:
        return self.status in TERMINAL

    @property
    def sent_as(self) -> str | None:
        """The client_id that the prompt was sent under, or None."""
        return self.client_id if self.submitted_at is not None else None


@dataclass(slots=True)
class Many:
    """The result of an operation on many tasks: their number and the first ids.

    `begun`: ids of the tasks that still have to end.
    """

    count: int = 0
    task_ids: list[str] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)

    def add(self, task_ids: Sequence[str], begun: Sequence[str] = ()) -> None:
        self.count += len(task_ids) + len(begun)
        self.task_ids += task_ids[: MOST_LISTED - len(self.task_ids)]
        self.begun += begun[: MOST_LISTED - len(self.begun)]


@dataclass(frozen=True, slots=True)
class WaitingTask:
    """A task in the queue; `waited` is in seconds."""

    seq: int
    requirements_id: str
    needs: Needs
    wanted_server: str | None
    shape: str
    priority: int
    waited: float
    owner: str | None = None  # the API key that created it
    lane: str | None = None  # see app/tasks/native.py


class Assignment(NamedTuple):
    seq: int
    server: str
