"""httpx transport that connects to addresses accepted by the guard."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property

import h11
import httpx

from app.outbound.guard import Guard

HEADERS = {"User-Agent": "comfyui-gateway", "Accept": "*/*", "Accept-Encoding": "identity"}


class GuardedTransport(httpx.AsyncBaseTransport):
    """Resolves a host, checks every address, and connects to these addresses only.

    The name is kept in the Host header, in SNI and in certificate verification. Connections are not
    reused: httpx pools them by address, and one address may have many names.
    """

    def __init__(self, guard: Guard, context: ssl.SSLContext) -> None:
        self._guard = guard
        self._inner = httpx.AsyncHTTPTransport(
            verify=context, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request. Raises UrlNotAllowed, UrlFailed and what httpx raises."""
        refusal: httpx.ConnectError | httpx.ConnectTimeout | None = None
        for address in await self._guard.addresses_of(request.url):
            try:
                return await self._inner.handle_async_request(_aimed_at(address, request))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                refusal = error  # nothing was sent, so the next address may be tried
        assert refusal is not None
        raise refusal

    async def aclose(self) -> None:
        await self._inner.aclose()


def _aimed_at(address: str, request: httpx.Request) -> httpx.Request:
    name = request.url.raw_host.decode("ascii")
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,  # including the Host header for the name
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": name},
    )


class Remote:
    """HTTP client for foreign servers.

    It uses the transport without httpx's client: no proxies or settings from the environment, no
    cookies, no redirects, and no URLs with secrets in the log.
    """

    def __init__(self, guard: Guard) -> None:
        self.guard = guard

    @cached_property
    def _context(self) -> ssl.SSLContext:
        """The TLS context, created on first use: loading the CA certificates takes 25 ms."""
        return ssl.create_default_context()

    @asynccontextmanager
    async def asking(
        self,
        method: str,
        url: httpx.URL,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        timeout: float,
    ) -> AsyncIterator[httpx.Response]:
        """Send one request and yield the response with its body unread; redirects are not followed.

        `timeout`: seconds without progress. Raises UrlNotAllowed, UrlFailed and httpx.HTTPError.
        """
        request = httpx.Request(
            method,
            url,
            headers=_headers(headers or {}),
            content=content,
            extensions={"timeout": httpx.Timeout(timeout).as_dict()},
        )
        transport = GuardedTransport(self.guard, self._context)
        try:
            response = await transport.handle_async_request(request)
            response.request = request
            try:
                yield response
            finally:
                await response.aclose()
        finally:
            await transport.aclose()


def can_be_sent(url: httpx.URL, headers: Mapping[str, str]) -> bool:
    """Return whether h11 can send the URL and headers such that a receiver reads the same ones."""
    try:
        request = httpx.Request("POST", url, headers=_headers(headers), content=b"")
        ours, theirs = h11.Connection(h11.CLIENT), h11.Connection(h11.SERVER)
        asked = h11.Request(
            method=request.method, target=request.url.raw_path, headers=request.headers.raw
        )
        theirs.receive_data(ours.send(asked) or b"")
        read = theirs.next_event()
        sent = {(name.lower().encode(), value.encode()) for name, value in headers.items()}
    except (h11.ProtocolError, httpx.InvalidURL, ValueError):  # includes UnicodeEncodeError
        return False
    return isinstance(read, h11.Request) and sent <= set(read.headers)


def _headers(more: Mapping[str, str]) -> httpx.Headers:
    headers = httpx.Headers(HEADERS)
    headers.update(more)
    return headers
