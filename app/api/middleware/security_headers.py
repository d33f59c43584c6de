"""Default security headers of responses, and removal of headers that repeat a long request."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import answer, document
from app.api.v2_errors import path_of
from app.errors import NotFound

# The page has no inline scripts, connects to this origin only, and shows images that it fetched.
_PAGE = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self' ws: wss:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
# FastAPI's documentation pages load scripts from a CDN, and start them inline.
_DOCS = (
    "default-src 'none'; script-src 'unsafe-inline' https://cdn.jsdelivr.net; "
    "style-src 'unsafe-inline' https://cdn.jsdelivr.net https://fonts.googleapis.com; "
    "font-src https://fonts.gstatic.com; img-src 'self' data: https://fastapi.tiangolo.com "
    "https://cdn.redoc.ly; connect-src 'self'; worker-src blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_DATA = "default-src 'none'; frame-ancestors 'none'"
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}

MAX_ECHO = 500  # bytes of header values in errors and CORS responses
MAX_LOCATION = 2000  # bytes; a redirect repeats path and query


class ShortHeaders:
    """ASGI middleware that removes long headers, and redirects with a long URL, from responses."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        replaced = False

        async def shortened(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and 300 <= message["status"] < 400:
                replaced = _leads_too_far(message)
                if replaced:
                    await answer(scope, document(NotFound("Not Found")))(scope, receive, send)
            elif message["type"] == "http.response.start":
                is_error, headers = message["status"] >= 400, message.get("headers", ())
                message["headers"] = [pair for pair in headers if not _repeats(pair, is_error)]
            if not replaced:
                await send(message)

        await self._app(scope, receive, shortened)


def _repeats(header: tuple[bytes, bytes], is_error: bool) -> bool:
    name, value = header
    return len(value) > MAX_ECHO and (is_error or name.startswith(b"access-control-"))


def _leads_too_far(message: Message) -> bool:
    return len(Headers(raw=message.get("headers", [])).get("location", "")) > MAX_LOCATION


# Not with keys: an embedded resource needs one then, so that embedding is intentional.
_OURS = {"Cross-Origin-Resource-Policy": "same-origin"}


class SecurityHeaders:
    """ASGI middleware; `open_to_pages`: all origins may use what needs no key."""

    def __init__(self, app: ASGIApp, *, keys_in_use: bool, open_to_pages: bool) -> None:
        self._app = app
        self._always = _ALWAYS if keys_in_use or open_to_pages else {**_ALWAYS, **_OURS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        policy = policy_of(path_of(scope))

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in {**self._always, "Content-Security-Policy": policy}.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


def policy_of(path: str) -> str:
    """Return the Content-Security-Policy for a path."""
    if path.startswith(("/docs", "/redoc")):
        return _DOCS
    return _PAGE if path == "/" or path.startswith("/static/") else _DATA
