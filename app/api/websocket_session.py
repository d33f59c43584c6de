"""A WebSocket client: its updates and its messages.

Each message counts as a request against the rate of its key. Besides, each connection has its own
rate: messages of a client that sends faster are read more slowly.
"""

import asyncio
import json
import struct
import time
from collections.abc import Coroutine
from functools import lru_cache
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from app.api.uvicorn_server import BINARY, TEXT, frame_of, socket_of
from app.db.queries import no_task
from app.errors import GatewayError, RateLimited
from app.events.subscription import Closed, Interrupted, Overrun, Subscription, Update
from app.gateway import Gateway
from app.limits.json_types import Json
from app.limits.quoting import quoted
from app.limits.worker_threads import Breaths
from app.workflows.json_text import as_utf8, check_values, parse_json
from app.workflows.references.ids import as_stored

MOST_TASKS = 5000  # maximum number of tasks that one WebSocket follows by id
MOST_VALUES = 2000  # maximum number of JSON values in one message
# Cost that a connection may incur; a message costs 1, plus 1 for ten tasks
BURST, PER_SECOND = 500, 20


class SendRate:
    """Token bucket that limits how fast the messages of one connection are answered."""

    def __init__(self) -> None:
        self._left, self._then = float(BURST), time.monotonic()

    def delay(self, cost: int) -> float:
        """Return the seconds to wait before an operation of this cost."""
        now = time.monotonic()
        self._left = min(self._left + (now - self._then) * PER_SECOND, BURST) - cost
        self._then = now
        return max(-self._left / PER_SECOND, 0.0)

    async def wait(self, cost: int) -> None:
        """Wait as long as the rate demands. Nothing is read meanwhile, so the client slows down."""
        if seconds := self.delay(cost):
            await asyncio.sleep(seconds)


