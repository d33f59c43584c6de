"""The JSON of requests, documented in OpenAPI; unknown fields are refused."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StrictBool,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema

from app.comfyui.cleaning import is_sound
from app.limits.json_types import Json
from app.workflows.references.ids import as_stored

MAX_METADATA = 64 * 1024  # it is part of every answer and event of the task


# A graph that every ComfyUI runs, without a model; used by documentation and fuzzing.
RUNNABLE: Json = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255},
    },
    "2": {
        "class_type": "SaveImage",
        "inputs": {"images": ["1", 0], "filename_prefix": "example"},
    },
}


def storable(text: str) -> str:
    """Validate that a text can be stored."""
    if not is_sound(text):
        raise ValueError("holds a NUL character or half of a character, which cannot be stored")
    return text


def canonical(text: str | None) -> str | None:
    """Return a UUID in ComfyUI's notation: with hyphens, in lower case."""
    try:
        if text is None or str(UUID(text)) == text.lower():
            return text and text.lower()
    except ValueError:
        pass
    raise ValueError("is no UUID such as 48ea15ed-eca4-4337-ab9e-62cd40da60a8")


def _number(value: Any) -> Any:
    """Validate that a value is no boolean and no text, which pydantic would convert."""
    if isinstance(value, bool | str | bytes):
        raise ValueError("should be a number: no text, no boolean")
    return value


Number = BeforeValidator(_number)  # for each int and float of a JSON body; 5.0 may be an int
Priority = Annotated[int, Field(ge=-1000, le=1000), Number]
Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600), Number]


def _with_nulls(schema: Json) -> None:
    """Document in a schema that optional fields may be null."""
    for name, field in schema.get("properties", {}).items():
        if name not in schema.get("required", ()) and {"type": "null"} not in field.get(
            "anyOf", ()
        ):
            about = {
                key: field.pop(key) for key in ("title", "description", "default") if key in field
            }
            kept = dict(field)
            field.clear()
            field.update(anyOf=[kept, {"type": "null"}], **about)


class Strict(BaseModel):
    """A request body: unknown fields are an error, since they are typing mistakes.

    An optional field that is null counts as absent.
    """

    model_config = ConfigDict(extra="forbid")

    names: ClassVar[frozenset[str]]  # of the fields, and their aliases
    optional: ClassVar[frozenset[str]]  # names of optional fields

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        fields = cls.model_fields
        aliases = [field.alias for field in fields.values() if field.alias]
        cls.names = frozenset([*fields, *aliases])
        cls.optional = frozenset([n for n, field in fields.items() if not field.is_required()])

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> Json:
        """Here, since a model with examples of its own replaces `json_schema_extra`."""
        schema = handler(core_schema)
        _with_nulls(handler.resolve_ref_schema(schema))
        return schema

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        optional = cls.optional
        return {
            name: item for name, item in value.items() if item is not None or name not in optional
        }


class WebhookRequest(Strict):
    """A webhook in a request: its URL, events, headers and secret."""

    url: Annotated[str, AfterValidator(storable)] = Field(
        description="http(s), of a public host.", max_length=8192
    )
    events: list[str] | None = Field(
        None,
        min_length=1,
        max_length=20,
        description="Of task.started, task.succeeded, task.failed, task.canceled; "
        "the last three if there are none.",
    )
    headers: dict[str, str] | None = Field(
        None, description="To send along, 20 at most; never shown again."
    )
    secret: str | None = Field(
        None, description="whsec_<base64>: signs what is sent, as Standard Webhooks says."
    )


class RunRequest(Strict):
    """How to run a saved workflow; all of it is optional."""

    params: Json = Field(
        default_factory=dict,
        description='New values by "<node_id>.<input>", such as {"6.text": "a cat"}. '
        "A seed of -1 becomes a random one.",
    )
    timeout: Seconds | None = Field(
        None, description="Seconds of running after which to cancel; a week at most."
    )
    priority: Priority = Field(0, description="Higher runs first; old tasks rise.")
    metadata: Json = Field(
        default_factory=dict, description="Yours; it comes back as it is. Up to 64 KiB."
    )
    server: str | None = Field(
        None, description="Only on this server, by its id; wins over ?server=."
    )
    wait_for_server: StrictBool = Field(
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
    webhook: str | WebhookRequest | None = Field(
        None, description="Where to tell of the task's end: a URL, or an object with it."
    )
    extra_data: Json = Field(
        default_factory=dict,
        description="Goes to ComfyUI as it is: extra_pnginfo, preview_method, what custom nodes "
        "ask for. Secrets in it (api_key_comfy_org, auth_token_comfy_org, and texts under what is "
        "called a key, token, secret, password, cookie, credentials, bearer or authorization) are "
        "kept in memory only, 8192 characters at most.",
    )
    randomize: StrictBool = Field(
        False,
        description="Draw new seeds: in UI format those that the file marks so, as ComfyUI's page "
        "does for each run; in API format all. One that is in params stays.",
    )
    fill_texts: StrictBool | None = Field(
        None,
        description="Texts are filled in as ComfyUI's page does it: {a|b}, %date:yyyy-MM-dd%, "
        "%Node.widget%. Not given: those in params for a workflow in UI format, whose own always "
        "are. true: in API format, too, all of them. false: params are sent as they are.",
    )
    prompt_id: Annotated[str | None, AfterValidator(canonical)] = Field(
        None, description="The id of the task: a UUID that is not in use. Not with a batch."
    )
    embed_workflow: StrictBool = Field(
        True,
        description="Results hold the workflow in the page's format, if there is one, as those of "
        "ComfyUI's own page do: the UI file, or extra_data.extra_pnginfo.workflow, with the values "
        "that ran.",
    )

    @model_validator(mode="after")
    def _one_task(self) -> Self:
        if self.prompt_id is not None and self.batch is not None:
            raise ValueError("prompt_id: it is the id of one task, and a batch makes several")
        return self

    @field_validator("metadata")
    @classmethod
    def _small(cls, value: Json) -> Json:
        if len(json.dumps(value)) > MAX_METADATA:
            raise ValueError(f"may be {MAX_METADATA} bytes of JSON at most")
        return value


class SubmitRequest(RunRequest):
    """What to run. The workflow itself is a valid body, too."""

    workflow: Json | None = Field(
        None, description="The workflow's JSON, in API or UI format.", examples=[RUNNABLE]
    )
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
    unload_models: StrictBool = Field(True, description="Move models out of GPU memory.")
    free_memory: StrictBool = Field(True, description="Also forget cached results.")


class DeleteRequest(Strict):
    task_ids: list[Annotated[str, AfterValidator(as_stored)]] | None = Field(
        None, max_length=10_000, description="Finished tasks; either these or `all`."
    )
    all: StrictBool = Field(False, description="Every finished task.")
    servers: StrictBool = Field(
        False, description="Also from the histories of the ComfyUI servers."
    )

    @model_validator(mode="after")
    def _one_selection(self) -> Self:
        if (self.task_ids is None) == (not self.all):
            raise ValueError('send either "task_ids" or "all": true')
        return self


class ServerRequest(Strict):
    address: str = Field(max_length=240, description="HOST:PORT or http(s)://HOST:PORT.")
    slots: int | None = Field(None, strict=True, ge=1, le=100, description="Prompts it may hold.")


class SlotsRequest(Strict):
    slots: int = Field(strict=True, ge=1, le=100, description="Prompts it may hold.")
