"""The JSON of answers, documented in OpenAPI."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.limits.json_types import Json
from app.servers.server_json import ServerJson
from app.webhooks.retries import DeliveryStatus
from app.workflows.formats import Format


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


class HealthOut(BaseModel):
    status: Literal["ok", "degraded"]
    reason: str | None = Field(description="Why it is degraded.")
    version: str
    gateway: str = Field(description="Which gateway it is: the same for all its replicas.")
    servers: list[ServerJson] = Field(description="Empty without a key, where keys are in use.")
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
