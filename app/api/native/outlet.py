"""The way out to one WebSocket client."""

import time

from starlette.websockets import WebSocket

from app.api.uvicorn_server import BINARY, TEXT, frame_of, socket_of


class Outlet:
    """Sends whole messages, each when the client has read enough of what was sent before.

    Raises WebSocketDisconnect if the socket is closed.
    """

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._connection = socket_of(socket.scope)
        self.written_at = time.monotonic()

    async def text(self, message: bytes) -> None:
        """Send a text, given as UTF-8."""
        if self._connection is None:  # under another ASGI server
            await self._socket.send_text(message.decode())
        else:
            await self._connection.until_read()
            self._connection.write(frame_of(TEXT, message))
        self.written_at = time.monotonic()

    async def binary(self, message: bytes) -> None:
        if self._connection is None:
            await self._socket.send_bytes(message)
        else:
            await self._connection.until_read()
            self._connection.write(frame_of(BINARY, message))
        self.written_at = time.monotonic()
