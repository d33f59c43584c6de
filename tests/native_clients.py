"""A client of ComfyUI's own protocol: its socket, and prompts as its POST queues them."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect

from app.auth.model import EVERYBODY, AccessLevel, Caller
from app.gateway import Gateway
from app.services.submission_request import Submission
from app.tasks.native import NativePrompt, NativeRequest, lane_of, origin_of
from tests.conftest import WAIT

Json = dict[str, Any]
AGENT = "a test"


class NativeSocket:
    """One socket; `heard` is all that it was sent, texts as JSON."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.heard: list[Any] = []

    async def next(self) -> Any:
        async with asyncio.timeout(WAIT):
            frame = await self.connection.recv()
        if isinstance(frame, str):
            assert frame.startswith('{"type":'), frame
            frame = json.loads(frame)
        self.heard.append(frame)
        return frame

    async def until(self, is_last: Callable[[Any], Any]) -> list[Any]:
        """What comes, up to the first one that is so."""
        begin = len(self.heard)
        while not is_last(await self.next()):
            pass
        return self.heard[begin:]

    async def until_end(self, prompt_id: str) -> list[Any]:
        return await self.until(lambda one: is_end(one, prompt_id))

    async def all_so_far(self) -> list[Any]:
        """All that was sent before the answer to a ping, too."""
        begin = len(self.heard)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                while True:
                    await self.next()
        return self.heard[begin:]

    def about(self, prompt_id: str) -> list[str]:
        """The types of the texts that name the prompt."""
        texts = [one for one in self.heard if isinstance(one, dict)]
        return [one["type"] for one in texts if one["data"].get("prompt_id") == prompt_id]

    def end_of(self, prompt_id: str) -> list[str]:
        """The types of the texts that tell the end of the prompt."""
        texts = [one for one in self.heard if isinstance(one, dict)]
        return [one["type"] for one in texts if is_about_end(one, prompt_id)]

    @property
    def sid(self) -> str:
        sid: str = self.heard[0]["data"]["sid"]
        return sid


def is_end(message: Any, prompt_id: str | None = None) -> bool:
    """Whether it is the last message of a prompt."""
    if not isinstance(message, dict) or message["type"] != "executing":
        return False
    data = message["data"]
    return data["node"] is None and prompt_id in (None, data["prompt_id"])


def is_about_end(message: Json, prompt_id: str) -> bool:
    kinds = ("execution_success", "execution_error", "execution_interrupted")
    about = message["type"] in kinds and message["data"]["prompt_id"] == prompt_id
    return about or is_end(message, prompt_id)


@contextlib.asynccontextmanager
async def native_socket(
    address: str,
    client_id: str | None = "c",
    *,
    key: str | None = None,
    source: str = "127.0.0.1",
    path: str = "/comfy/ws",
    **more: Any,
) -> AsyncIterator[NativeSocket]:
    """A socket that was greeted. `source`: the address that it comes from."""
    query = "" if client_id is None else f"?clientId={quote(client_id)}"
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with connect(
        f"ws://{address}{path}{query}",
        local_addr=(source, 0),
        additional_headers=headers,
        max_size=None,
        **more,
    ) as connection:
        socket = NativeSocket(connection)
        first = await socket.next()
        assert first["type"] == "status", first
        assert list(first["data"]) == ["status", "sid"]
        yield socket


async def post(
    gateway: Gateway,
    workflow: Json,
    client_id: str | None = "c",
    *,
    owner: str | None = None,
    source: str = "127.0.0.1",
    **more: Any,
) -> str:
    """Queue a prompt like POST /prompt; return its id. `owner`: the name of an API key."""
    caller = Caller(AccessLevel.RUN, owner, visible_owner=owner) if owner else EVERYBODY
    lane = lane_of(owner, source, client_id) if client_id is not None else None
    native = NativePrompt(1, client_id, origin_of(source, AGENT), lane)
    submission = Submission(
        workflow=workflow, native=native, native_request=NativeRequest(), **more
    )
    (queued,) = await gateway.for_caller(caller, "").submissions.submit(submission)
    return queued.task.task_id
