"""The JSON of Comfy API v2: jobs, their events, assets, health and errors. Pure."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from app.limits.json_types import Json
from app.tasks.model import Status

KINDS = ["image", "video", "audio", "text", "file", "latent"]


class JobProgressJson(TypedDict):
    value: Annotated[float, Field(ge=0, le=1)]
    nodes_done: int
    nodes_total: int
    current_node: str | None
    current_node_class: str | None
    step: int | None
    steps: int | None
    message: str | None


class JobOutputJson(TypedDict):
    """A result; `id` is its asset's."""

    node_id: str
    name: str
    type: Annotated[str, Field(json_schema_extra={"enum": KINDS})]
    content_type: str
    size_bytes: int
    id: str
    hash: str | None
    url: str
    url_expires_at: str
    job_id: str | None


class JobErrorJson(TypedDict):
    code: str
    message: str
    node_id: str | None
    class_type: str | None
    traceback: str | None


class JobUrlsJson(TypedDict):
    self: str
    events: str
    cancel: str


class JobJson(TypedDict):
    """A job. Times are ISO 8601 in UTC."""

    id: str
    status: Status
    created_at: str
    started_at: str | None
    completed_at: str | None
    expires_at: str
    queue_position: int | None
    progress: JobProgressJson | None
    outputs: list[JobOutputJson]
    error: JobErrorJson | None
    metrics: dict[str, int | None]
    metadata: Json | str
    urls: JobUrlsJson


class JobItemJson(JobJson):
    """A job in a list, with the additional names that lists have for its times."""

    create_time: str
    update_time: str
    deployment_id: str | None
    cut: NotRequired[
        Annotated[
            dict[str, int] | None,
            Field(
                description="What is not all here, and how long it is, in characters or entries. "
                "Absent if all is here. Not in the contract."
            ),
        ]
    ]


class JobListJson(TypedDict):
    jobs: list[JobItemJson]
    next_cursor: NotRequired[Annotated[str | None, Field(description="Absent on the last page.")]]


class JobWorkflowJson(TypedDict):
    workflow: Json
    format: Literal["api"]


class StatusEventJson(TypedDict):
    status: Status
    queue_position: int | None


class PreviewEventJson(TypedDict):
    node_id: str
    content_type: str
    data_base64: str


class AssetJson(TypedDict):
    """An upload or a result."""

    id: str
    hash: str | None
    size_bytes: int
    content_type: str
    file_path: str | None
    created_at: str
    url: str
    url_expires_at: str
    expires_at: str | None
    job_id: str | None
    created_new: NotRequired[
        Annotated[bool | None, Field(description="Only where it is made: new bytes?")]
    ]


class JobHealthJson(TypedDict):
    status: Literal["ok", "degraded"]
    reason: str | None
    version: str
