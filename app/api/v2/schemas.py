"""The JSON of Comfy API v2, for validation of requests and for OpenAPI."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from app.api.requests import Number, Priority, Strict, storable
from app.errors import MetadataInvalid
from app.limits import text_lengths
from app.limits.json_types import Json
from app.limits.quoting import quoted

MAX_LABELS = 16
MAX_VALUE = 256  # bytes
MAX_TEXT = 1024  # bytes
LABEL = re.compile(r"[A-Za-z0-9_.-]{1,40}")
Absent = SkipJsonSchema[None]  # forms have no null
HashText = Annotated[str, Field(max_length=200, description='"blake3:<hex>"')]
Tags = Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=100)]
FilePath = Annotated[
    str, Field(min_length=1, max_length=text_lengths.FILE_PATH), AfterValidator(storable)
]
Seconds = Annotated[int, Field(ge=60, le=7 * 24 * 3600, description="Seconds until it is removed.")]
METADATA: Json = {
    "description": "Labels (a map of strings), or a string. Limits are in bytes.",
    "anyOf": [
        {
            "type": "object",
            "maxProperties": MAX_LABELS,
            "propertyNames": {"pattern": f"^{LABEL.pattern}$"},
            "additionalProperties": {"type": "string", "maxLength": MAX_VALUE},
        },
        {"type": "string", "maxLength": MAX_TEXT},
        {"type": "null"},
    ],
}
GRAPH: Json = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255},
    },
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "red"}},
}


class ExtraData(Strict):
    api_key_comfy_org: SecretStr | None = Field(
        None, description="For nodes that call paid services; goes to ComfyUI, is kept nowhere."
    )


class JobRequest(Strict):
    """A job to queue."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"workflow": GRAPH}]})

    workflow: Json = Field(description="The graph in API format; UI format is converted.")
    extra_data: ExtraData | None = Field(None, description="Goes along with the prompt.")
    metadata: Annotated[Any, WithJsonSchema(METADATA)] = None
    priority: Priority = Field(0, description="Higher runs first.")


class HashRequest(Strict):
    """An asset of existing bytes."""

    hash: HashText
    file_path: FilePath | None = Field(None, description="Its name, such as photo.png.")
    tags: Tags = Field(default_factory=list, description="Yours.")
    expires_in: Annotated[Seconds, Number] | None = Field(
        None, description="Seconds until it is removed."
    )


def checked_metadata(value: Any) -> Json | str:
    """Validate labels or a text. Raises MetadataInvalid."""
    if value is None:
        return {}
    if isinstance(value, str):
        if len(value.encode("utf-8", "replace")) > MAX_TEXT:
            raise MetadataInvalid(f"metadata: a text may have {MAX_TEXT} bytes.")
        return value
    if not isinstance(value, dict):
        raise MetadataInvalid("metadata: it must be a map of strings, or a string.")
    if len(value) > MAX_LABELS:
        raise MetadataInvalid(f"metadata: {len(value)} labels; {MAX_LABELS} are allowed.")
    for name, label in value.items():
        _check_label(name, label)
    return value


def _check_label(name: str, value: Any) -> None:
    if not LABEL.fullmatch(name):
        raise MetadataInvalid(
            f"metadata: {quoted(name)} is no key; 1 to 40 letters, digits, '_', '.', '-' are."
        )
    if not isinstance(value, str) or len(value.encode("utf-8", "replace")) > MAX_VALUE:
        raise MetadataInvalid(f"metadata: {name}: a string of at most {MAX_VALUE} bytes is wanted.")
