"""uvicorn with limits on the number of connections, slow clients, and the size of heads.

uvicorn itself has no timeout for incomplete requests and for clients that do not read.
"""

import asyncio
import json
import socket
import struct
import sys
import time
from collections.abc import Iterable
from typing import Any

import uvicorn
from starlette.types import Scope
from starlette.websockets import WebSocketDisconnect
from uvicorn.lifespan.on import LifespanOn, LifespanSendMessage
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from app.api.middleware import body_limits
from app.api.middleware.body_limits import MAX_HEAD
from app.api.problems import MEDIA_TYPE, document
from app.errors import CannotStart, GatewayError, HeadTooLarge, RequestTimeout, TooManyConnections
from app.listening import MAIN, NATIVE, refused
from app.settings import Settings

# Seconds that an idle connection is kept: longer than clients and proxies keep theirs (httpx 5,
# nginx 60, Go 90, Caddy 120), so that no request is sent on a connection that is being closed.
KEEP_ALIVE = 130
GRACE = 8  # seconds for open requests after SIGTERM
MAX_MESSAGE = 1 << 18  # bytes of a message of a WebSocket client
BODY_PROGRESS = 16 * 1024  # bytes of a body that must arrive within the timeout
# Limits of the WebSocket library, which fails without an answer beyond them.
MAX_UPGRADE_HEADERS, MAX_UPGRADE_LINE = 100, 8000
FINAL, TEXT, BINARY = 0x80, 1, 2  # bits and opcodes of WebSocket frames
_EXTENSION = "comfyui_gateway.socket"  # of ASGI: where the application finds the connection


class Connection(HttpToolsProtocol):
    """An HTTP connection that records what `Patience` needs."""

    def __init__(self, config: uvicorn.Config, *args: Any, **options: Any) -> None:
        super().__init__(config, *args, **options)
        self.access_log = False  # replaced by app/api/middleware/request_log.py
        self.limit_concurrency = None  # uvicorn would count requests, without WebSockets
        self._most = config.limit_concurrency
        self._head = 0  # bytes of an incomplete head
        self._in_head = False
        self.requests = 0
        self.received = 0
        self.resumed = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._most is None or len(self.connections) <= self._most:
            return
        if idle := next(filter(_is_idle, self.connections), None):
            idle.transport.close()  # make room by closing an idle connection
        else:
            text = f"There are {self._most} connections, which is all that are allowed."
            self.refuse(TooManyConnections(text, hint="Try again later.", retry_after=5))

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        super().data_received(data)
        self._head = self._head + len(data) if self._in_head else 0
        if self._head > MAX_HEAD:
            self.refuse(HeadTooLarge(f"URL and headers are larger than {MAX_HEAD} bytes."))

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self.requests += 1
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        longest = max(len(name) + len(value) for name, value in self.headers)
        if len(self.headers) > MAX_UPGRADE_HEADERS or longest > MAX_UPGRADE_LINE:
            self.refuse(HeadTooLarge("These headers are too many or too large for a WebSocket."))
            return
        super().handle_websocket_upgrade()

    def resume_writing(self) -> None:
        self.resumed += 1
        super().resume_writing()

    def refuse(self, error: GatewayError) -> None:
        """Send an error outside of the application, and close the connection."""
        body = json.dumps(document(error)).encode()
        head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close"
        if seconds := error.extra.get("retry_after"):
            head += f"\r\nretry-after: {seconds}"
        self.transport.write(STATUS_LINE[error.status] + head.encode() + b"\r\n\r\n" + body)
        self.transport.close()


class Socket(WebSocketsSansIOProtocol):
    """A WebSocket that also takes whole frames, so that one for many clients is made once.

    The application finds it with `socket_of`. Its frames pass no middleware.
    """

    resumed = 0

    def resume_writing(self) -> None:
        self.resumed += 1
        super().resume_writing()

    async def run_asgi(self) -> None:
        self.scope["extensions"][_EXTENSION] = {_EXTENSION: self}
        await super().run_asgi()

    @property
    def takes_more(self) -> bool:
        """Whether `write` may be called: the client reads, and nobody has closed the socket."""
        return self.writable.is_set() and not self._is_over

    async def until_read(self) -> None:
        """Wait until the client has read. Raises WebSocketDisconnect if the socket is closed."""
        await self.writable.wait()
        if self._is_over:
            raise WebSocketDisconnect(1006)

    def write(self, frame: bytes) -> None:
        """Send a frame made by `frame_of`."""
        self.transport.write(frame)

    @property
    def _is_over(self) -> bool:
        return self.close_sent or self.transport.is_closing()


def socket_of(scope: Scope) -> Socket | None:
    """Return the connection of a WebSocket's scope; None where another ASGI server serves."""
    found: Socket | None = scope.get("extensions", {}).get(_EXTENSION, {}).get(_EXTENSION)
    return found


