"""HTTP to one ComfyUI server over aiohttp: connections, timeouts, errors.

aiohttp's exceptions do not leave this package: `translating` converts them to the gateway's.
"""

import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from urllib.parse import urlencode

import aiohttp
import certifi
from yarl import URL

from app.comfyui.answers import Answer
from app.comfyui.bodies import Body
from app.errors import ComfySilent, ComfyUnreachable, InvalidInput
from app.limits.json_types import Json

CONNECT = 5.0  # seconds to connect
MAX_CONNECTIONS = 100
# Idle connections are closed before servers close theirs (after 5 s commonly). Otherwise a request
# may use a connection that is being closed, and a healthy server looks unreachable.
KEPT = 3.0
HEAD_BYTES = 100 << 10  # maximum size of a line in the head of an answer
HEADERS = 1000  # maximum number of headers of an answer
# Maximum size of an answer that is read as a whole: a history of 200 large graphs takes less, and
# one without an end would take all memory.
ANSWER_BYTES = 128 << 20


class Transport:
    """Requests to one server; `base_url` may have a path, which then is in front of all others.

    Raises InvalidInput for a `base_url` that no request can be sent to.
    """

    def __init__(self, base_url: str) -> None:
        self.address = base_url.split("://", 1)[-1]
        try:
            url = URL(base_url)
            self._origin, self._prefix = str(url.origin()), url.raw_path.rstrip("/")
        except ValueError as error:
            raise InvalidInput(f"{base_url!r} is not an address: {error}.") from error
        self._session: aiohttp.ClientSession | None = None
        self._responses: set[aiohttp.ClientResponse] = set()  # being read
        self.is_closed = False

    async def aclose(self) -> None:
        self.is_closed = True
        for response in [*self._responses]:  # whose readers would wait for ever
            response.close()
        if self._session is not None:
            await self._session.close()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        timeout: float | None,
        params: Mapping[str, str | int] | None = None,
        body: Body | None = None,
    ) -> Answer:
        """Return the answer; `path` is quoted, `timeout` the seconds without any progress.

        Raises ComfyUnreachable; the server may have got the request nevertheless.
        """
        async with self.opened(method, path, params=params, body=body, timeout=timeout) as response:
            return answer_of(response, await _whole(response))

    @asynccontextmanager
    async def opened(
        self,
        method: str,
        path: str,
        *,
        timeout: float | None,
        params: Mapping[str, str | int] | str | None = None,
        body: Body | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield the answer, whose content is still to be read. Raises what `ask` raises.

        `params`: or a query that is quoted.
        """
        text = params if isinstance(params, str) else urlencode(params or {})
        query = f"?{text}" if text else ""
        url = URL(f"{self._origin}{self._prefix}{path}{query}", encoded=True)
        options: Json = {"timeout": _timeouts(timeout), "allow_redirects": False}
        with translating(self):
            async with self._session_now().request(method, url, data=body, **options) as response:
                self._responses.add(response)
                try:
                    yield response
                finally:
                    self._responses.discard(response)

    def _session_now(self) -> aiohttp.ClientSession:
        """Return the session, which needs a running event loop to be created."""
        if self.is_closed:
            raise RuntimeError("closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=MAX_CONNECTIONS,
                    keepalive_timeout=KEPT,
                    use_dns_cache=False,
                    ssl=_certificates() if self._origin.startswith("https:") else True,
                ),
                # Logins of proxies are cookies, for addresses without a name, too.
                cookie_jar=aiohttp.CookieJar(unsafe=True, quote_cookie=False),
                max_line_size=HEAD_BYTES,
                max_field_size=HEAD_BYTES,
                max_headers=HEADERS,
            )
        return self._session


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """Return the content, decompressed. Raises ClientPayloadError beyond ANSWER_BYTES."""
    pieces, size = [], 0
    while piece := await response.content.readany():
        pieces.append(piece)
        size += len(piece)
        if size > ANSWER_BYTES:
            limit = f"{ANSWER_BYTES >> 20} MiB"
            raise aiohttp.ClientPayloadError(f"What it answers is larger than {limit}")
    return b"".join(pieces)


def answer_of(response: aiohttp.ClientResponse, content: bytes = b"") -> Answer:
    return Answer(response.status, response.headers, content, response.url.path)


@contextmanager
def translating(transport: Transport) -> Iterator[None]:
    """Convert aiohttp's exceptions to the gateway's, and those of a transport closed meanwhile."""
    address = transport.address
    try:
        yield
    except (RuntimeError, aiohttp.ClientError) as error:
        if transport.is_closed:
            raise ComfyUnreachable(f"ComfyUI at {address} was removed.") from error
        if isinstance(error, RuntimeError):
            raise
        if isinstance(error, aiohttp.ServerTimeoutError):
            raise ComfySilent(f"ComfyUI at {address} did not answer in time.") from error
        reason = _reason(error).rstrip(".")
        raise ComfyUnreachable(f"ComfyUI at {address} cannot be reached: {reason}.") from error


def _reason(error: aiohttp.ClientError) -> str:
    """Return why there is no answer, without the address."""
    cause: BaseException = error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
    elif isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
    if isinstance(cause, aiohttp.ServerDisconnectedError):
        return "Server disconnected without sending a response"
    if isinstance(cause, aiohttp.ClientResponseError):
        return "What it answers is no HTTP"
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError | socket.gaierror):
        return os.strerror(cause.errno) if cause.errno else "The connection was lost"
    return str(cause) or type(cause).__name__


@lru_cache
def _timeouts(seconds: float | None) -> aiohttp.ClientTimeout:
    """Return the timeouts of a request; `seconds` are those of a read, and for a connection that
    is free."""
    return aiohttp.ClientTimeout(connect=seconds, sock_connect=CONNECT, sock_read=seconds)


@lru_cache
def _certificates() -> ssl.SSLContext:
    """Return the TLS context, created on first use: loading the CA certificates takes 25 ms."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context
