"""The JSON of a task, as built by `view` and documented in OpenAPI. Pure.

Fields that may be absent are `NotRequired`; all others are always present, possibly null.
"""

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from app.files.kinds import Kind
from app.limits.json_types import Json
from app.tasks.model import Status
from app.tasks.webhook import WebhookJson

Cut = dict[str, int]
CUT = (
    "In lists and streams: what is not all here, such as params.6.text, and how long it is, in "
    "characters or entries. Absent if all is here, as it is in GET /api/task/{task_id}."
)


class ProgressJson(TypedDict):
    value: Annotated[float, Field(description="0 to 1, over all nodes.")]
    nodes_done: Annotated[int, Field(description="Nodes that are through.")]
    nodes_total: Annotated[int, Field(description="All that run.")]
    current_node: Annotated[str | None, Field(description="The node that runs now.")]
    class_type: Annotated[str | None, Field(description="Its type.")]
    step: Annotated[float | None, Field(description="How far a sampler is.")]
    steps: Annotated[float | None, Field(description="Of how many.")]
    node_seconds: Annotated[
        dict[str, float | None],
        Field(
            description="Of the nodes that are through: what they took; null from ComfyUI's cache."
        ),
    ]


class OutputErrorJson(TypedDict):
    code: str
    message: str


class OutputJson(TypedDict):
    node_id: Annotated[str, Field(description="The node that made it.")]
    kind: Annotated[
        str,
        Field(
            description="By its bytes and name, not by its node.",
            json_schema_extra={"enum": [kind.value for kind in Kind]},
        ),
    ]
    type: Annotated[str, Field(description="ComfyUI's folder: output, or temp for previews.")]
    copy: NotRequired[
        Annotated[int | None, Field(description="How many equal ones are before it.")]
    ]
    text: NotRequired[
        Annotated[str | None, Field(description="Of outputs that are text; they have no file.")]
    ]
    filename: NotRequired[str | None]
    subfolder: NotRequired[str | None]
    url: NotRequired[str | None]
    content_type: NotRequired[str | None]
    size_bytes: NotRequired[int | None]
    hash: NotRequired[Annotated[str | None, Field(description='"blake3:<hex>"')]]
    error: NotRequired[OutputErrorJson | None]
    data: NotRequired[
        Annotated[str | None, Field(description="With `inline`: the file in base64.")]
    ]
    data_error: NotRequired[
        Annotated[OutputErrorJson | None, Field(description="With `inline`: why it is not.")]
    ]
    cut: NotRequired[
        Annotated[Cut | None, Field(description="If the text is not all here: how long it is.")]
    ]


class TaskErrorJson(TypedDict):
    code: Annotated[str, Field(description="For programs.")]
    message: Annotated[str, Field(description="For people.")]
    node_id: NotRequired[str | None]
    class_type: NotRequired[str | None]
    traceback: NotRequired[list[str] | None]
    node_errors: NotRequired[Json | None]


class AttemptJson(TypedDict):
    server: str
    started_at: str
    ended_at: Annotated[str | None, Field(description="null while it lasts.")]
    outcome: Annotated[str | None, Field(description="null while it lasts.")]
    reason: Annotated[str | None, Field(description="Why it ended so.")]
    ran: Annotated[bool, Field(description="False: it only waited there.")]


class TaskJson(TypedDict):
    """A task. Times are ISO 8601 in UTC."""

    task_id: str
    prompt_id: Annotated[str, Field(description="The same: ComfyUI knows the task by this id.")]
    status: Status
    created_at: str
    started_at: str | None
    finished_at: str | None
    queue_position: Annotated[int | None, Field(description="1 is next; null once it runs.")]
    eta_seconds: Annotated[
        float | None,
        Field(
            description="Seconds until it should be done, by past runs; null while none is known."
        ),
    ]
    waiting_for: Annotated[str | None, Field(description="Why no server can start it at present.")]
    progress: ProgressJson
    outputs: Annotated[list[OutputJson], Field(description="Results, as far as they are here.")]
    error: Annotated[TaskErrorJson | None, Field(description="Why it did not succeed.")]
    server: Annotated[str | None, Field(description="Where it runs, or ran.")]
    params: Annotated[
        Json,
        Field(description="The values that were set, by key, with seeds that were drawn."),
    ]
    metadata: Json | str
    attempts: Annotated[
        list[AttemptJson], Field(description="Each try on a server, the first one first.")
    ]
    warnings: Annotated[
        list[str],
        Field(
            description="Of what ComfyUI left out, blocked or had in its cache, and of its server."
        ),
    ]
    priority: int
    timeout: Annotated[float | None, Field(description="Seconds that it may run.")]
    workflow: Annotated[str | None, Field(description="The saved workflow it came from.")]
    retry_of: Annotated[str | None, Field(description="The task that this one repeats.")]
    batch_id: str | None
    client_id: Annotated[
        str | None,
        Field(description="The client of ComfyUI's own protocol that sent it, in its own words."),
    ]
    webhook: NotRequired[WebhookJson | None]
    cut: NotRequired[Annotated[Cut | None, Field(description=CUT)]]


class TaskProgressJson(TypedDict):
    """What changes many times a second; `cut` as in TaskJson."""

    task_id: str
    status: Status
    progress: ProgressJson
    queue_position: int | None
    eta_seconds: float | None
    waiting_for: str | None
    cut: NotRequired[Cut]
