"""The JSON of health, and of what the servers have. Pure."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from app.limits.json_types import Json
from app.servers.server_json import ServerJson


class HealthJson(TypedDict):
    status: Literal["ok", "degraded"]
    reason: Annotated[str | None, Field(description="Why it is degraded.")]
    version: str
    gateway: Annotated[
        str, Field(description="Which gateway it is: the same for all its replicas.")
    ]
    servers: Annotated[
        list[ServerJson], Field(description="Empty without a key, where keys are in use.")
    ]
    warnings: Annotated[list[str], Field(description="What the operator should hear of.")]


class ServerInfoJson(ServerJson):
    system_stats: Annotated[Json | None, Field(description="What ComfyUI says of its machine.")]


class NativePortJson(TypedDict):
    host: Annotated[str, Field(description="The address that it listens on.")]
    port: int
    key: Annotated[str | None, Field(description="The API key that it is bound to, if any is.")]


class NativeJson(TypedDict):
    """Where ComfyUI's own protocol is spoken."""

    root: Annotated[str, Field(description="Path for clients that bring a key themselves.")]
    path: Annotated[
        str, Field(description="Path below which all of it is; a token may follow: ~TOKEN/.")
    ]
    ports: Annotated[
        list[NativePortJson],
        Field(description="Of COMFYUI_NATIVE_PORTS; those of other keys need scope manage."),
    ]


class InfoJson(TypedDict):
    version: str
    settings: Annotated[
        dict[str, object] | None,
        Field(description="Those in force, without secrets; null unless the key may manage."),
    ]
    servers: list[ServerInfoJson]
    subscribers: Annotated[int, Field(description="Open streams of this process.")]
    native: NativeJson


class NodeTypesJson(TypedDict):
    nodes: Annotated[
        list[Json],
        Field(description="In short; with `class_type` the one, as object_info has it."),
    ]
    total: int


class ModelsJson(TypedDict):
    models: Annotated[dict[str, list[str]], Field(description="Model files by folder.")]


class ModelMetadataJson(TypedDict):
    server: Annotated[str, Field(description="The first one that has the file.")]
    metadata: Annotated[Json, Field(description="The header of the safetensors file.")]


class EmbeddingsJson(TypedDict):
    embeddings: Annotated[list[str], Field(description="Of all servers together.")]


class ServerFeaturesJson(TypedDict):
    server: str
    features: Annotated[Json, Field(description="As ComfyUI tells them.")]
    jobs_api: Annotated[bool, Field(description="It has ComfyUI's newer /api/jobs.")]
    extensions: Annotated[list[str], Field(description="Of its page.")]


class FeaturesJson(TypedDict):
    servers: list[ServerFeaturesJson]


class FreedJson(TypedDict):
    servers: Annotated[list[str], Field(description="Ids of those that were asked.")]
    unload_models: bool
    free_memory: bool