def frame_of(opcode: int, message: bytes) -> bytes:
    """Return a message as a frame (RFC 6455). A server masks none: it is the same for all."""
    size = len(message)
    if size < 126:
        head = struct.pack("!BB", FINAL | opcode, size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", FINAL | opcode, 126, size)
    else:
        head = struct.pack("!BBQ", FINAL | opcode, 127, size)
    return head + message


Debt = tuple[str, tuple[int, int]]  # what the client has to do, and a measure of its progress


class Patience:
    """Closes connections whose client neither continues its request nor reads the response."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._known: dict[Any, tuple[Debt, float]] = {}  # with the time of its last progress

    def look(self, connections: Iterable[Any]) -> None:
        now = time.monotonic()
        before, self._known = self._known, {}
        for connection in connections:
            if debt := _debt(connection):
                known = before.get(connection)
                since = now if known is None or _moved(known[0], debt) else known[1]
                self._known[connection] = (debt, since)
        for connection, ((owed, _), since) in self._known.items():
            if now - since > self._seconds:
                _end(connection, owed)


def _is_idle(connection: Any) -> bool:
    """Return whether the connection waits for another request, with uvicorn's own timeout."""
    waits = getattr(connection, "timeout_keep_alive_task", None) is not None
    return waits and not connection.transport.is_closing()


def _debt(connection: Any) -> Debt | None:
    if left := connection.transport.get_write_buffer_size():
        return "reading", (connection.resumed, -left)
    if not isinstance(connection, Connection):
        return None
    cycle = connection.cycle
    if cycle is None or cycle.response_complete:
        return None if _is_idle(connection) else ("head", (connection.requests, 0))
    if cycle.more_body and not connection.flow.read_paused:
        return "body", (connection.received // BODY_PROGRESS, 0)  # a few bytes are no progress
    return None


def _moved(before: Debt, now: Debt) -> bool:
    return before[0] != now[0] or now[1] > before[1]


def _end(connection: Any, owed: str) -> None:
    if owed == "reading" or connection.transport.is_closing():
        connection.transport.abort()  # a close would wait until everything is read
    elif connection.cycle is not None and connection.cycle.response_started:
        connection.transport.close()
    else:
        connection.refuse(RequestTimeout(f"The {owed} of the request does not come."))


class Lifespan(LifespanOn):
    """Keeps a CannotStart, whose text is for the operator, in place of logging its traceback."""

    failure: CannotStart | None = None

    def __init__(self, config: uvicorn.Config, listeners: Iterable[socket.socket]) -> None:
        super().__init__(config)
        self._listeners = listeners

    async def startup(self) -> None:
        """Raises CannotStart if another one had bound the address, too, and listens since: uvloop
        would say nothing of that."""
        await super().startup()
        for listener in () if self.should_exit else self._listeners:
            try:
                listener.listen(self.config.backlog)
            except OSError as error:
                await self.shutdown()
                address = listener.getsockname()
                told = MAIN if address[1] == self.config.port else NATIVE
                raise refused(address, error, told) from error

    async def send(self, message: LifespanSendMessage) -> None:
        error = sys.exception()  # Starlette sends from where it handles it
        if message["type"] == "lifespan.startup.failed" and isinstance(error, CannotStart):
            self.failure = error
            message = {"type": "lifespan.startup.failed", "message": ""}
        await super().send(message)


class GatewayServer(uvicorn.Server):
    """Closes streams before uvicorn waits for connections at shutdown.

    Reports not ready for `drain_seconds` before that, so that a load balancer notices.
    """

    def __init__(self, app: Any, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=GRACE,
                http=Connection,
                ws=Socket,
                ws_max_size=MAX_MESSAGE,
                # Each connection would compress the same text again, and use 300 kB for that.
                ws_per_message_deflate=False,
                limit_concurrency=settings.max_connections,
            )
        )
        self._app = app
        self._drain_seconds = settings.drain_seconds
        self._patience = Patience(body_limits.CLIENT_TIMEOUT_SECONDS)

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Raises CannotStart, and SystemExit after failures that uvicorn has logged."""
        self.lifespan = lifespan = Lifespan(self.config, sockets or ())
        try:
            await super().startup(sockets)
        except SystemExit:
            if lifespan.failure is not None:
                raise lifespan.failure from None
            raise

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # once per second
            self._patience.look(self.server_state.connections)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        if gateway := getattr(self._app.state, "gateway", None):
            gateway.stop()
            until = time.monotonic() + self._drain_seconds
            # A second signal sets force_exit; uvicorn has no event for it.
            while time.monotonic() < until and not self.force_exit:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await super().shutdown(sockets)