async def until_one_ends(*works: Coroutine[Any, Any, None]) -> None:
    """Run what a connection does at a time, until one part of it ends; then end the others.

    A route that only sends would not notice that the client has left. Raises what one of them has
    raised, except that the client has left.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
            raise result


class Session:
    """One connected WebSocket client."""

    def __init__(self, socket: WebSocket, gateway: Gateway, updates: Subscription) -> None:
        self._socket = socket
        self._gateway = gateway
        self._connection = socket_of(socket.scope)
        self._tasks = gateway.tasks
        self._base_path = gateway.base_path
        self._updates = updates
        self._updates.send = self._send_waiting if self._connection else None
        self._pace = SendRate()

    async def send_updates(self) -> None:
        """Send updates until the stream ends.

        Each is sent as it is published, without a switch to this task, which goes on where that was
        not possible: the client is slow, or nobody has looked yet whether it may see the task.
        """
        try:
            while True:
                await self._tasks.look_up(await self._updates.first())
                if self._connection is None:
                    await self._send_next()
                else:
                    await self._connection.until_read()
                    self._send_waiting()
        except Overrun:
            await self._socket.close(1013, "too slow: connect again")
        except Interrupted:
            await self._socket.close(1012, "live updates were interrupted: connect again")
        except Closed:
            await self._socket.close(1012, "the gateway is stopping: connect again")

    async def _send_next(self) -> None:
        """Send what waits first, in the way that every ASGI server has."""
        for update in self._updates.take(1):
            if not self._tasks.sees(update):
                continue
            if update.type == "preview":
                await self._socket.send_bytes(_preview(update))
            else:
                await self._socket.send_text(_message(update, self._base_path))

    def _send_waiting(self) -> None:
        """Send what waits, in its order, as far as that is possible without waiting."""
        connection = self._connection
        assert connection is not None
        while (update := self._updates.peek()) is not None and connection.takes_more:
            if (visible := self._tasks.sees(update)) is None:
                return
            self._updates.take(1)
            if visible:
                connection.write(_frame(update, self._base_path))

    async def receive(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            await self._pace.wait(1)
            try:
                await self._gateway.access.count_caller(self._gateway.caller)
            except RateLimited as error:
                await self._refuse(error)
                continue
            text = message.get("text")
            await self._answer(message.get("bytes") or b"" if text is None else text.encode())

    async def _answer(self, text: bytes) -> None:
        try:
            text = as_utf8(text)
            check_values(text, MOST_VALUES)
            message = parse_json(text)
            kind = message["type"]
        except (GatewayError, KeyError, TypeError):
            await self._complain('send JSON such as {"type": "subscribe", "task_ids": [...]}')
            return
        match kind:
            case "ping":
                await self._socket.send_json({"type": "pong"})
            case "subscribe":
                await self._subscribe(message)
            case "unsubscribe":
                await self._unsubscribe(message)
            case _:
                await self._complain(f"unknown type {quoted(kind)}")

    async def _subscribe(self, message: Json) -> None:
        """Follow some tasks, or all without `task_ids`; the current state of named tasks is sent at
        once."""
        task_ids = _ids(message)
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
        await self._pace.wait(len(wanted) // 10)
        self._updates.task_ids = None if task_ids is None else wanted
        await self._socket.send_json({"type": "subscribed", "task_ids": self._listed()})
        if task_ids:
            await self._send_states(list(dict.fromkeys(task_ids)))

    async def _unsubscribe(self, message: Json) -> None:
        """Stop following the named tasks; without `task_ids` follow all tasks again."""
        task_ids = _ids(message)
        if task_ids is None:
            self._updates.task_ids = None
        elif not _is_ids(task_ids):
            await self._complain("task_ids must be a list of 1 to 1000 ids")
            return
        elif self._updates.task_ids is not None:
            self._updates.task_ids -= set(task_ids)
        await self._socket.send_json({"type": "subscribed", "task_ids": self._listed()})

    async def _send_states(self, task_ids: list[str]) -> None:
        found = await self._gateway.tasks.several(task_ids)
        breaths = Breaths()
        for task_id in task_ids:
            await breaths.take()
            if (task := found.get(task_id)) is None:
                error = no_task(task_id)
                said = {"type": "error", "code": error.code, "message": error.detail}
                await self._socket.send_json({**said, "task_id": task_id})
                continue
            view = self._gateway.tasks.view(task)
            await self._socket.send_json({"type": "task_update", "event": "status", **view})

    async def _refuse(self, error: RateLimited) -> None:
        said = {"type": "error", "code": error.code, "message": error.detail}
        await self._socket.send_json({**said, "retry_after": error.extra.get("retry_after")})

    async def _complain(self, message: str) -> None:
        await self._socket.send_json(
            {"type": "error", "code": "invalid_message", "message": message}
        )

    def _listed(self) -> list[str] | None:
        task_ids = self._updates.task_ids
        return None if task_ids is None else sorted(task_ids)


def _ids(message: Json) -> Any:
    """Return `task_ids` of the message unchecked, with ids in the form that is stored."""
    found = message.get("task_ids")
    if not isinstance(found, list):
        return found
    return [as_stored(item) if isinstance(item, str) else item for item in found]


def _is_ids(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= 1000
        and all(isinstance(item, str) and len(item) <= 100 and "\0" not in item for item in value)
    )


@lru_cache(maxsize=16)  # shared by all subscribers
def _frame(update: Update, base_path: str) -> bytes:
    if update.type == "preview":
        return frame_of(BINARY, _preview(update))
    return frame_of(TEXT, _message(update, base_path).encode())


def _message(update: Update, base_path: str) -> str:
    data = update.json_below(base_path)
    head = f'{{"type":"task_update","event":"{update.type}","id":{update.id},'
    if update.type == "output":
        return f'{head}"task_id":"{update.task_id}","output":{data}}}'
    return head + data[1:]


def _preview(update: Update) -> bytes:
    """Return the message in the layout of ComfyUI's binary type 4: >I 4, >I length, JSON, image."""
    metadata = {
        **update.data,
        "prompt_id": update.task_id,
        "image_type": update.data["content_type"],
    }
    header = json.dumps(metadata).encode()
    return struct.pack(">II", 4, len(header)) + header + update.image
