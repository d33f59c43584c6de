"""The JSON of answers, as OpenAPI shows it."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.limits.json_types import Json
from app.tasks.model import Status
from app.webhooks.retries import DeliveryStatus
from app.workflows.formats import Format

Cut = dict[str, int]
CUT = (
    "In lists and streams: what is not all here, such as params.6.text, and how long it is, in "
    "characters or entries. Absent if all is here, as it is in GET /api/task/{task_id}."
)


class ProgressOut(BaseModel):
    value: float = Field(description="0 to 1, over all nodes.")
    nodes_done: int = Field(description="Nodes that are through.")
    nodes_total: int = Field(description="All that run.")
    current_node: str | None = Field(description="The node that runs now.")
    class_type: str | None = Field(description="Its type.")
    step: float | None = Field(description="How far a sampler is.")
    steps: float | None = Field(description="Of how many.")
    node_seconds: dict[str, float | None] = Field(
        description="Of the nodes that are through: what they took; null from ComfyUI's cache."
    )


class OutputError(BaseModel):
    code: str
    message: str


class OutputOut(BaseModel):
    node_id: str = Field(description="The node that made it.")
    kind: Literal["image", "video", "audio", "text", "file", "latent", "model3d"] = Field(
        description="By its bytes and name, not by its node."
    )
    type: str = Field(description="ComfyUI's folder: output, or temp for previews.")
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
    code: str = Field(description="For programs.")
    message: str = Field(description="For people.")
    node_id: str | None = None
    class_type: str | None = None
    traceback: list[str] | None = None
    node_errors: Json | None = None


class AttemptOut(BaseModel):
    server: str
    started_at: str
    ended_at: str | None = Field(description="null while it lasts.")
    outcome: str | None = Field(description="null while it lasts.")
    reason: str | None = Field(description="Why it ended so.")
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
    outputs: list[OutputOut] = Field(description="Results, as far as they are here.")
    error: TaskErrorOut | None = Field(description="Why it did not succeed.")
    server: str | None = Field(description="Where it runs, or ran.")
    params: Json = Field(
        description="The values that were set, by key, with seeds that were drawn."
    )
    metadata: Json | str
    attempts: list[AttemptOut] = Field(description="Each try on a server, the first one first.")
    warnings: list[str] = Field(
        description="Of what ComfyUI left out, blocked or had in its cache, and of its server."
    )
    priority: int
    timeout: float | None = Field(description="Seconds that it may run.")
    workflow: str | None = Field(description="The saved workflow it came from.")
    retry_of: str | None = Field(description="The task that this one repeats.")
    batch_id: str | None
    webhook: WebhookOut | None = None
    cut: Cut | None = Field(None, description=CUT)


class BatchOut(BaseModel):
    """The tasks of one submit with `batch`."""

    batch_id: str
    total: int
    finished: bool = Field(description="All of its tasks are.")
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
    next_attempt_at: str | None = Field(
        description="When it is tried again; during a try: when that counts as lost."
    )
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
    key: str = Field(description='"<node_id>.<input>"')
    node_id: str = Field(description="The first part of the key; it may hold dots.")
    input: str = Field(description="The second one; it may hold dots, too.")
    name: str | None = Field(description="A friendly name, unique in the workflow.")
    role: str | None = Field(description="What it does: prompt, seed, width, ...")
    type: Literal["int", "float", "string", "boolean", "choice", "any"]
    value: Any = Field(description="What stands in the workflow.")
    class_type: str = Field(description="The node's type.")
    title: str | None = Field(description="The node's title.")
    default: Any = Field(description="Of the node, where a server tells it.")
    min: float | None
    max: float | None
    step: float | None
    choices: list[Any] | None = Field(description="Of all servers together.")
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
    workflow: Json = Field(description="As it is kept.")
    parameters: list[ParameterOut]
    warnings: list[str] = Field(description="What was doubtful.")


class VersionEntry(BaseModel):
    version: str = Field(description="Its id; it begins with the time when it was replaced.")
    saved_at: str
    size_bytes: int


class VersionList(BaseModel):
    versions: list[VersionEntry]


class ConvertedOut(BaseModel):
    workflow: Json = Field(description="In API format.")
    warnings: list[str] = Field(description="What was doubtful.")


class ParametersOut(BaseModel):
    format: Format
    parameters: list[ParameterOut]
    warnings: list[str] = Field(description="What was doubtful.")


class ServerOut(BaseModel):
    id: str = Field(description="Its address, HOST:PORT.")
    state: Literal["online", "offline", "draining", "stalled", "failing"] = Field(
        description="In one word; docs/servers.md explains them."
    )
    online: bool = Field(description="It answers.")
    connected: bool = Field(description="Its WebSocket is open.")
    accepting: bool = Field(description="It may get new work.")
    reason: str | None = Field(description="Why it is not as it should be.")
    since: str = Field(description="When it came online or went offline.")
    version: str | None = Field(description="ComfyUI's.")
    slots: int = Field(description="Prompts that it may hold.")
    running: int = Field(description="Tasks of ours that it holds.")
    queue_length: int | None = Field(description="Prompts that it holds, strangers' too.")
    others: int | None = Field(description="Those of strangers.")
    wait_seconds: float | None = Field(description="Until it should be through with them.")


class ServerList(BaseModel):
    servers: list[ServerOut]


class ServerDetail(ServerOut):
    tasks: list[str] = Field(description="Ids of the tasks of ours that it holds.")
    warm: list[str] = Field(description="Model files of the prompt that it got last.")
    node_types: int = Field(description="How many it has.")
    models: dict[str, list[str]] = Field(description="Model files by folder.")
    system_stats: Json | None = Field(description="What ComfyUI says of its machine.")


class HealthOut(BaseModel):
    status: Literal["ok", "degraded"]
    reason: str | None = Field(description="Why it is degraded.")
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
    kind: str = Field(description="By its bytes and name.")
    content_type: str
    size_bytes: int
    hash: str
    url: str = Field(description="Where the gateway has it.")
