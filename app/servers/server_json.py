"""The JSON of a server in health, info and the list of servers. Pure."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from app.limits.json_types import Json

ServerState = Literal["online", "offline", "draining", "stalled", "failing"]


class ServerJson(TypedDict):
    id: Annotated[str, Field(description="Its address, HOST:PORT.")]
    state: Annotated[
        Literal["online", "offline", "draining", "stalled", "failing"],
        Field(description="In one word; docs/servers.md explains them."),
    ]
    online: Annotated[bool, Field(description="It answers.")]
    connected: Annotated[bool, Field(description="Its WebSocket is open.")]
    accepting: Annotated[bool, Field(description="It may get new work.")]
    reason: Annotated[str | None, Field(description="Why it is not as it should be.")]
    since: Annotated[str, Field(description="When it came online or went offline.")]
    version: Annotated[str | None, Field(description="ComfyUI's.")]
    slots: Annotated[int, Field(description="Prompts that it may hold now.")]
    running: Annotated[int, Field(description="Tasks of ours that it holds.")]
    queue_length: Annotated[int | None, Field(description="Prompts that it holds, strangers' too.")]
    others: Annotated[int | None, Field(description="Those of strangers.")]
    wait_seconds: Annotated[
        float | None, Field(description="Until it should be through with them.")
    ]


class ServerListJson(TypedDict):
    servers: list[ServerJson]


class ServerDetailJson(ServerJson):
    tasks: Annotated[list[str], Field(description="Ids of the tasks of ours that it holds.")]
    warm: Annotated[list[str], Field(description="Model files of the prompt that it got last.")]
    node_types: Annotated[int, Field(description="How many it has.")]
    models: Annotated[dict[str, list[str]], Field(description="Model files by folder.")]
    system_stats: Annotated[Json | None, Field(description="What ComfyUI says of its machine.")]


class HeldJson(TypedDict):
    """What a server currently holds."""

    server: str
    online: bool
    reason: NotRequired[Annotated[str, Field(description="Why it does not answer.")]]
    running: NotRequired[Annotated[list[str], Field(description="Ids of prompts.")]]
    pending: NotRequired[Annotated[list[str], Field(description="Ids of prompts.")]]
    others: NotRequired[Annotated[int, Field(description="How many are not the gateway's.")]]


class ForeignPromptJson(TypedDict):
    """A prompt of another client in a server's history, with ComfyUI's fields."""

    prompt_id: str
    outputs: Any
    status: Any


class ForeignHistoryJson(TypedDict):
    server: str
    reason: NotRequired[Annotated[str, Field(description="Why it does not answer.")]]
    prompts: Annotated[list[ForeignPromptJson], Field(description="Newest first.")]
