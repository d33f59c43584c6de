"""The WebSocket side: who is connected, and who gets which message."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

from starlette.websockets import WebSocket, WebSocketDisconnect

from fake_comfyui.knobs import Knobs, Records, distorted

Message = str | bytes


class Socket:
    """One open socket. Messages wait in an outbox, so a slow reader slows nobody else."""

    def __init__(self, sid: str, websocket: WebSocket) -> None:
        self.sid = sid
        self.websocket = websocket
        self.wants_metadata = False
        self.greeted = False
        self.sent_under_knob = 0
        self._outbox: deque[Message] = deque()
        self._filled = asyncio.Event()

    def put(self, message: Message) -> None:
        self._outbox.append(message)
        self._filled.set()

    async def take(self) -> Message:
        while not self._outbox:
            self._filled.clear()
            await self._filled.wait()
        return self._outbox.popleft()


class Hub:
    """All sockets, by clientId; of several with one clientId only the newest is served."""

    def __init__(
        self,
        knobs: Knobs,
        records: Records,
        cut: Callable[[WebSocket], None],
        features: dict[str, Any],
    ) -> None:
        self._knobs = knobs
        self._records = records
        self._cut = cut
        self._features = features
        self._sockets: dict[str, Socket] = {}
        self._open: set[Socket] = set()
        self.queue_remaining: Callable[[], int] = lambda: 0
        # The running prompt's client and node: what a newcomer is told.
        self.client_id: Any = None
        self.last_node: str | None = None

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one socket until it closes."""
        sid = websocket.query_params.get("clientId") or uuid4().hex
        await websocket.accept()
        socket = Socket(sid, websocket)
        self._open.add(socket)
        self._sockets[sid] = socket
        self._records.socket_opened()
        self._greet(socket)
        pump = asyncio.create_task(self._pump(socket), name=f"demo socket {sid}")
        try:
            await self._listen(socket)
        finally:
            pump.cancel()
            self._records.socket_closed()
            self._open.discard(socket)
            # As in ComfyUI, whoever is registered under this id loses it: a second socket
            # that was opened before the first closed goes deaf here.
            self._sockets.pop(sid, None)

    def _greet(self, socket: Socket) -> None:
        socket.put(_encode("status", {**self._status(), "sid": socket.sid}))
        if socket.sid == self.client_id and self.last_node is not None:
            socket.put(_encode("executing", {"node": self.last_node}))

    async def _listen(self, socket: Socket) -> None:
        with suppress(WebSocketDisconnect):
            while True:
                message = await socket.websocket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                if not socket.greeted and message.get("text"):
                    self._negotiate(socket, message["text"])

    def _negotiate(self, socket: Socket, text: str) -> None:
        """Only the first JSON object counts."""
        try:
            message = json.loads(text)
        except ValueError:
            return
        if not isinstance(message, dict):
            return
        socket.greeted = True
        if message.get("type") == "feature_flags":
            flags = message.get("data") or {}
            socket.wants_metadata = flags.get("supports_preview_metadata") is True
            newest = self._sockets.get(socket.sid, socket)  # to the id, not to who asked
            newest.put(_encode("feature_flags", self._features))

    async def _pump(self, socket: Socket) -> None:
        with suppress(WebSocketDisconnect, RuntimeError, OSError):
            while True:
                message = await socket.take()
                if self._is_to_be_cut(socket):
                    self._cut(socket.websocket)
                    return
                key = "text" if isinstance(message, str) else "bytes"
                await socket.websocket.send({"type": "websocket.send", key: message})

    def _is_to_be_cut(self, socket: Socket) -> bool:
        if self._knobs.drop_socket_after is None:
            socket.sent_under_knob = 0
            return False
        if socket.sent_under_knob >= self._knobs.drop_socket_after:
            self._knobs.drop_socket_after = None
            return True
        socket.sent_under_knob += 1
        return False

    def _status(self) -> dict[str, Any]:
        return {"status": {"exec_info": {"queue_remaining": self.queue_remaining()}}}

    def broadcast_status(self) -> None:
        self.send_all(_encode("status", self._status()))

    def send_all(self, message: Message) -> None:
        for socket in self._sockets.values():
            socket.put(message)

    def send(self, event: str, data: dict[str, Any]) -> None:
        """To the running prompt's client; to nobody if it has none."""
        if (socket := self.client) is not None:
            socket.put(_encode(event, distorted(data, self._knobs.say)))

    def publish(self, message: Message) -> None:
        """To the running prompt's client; to everybody if it named none."""
        if self.client_id is None:
            self.send_all(message)
        elif (socket := self.client) is not None:
            socket.put(message)

    def publish_event(self, event: str, data: dict[str, Any]) -> None:
        self.publish(_encode(event, distorted(data, self._knobs.say)))

    @property
    def client(self) -> Socket | None:
        return self._sockets.get(self.client_id)

    @property
    def has_audience(self) -> bool:
        """Whether anybody would get a preview."""
        return bool(self._sockets) if self.client_id is None else self.client is not None

    def cut_all(self) -> None:
        """Cut every socket without a close frame and forget it."""
        for socket in self._open:
            self._cut(socket.websocket)
        self._sockets.clear()


def _encode(event: str, data: dict[str, Any]) -> str:
    return json.dumps({"type": event, "data": data})
