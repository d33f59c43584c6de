"""The JSON of answers, as OpenAPI shows it."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.tasks.model import Status
from app.webhooks.retries import DeliveryStatus
from app.workflows.formats import Format

Json = dict[str, Any]
Cut = dict[str, int]
CUT = (
    "In lists and streams: what is not all here, such as params.6.text, and how long it is, in "
    "characters or entries. Absent if all is here, as it is in GET /api/task/{task_id}."
)


class ProgressOut(BaseModel):
    value: float = Field(description="0 to 1, over all nodes.")
    nodes_done: int
    nodes_total: int
    current_node: str | None
    class_type: str | None
    step: float | None
    steps: float | None
    node_seconds: dict[str, float | None] = Field(
        description="Of the nodes that are through: what they took; null from ComfyUI's cache."
    )


class OutputError(BaseModel):
    code: str
    message: str


class OutputOut(BaseModel):
    node_id: str
    kind: Literal["image", "video", "audio", "text", "file", "latent", "model3d"]
    type: str
    copy_: int | None = Field(None, alias="copy", description="How many equal ones are before it.")
    text: str | None = Field(None, description="Of outputs that are text; they have no file.")
    filename: str | None = None
    subfolder: str | None = None
    url: str | None = None
    content_type: str | None = None
    size_bytes: int | None = None
    hash: str | None = Field(None, description='"blake3:<hex>"')
    error: OutputError | None = None
    data: str | None = Field(None, description="With `inline`: the file in base64.")
    data_error: OutputError | None = Field(None, description="With `inline`: why it is not.")
    cut: Cut | None = Field(None, description="If the text is not all here: how long it is.")


class TaskErrorOut(BaseModel):
    code: str
    message: str
    node_id: str | None = None
    class_type: str | None = None
    traceback: list[str] | None = None
    node_errors: Json | None = None


class AttemptOut(BaseModel):
    server: str
    started_at: str
    ended_at: str | None
    outcome: str | None
    reason: str | None
    ran: bool = Field(description="False: it only waited there.")


class WebhookOut(BaseModel):
    url: str = Field(
        description="Without credentials, and *** for what may be secret in its path and query."
    )
    events: list[str]


class TaskOut(BaseModel):
    """A task. Times are ISO 8601 in UTC."""

    task_id: str
    prompt_id: str = Field(description="The same: ComfyUI knows the task by this id.")
    status: Status
    created_at: str
    started_at: str | None
    finished_at: str | None
    queue_position: int | None = Field(description="1 is next; null once it runs.")
    eta_seconds: float | None = Field(
        description="Seconds until it should be done, by past runs; null while none is known."
    )
    waiting_for: str | None = Field(description="Why no server can start it at present.")
    progress: ProgressOut
    outputs: list[OutputOut]
    error: TaskErrorOut | None
    server: str | None
    params: Json
    metadata: Json | str
    attempts: list[AttemptOut]
    warnings: list[str]
    priority: int
    timeout: float | None
    workflow: str | None = Field(description="The saved workflow it came from.")
    retry_of: str | None
    batch_id: str | None
    webhook: WebhookOut | None = None
    cut: Cut | None = Field(None, description=CUT)


class BatchOut(BaseModel):
    """The tasks of one submit with `batch`."""

    batch_id: str
    total: int
    finished: bool
    counts: dict[str, int] = Field(description="Tasks by status.")
    tasks: list[TaskOut] = Field(description="In the order of the batch.")


class AttemptOfDelivery(BaseModel):
    at: str
    duration_ms: int
    status_code: int | None = Field(description="null: there was no answer.")
    error: str | None
    response: str = Field(description="The beginning of the answer's body.")


class DeliveryOut(BaseModel):
    delivery_id: str = Field(description="The header webhook-id.")
    task_id: str
    event: str
    url: str
    status: DeliveryStatus
    created_at: str
    finished_at: str | None
    next_attempt_at: str | None
    attempts: list[AttemptOfDelivery] = Field(description="The newest 30.")


class DeliveryList(BaseModel):
    deliveries: list[DeliveryOut]


class DeliveryPage(DeliveryList):
    next_cursor: str | None


class TaskPage(BaseModel):
    tasks: list[TaskOut]
    next_cursor: str | None
    total: int | None = Field(
        default=None, description="In all pages together; only if it was asked for."
    )
    total_is_capped: bool | None = Field(
        default=None, description="There are more than `total`: no more are counted."
    )


class ParameterOut(BaseModel):
    key: str
    node_id: str = Field(description="The first part of the key; it may hold dots.")
    input: str = Field(description="The second one; it may hold dots, too.")
    name: str | None = Field(description="A friendly name, unique in the workflow.")
    role: str | None = Field(description="What it does: prompt, seed, width, ...")
    type: Literal["int", "float", "string", "boolean", "choice", "any"]
    value: Any
    class_type: str
    title: str | None
    default: Any
    min: float | None
    max: float | None
    step: float | None
    choices: list[Any] | None
    multiselect: bool = Field(description="It takes a list of choices.")
    multiline: bool
    upload: str | None = Field(description="image, video, ...: names an uploaded file.")
    tooltip: str | None
    known: bool = Field(description="False: no server told its type; it is guessed.")


class WorkflowEntry(BaseModel):
    filename: str
    format: Format | None = Field(description="null: not a workflow that can be read")
    size_bytes: int
    modified_at: str


class WorkflowList(BaseModel):
    workflows: list[WorkflowEntry]


class WorkflowOut(BaseModel):
    filename: str
    version: str = Field(description="Changes with the content; the ETag without its quotes.")
    format: Format
    workflow: Json
    parameters: list[ParameterOut]
    warnings: list[str]


class VersionEntry(BaseModel):
    version: str = Field(description="Its id; it begins with the time when it was replaced.")
    saved_at: str
    size_bytes: int


class VersionList(BaseModel):
    versions: list[VersionEntry]


class ConvertedOut(BaseModel):
    workflow: Json = Field(description="In API format.")
    warnings: list[str]


class ParametersOut(BaseModel):
    format: Format
    parameters: list[ParameterOut]
    warnings: list[str]


class ServerOut(BaseModel):
    id: str
    state: Literal["online", "offline", "draining", "stalled", "failing"]
    online: bool
    connected: bool = Field(description="Its WebSocket is open.")
    accepting: bool = Field(description="It may get new work.")
    reason: str | None = Field(description="Why it is not as it should be.")
    since: str
    version: str | None
    slots: int
    running: int = Field(description="Tasks of ours that it holds.")
    queue_length: int | None = Field(description="Prompts that it holds, strangers' too.")
    others: int | None = Field(description="Those of strangers.")
    wait_seconds: float | None = Field(description="Until it should be through with them.")


class ServerList(BaseModel):
    servers: list[ServerOut]


class ServerDetail(ServerOut):
    tasks: list[str] = Field(description="Ids of the tasks of ours that it holds.")
    warm: list[str] = Field(description="Model files of the prompt that it got last.")
    node_types: int
    models: dict[str, list[str]] = Field(description="Model files by folder.")
    system_stats: Json | None


class HealthOut(BaseModel):
    status: Literal["ok", "degraded"]
    reason: str | None
    version: str
    gateway: str = Field(description="Which gateway it is: the same for all its replicas.")
    servers: list[ServerOut] = Field(description="Empty without a key, where keys are in use.")
    warnings: list[str] = Field(description="What the operator should hear of.")


class UploadOut(BaseModel):
    name: str = Field(
        description="Use this as the value of an input; with a subfolder, `subfolder/name`."
    )
    filename: str
    subfolder: str
    type: Literal["input"]
    kind: str
    content_type: str
    size_bytes: int
    hash: str
    url: str
