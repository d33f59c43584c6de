"""The JSON of saved workflows and of workflows in requests. Pure."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from app.limits.json_types import Json
from app.workflows.formats import Format
from app.workflows.parameters.parameter_json import ParameterJson

Warnings = Annotated[list[str], Field(description="What was doubtful.")]


class WorkflowEntryJson(TypedDict):
    filename: str
    format: Annotated[Format | None, Field(description="null: not a workflow that can be read")]
    size_bytes: int
    modified_at: str


class WorkflowListJson(TypedDict):
    workflows: list[WorkflowEntryJson]


class WorkflowJson(TypedDict):
    filename: str
    version: Annotated[
        str, Field(description="Changes with the content; the ETag without its quotes.")
    ]
    format: Format
    workflow: Annotated[Json, Field(description="As it is kept.")]
    parameters: list[ParameterJson]
    warnings: Warnings


class VersionEntryJson(TypedDict):
    version: Annotated[
        str, Field(description="Its id; it begins with the time when it was replaced.")
    ]
    saved_at: str
    size_bytes: int


class VersionListJson(TypedDict):
    versions: list[VersionEntryJson]


class ConvertedJson(TypedDict):
    workflow: Annotated[Json, Field(description="In API format.")]
    warnings: Warnings


class ParametersJson(TypedDict):
    format: Format
    parameters: list[ParameterJson]
    warnings: Warnings
