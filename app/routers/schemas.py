"""The JSON of requests and responses, as OpenAPI shows it."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.tasks.model import Status
from app.workflows.formats import Format

Json = dict[str, Any]


class Strict(BaseModel):
    """A request body: an unknown field is an error, it is a typing mistake."""

    model_config = ConfigDict(extra="forbid")


class RunRequest(Strict):
    """How to run a saved workflow; all of it is optional."""

    params: Json = Field(
        default_factory=dict,
        description='New values by "<node_id>.<input>", such as {"6.text": "a cat"}. '
        "A seed of -1 becomes a random one.",
    )
    timeout: float | None = Field(
        None, gt=0, le=7 * 24 * 3600, description="Seconds of running after which to cancel."
    )
    priority: int = Field(0, ge=-1000, le=1000, description="Higher runs first.")
    metadata: Json = Field(default_factory=dict, description="Yours; it comes back as it is.")
    server: str | None = Field(None, description="Only on this server, by its id (HOST:PORT).")
    wait_for_server: bool = Field(
        False, description="Queue it even if no server has all that it needs yet."
    )
    batch: dict[str, list[Any]] | None = Field(
        None,
        min_length=1,
        description='Many tasks: a list of values for each parameter, such as {"seed": [1, 2]}.',
    )
    batch_mode: Literal["product", "zip"] = Field(
        "product", description="Every combination, or the first of each, the second of each, ..."
    )


class SubmitRequest(RunRequest):
    """What to run. The workflow itself is a valid body, too."""

    workflow: Json | None = Field(None, description="The workflow's JSON, in API or UI format.")
    filename: str | None = Field(None, description="Or the name of a saved workflow.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.workflow is None) == (self.filename is None):
            raise ValueError(
                'send either "workflow" (its JSON) or "filename" (a saved one), or the workflow '
                "itself as the body"
            )
        return self


class RestoreRequest(Strict):
    version: str = Field(description="The id of the version, from the list of versions.")


class UpdateRequest(Strict):
    filename: str = Field(description="The saved workflow to change.")
    params: Json | None = Field(None, description="New values to save into it.")
    workflow: Json | None = Field(None, description="Or the whole new workflow.")

    @model_validator(mode="after")
    def _one_change(self) -> Self:
        if (self.params is None) == (self.workflow is None):
            raise ValueError('send either "params" or "workflow"')
        return self


class FreeRequest(Strict):
    unload_models: bool = Field(True, description="Move models out of GPU memory.")
    free_memory: bool = Field(True, description="Also forget cached results.")


class DeleteRequest(Strict):
    task_ids: list[str] | None = Field(None, max_length=10_000)
    all: bool = Field(False, description="Every finished task.")
    servers: bool = Field(False, description="Also from the histories of the ComfyUI servers.")

    @model_validator(mode="after")
    def _one_selection(self) -> Self:
        if (self.task_ids is None) == (not self.all):
            raise ValueError('send either "task_ids" or "all": true')
        return self


class ProgressOut(BaseModel):
    value: float = Field(description="0 to 1, over all nodes.")
    nodes_done: int
    nodes_total: int
    current_node: str | None
    class_type: str | None
    step: float | None
    steps: float | None


class OutputError(BaseModel):
    code: str
    message: str


class OutputOut(BaseModel):
    node_id: str
    kind: Literal["image", "video", "audio", "text", "file", "latent", "model3d"]
    type: str
    text: str | None = Field(None, description="Of outputs that are text; they have no file.")
    filename: str | None = None
    subfolder: str | None = None
    url: str | None = None
    content_type: str | None = None
    size_bytes: int | None = None
    hash: str | None = Field(None, description='"blake3:<hex>"')
    error: OutputError | None = None


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


class BatchOut(BaseModel):
    """The tasks of one submit with `batch`."""

    batch_id: str
    total: int
    finished: bool
    counts: dict[str, int] = Field(description="Tasks by status.")
    tasks: list[TaskOut] = Field(description="In the order of the batch.")


class TaskPage(BaseModel):
    tasks: list[TaskOut]
    next_cursor: str | None


class ParameterOut(BaseModel):
    key: str
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


class ServerRequest(Strict):
    address: str = Field(max_length=240, description="HOST:PORT or http(s)://HOST:PORT.")
    slots: int | None = Field(None, ge=1, le=100, description="Prompts it may hold.")


class SlotsRequest(Strict):
    slots: int = Field(ge=1, le=100, description="Prompts it may hold.")


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
    servers: list[ServerOut]


class UploadOut(BaseModel):
    name: str = Field(description="Use this as the value of an input.")
    filename: str
    subfolder: str
    type: Literal["input"]
    kind: str
    content_type: str
    size_bytes: int
    hash: str
    url: str
