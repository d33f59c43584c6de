"""Live updates: SSE for one task, a WebSocket for all. What they show, a poll shows, too."""

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, WebSocket
from fastapi.responses import StreamingResponse
from starlette.websockets import WebSocketDisconnect

from app.errors import InvalidJson, TaskNotFound
from app.gateway import Gateway
from app.limit_errors import TooManyConnections
from app.problems import responses
from app.quoting import quoted
from app.routers.deps import GatewayDep
from app.tasks.model import TERMINAL
from app.tasks.subscription import Closed, Overrun, Subscription, Update
from app.workflows.json_text import parse_json

router = APIRouter(tags=["events"])

Json = dict[str, Any]
MOST_TASKS = 5000  # that one WebSocket may follow by their ids
LARGEST_ID = 2**53 - 1  # what JavaScript holds exactly; ours are microseconds
KEEPALIVE = 15.0  # seconds of silence after which a comment is sent


@router.get(
    "/api/task/{task_id}/events",
    response_class=StreamingResponse,
    responses={
        **responses(TaskNotFound, TooManyConnections),
        200: {"content": {"text/event-stream": {}}, "description": "Ends with the task."},
    },
)
async def task_events(
    task_id: str,
    gateway: GatewayDep,
    last_event_id: Annotated[str | None, Header(description="Go on after this one.")] = None,
    previews: Annotated[bool, Query(description="With preview images, as base64.")] = True,
) -> StreamingResponse:
    """`status`, `progress`, `preview` and `output` of one task, until it is finished."""
    gateway.admit_stream()
    await gateway.tasks.get(task_id)
    resume = _number(last_event_id)
    return StreamingResponse(
        _task_stream(gateway, task_id, resume, previews),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _number(event_id: str | None) -> int | None:
    """One of our ids; anything else starts the stream anew: a browser that is refused never comes
    again."""
    if not event_id or not event_id.isascii() or not event_id.isdigit() or len(event_id) > 16:
        return None
    return min(int(event_id), LARGEST_ID)


async def _task_stream(
    gateway: Gateway, task_id: str, resume: int | None, previews: bool
) -> AsyncIterator[str]:
    with gateway.hub.subscribe([task_id], previews=previews) as updates:
        # What was missed, then the task as it is: whoever comes in has the whole truth.
        sent = max(gateway.hub.last_id, resume or 0)
        if resume is not None:
            for missed in gateway.hub.since(task_id, resume):
                yield _sse(missed.type, missed.json, missed.id)
        if notice := gateway.hub.notice:
            yield _sse("notice", notice.json, sent)
        task = await gateway.tasks.get(task_id)
        yield _sse("status", json.dumps(gateway.tasks.view(task), ensure_ascii=False), sent)
        if task.finished:
            return
        async for update in _until_closed(updates):
            if update is None:
                yield ": keepalive\n\n"
                continue
            sent = max(sent, update.id)  # another replica may have been ahead of us
            yield _sse(update.type, _sse_data(update), sent)
            if update.type == "status" and update.data["status"] in TERMINAL:
                return


async def _until_closed(updates: Subscription) -> AsyncIterator[Update | None]:
    """Updates as they come, None in silence; ends when the client has to come again."""
    while True:
        try:
            async with asyncio.timeout(KEEPALIVE):
                update = await updates.get()
        except TimeoutError:
            yield None
        except (Overrun, Closed):
            return
        else:
            yield update


def _sse(event: str, data: str, id: int) -> str:
    return f"id: {id}\nevent: {event}\ndata: {data}\n\n"


def _sse_data(update: Update) -> str:
    if update.type != "preview":
        return update.json
    image = base64.b64encode(update.image).decode()
    return json.dumps({**update.data, "data_base64": image})


@router.websocket("/ws")
async def websocket(socket: WebSocket, gateway: GatewayDep) -> None:
    """Every task's updates, of those that the key may see. `subscribe` narrows them to some tasks,
    `unsubscribe` widens again."""
    gateway.admit_stream()
    await socket.accept()
    with gateway.hub.subscribe() as updates:
        session = _Session(socket, gateway, updates)
        # A route that only sends would not notice that the client is gone, nor that we stop.
        tasks = [
            asyncio.create_task(session.send_updates(), name="ws send"),
            asyncio.create_task(session.receive(), name="ws receive"),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
            raise result


class _Session:
    """One connected WebSocket client."""

    def __init__(self, socket: WebSocket, gateway: Gateway, updates: Subscription) -> None:
        self._socket = socket
        self._gateway = gateway
        self._updates = updates

    async def send_updates(self) -> None:
        try:
            if notice := self._gateway.hub.notice:
                await self._socket.send_text(_message(notice))
            while True:
                update = await self._updates.get()
                is_notice = update.type == "notice"  # of no task
                if not is_notice and not await self._gateway.tasks.sees(update.task_id):
                    continue
                if update.type == "preview":
                    await self._socket.send_bytes(_preview_frame(update))
                else:
                    await self._socket.send_text(_message(update))
        except Overrun:
            await self._socket.close(1013, "too slow: connect again")
        except Closed:
            await self._socket.close(1012, "the gateway is stopping: connect again")

    async def receive(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            await self._answer(message.get("text") or "")

    async def _answer(self, text: str) -> None:
        try:
            message = parse_json(text.encode())
            kind = message["type"]
        except (InvalidJson, KeyError, TypeError):
            await self._complain('send JSON such as {"type": "subscribe", "task_ids": [...]}')
            return
        match kind:
            case "ping":
                await self._socket.send_json({"type": "pong"})
            case "auth":  # no key was needed, or it came with the handshake
                await self._socket.send_json({"type": "authenticated"})
            case "subscribe":
                await self._subscribe(message)
            case "unsubscribe":
                await self._unsubscribe(message)
            case _:
                await self._complain(f"unknown type {quoted(kind)}")

    async def _subscribe(self, message: Json) -> None:
        """To some tasks, or to all without `task_ids`; their present state comes at once."""
        task_ids = message.get("task_ids")
        if task_ids is not None and not _is_ids(task_ids):
            await self._complain("task_ids must be a list of 1 to 1000 ids")
            return
        wanted = (self._updates.task_ids or set()) | set(task_ids or ())
        if len(wanted) > MOST_TASKS:
            await self._complain(f"these would be more than {MOST_TASKS} tasks: unsubscribe first")
            return
        if not self._gateway.hub.has_room(len(wanted) - len(self._updates.task_ids or ())):
            await self._complain("you follow too many tasks, on all connections together")
            return
        if "previews" in message:
            self._updates.previews = message["previews"] is True
        self._updates.task_ids = None if task_ids is None else wanted
        await self._socket.send_json({"type": "subscribed", "task_ids": self._listed()})
        for task_id in task_ids or ():
            await self._send_state(task_id)

    async def _unsubscribe(self, message: Json) -> None:
        """From some of the tasks named; without `task_ids` from all of them: every task comes."""
        task_ids = message.get("task_ids")
        if task_ids is None:
            self._updates.task_ids = None
        elif not _is_ids(task_ids):
            await self._complain("task_ids must be a list of 1 to 1000 ids")
            return
        elif self._updates.task_ids is not None:
            self._updates.task_ids -= set(task_ids)
        await self._socket.send_json({"type": "subscribed", "task_ids": self._listed()})

    async def _send_state(self, task_id: str) -> None:
        try:
            task = await self._gateway.tasks.get(task_id)
        except TaskNotFound as error:
            await self._socket.send_json(
                {"type": "error", "code": error.code, "message": error.detail, "task_id": task_id}
            )
            return
        view = self._gateway.tasks.view(task)
        await self._socket.send_json({"type": "task_update", "event": "status", **view})

    async def _complain(self, message: str) -> None:
        await self._socket.send_json(
            {"type": "error", "code": "invalid_message", "message": message}
        )

    def _listed(self) -> list[str] | None:
        task_ids = self._updates.task_ids
        return None if task_ids is None else sorted(task_ids)


def _is_ids(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= 1000
        and all(isinstance(item, str) and len(item) <= 100 and "\0" not in item for item in value)
    )


@lru_cache(maxsize=16)  # for all who hear of it
def _message(update: Update) -> str:
    if update.type == "notice":
        return f'{{"type":"notice",{update.json[1:]}'
    head = f'{{"type":"task_update","event":"{update.type}","id":{update.id},'
    if update.type == "output":
        return f'{head}"task_id":"{update.task_id}","output":{update.json}}}'
    return head + update.json[1:]


@lru_cache(maxsize=16)
def _preview_frame(update: Update) -> bytes:
    """Laid out as ComfyUI's binary type 4: >I 4, >I length, JSON, image."""
    metadata = {
        **update.data,
        "prompt_id": update.task_id,
        "image_type": update.data["content_type"],
    }
    header = json.dumps(metadata).encode()
    return struct.pack(">II", 4, len(header)) + header + update.image
