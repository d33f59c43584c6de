"""Default security headers of responses, and removal of headers that repeat a long request."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.middleware.heads import add_missing, header
from app.api.native.doors import door_of
from app.api.problems import answer, document
from app.api.v2_errors import path_of
from app.errors import NotFound

# Pages have no inline scripts, connect to this origin only, and show images that they fetched.
_PAGE = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self' ws: wss:; object-src 'none'; base-uri 'self'; "
    "form-action 'none'; frame-ancestors 'none'"
)
# Redoc writes styles into the page, and searches in a worker that it makes itself.
_REDOC = _PAGE.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'; worker-src blob:")
_DATA = "default-src 'none'; frame-ancestors 'none'"
_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
# ComfyUI's own protocol: web UIs on this machine, on other ports, show its pictures.
_NATIVE = (b"cross-origin-resource-policy", b"same-site")
# Not with keys: an embedded resource needs one then, so that embedding is intentional.
_OURS = (b"cross-origin-resource-policy", b"same-origin")

MAX_ECHO = 500  # bytes of header values in errors and CORS responses
MAX_LOCATION = 2000  # bytes; a redirect repeats path and query


class SecurityHeaders:
    """ASGI middleware that adds these headers, and removes long ones and redirects with a long URL.

    `open_to_pages`: all origins may use what needs no key.
    """

    def __init__(self, app: ASGIApp, *, keys_in_use: bool, open_to_pages: bool) -> None:
        self._app = app
        always = _ALWAYS if keys_in_use or open_to_pages else [*_ALWAYS, _OURS]
        self._by_policy = {
            policy: [*always, (b"content-security-policy", policy.encode())]
            for policy in (_PAGE, _REDOC, _DATA)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        added, replaced = self._by_policy[policy_of(path_of(scope))], False

        async def with_headers(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start":
                if _leads_too_far(message):
                    replaced = True
                    problem = answer(scope, document(NotFound("Not Found")))
                    problem.raw_headers += added
                    await problem(scope, receive, send)
                else:
                    _drop_repetitions(message)
                    if door_of(scope):
                        add_missing(message, [_NATIVE] if _OURS in added else [])
                        _keep_private(message)
                    add_missing(message, added)
            if not replaced:
                await send(message)

        await self._app(scope, receive, with_headers)


def _keep_private(message: Message) -> None:
    """Let no shared cache keep an answer: below a token the path alone is whose it is."""
    control = header(message, b"cache-control") or ""
    words = [word.strip() for word in control.split(",") if word.strip()]
    if not {"private", "no-store"} & set(words):
        kept = ["private", *(word for word in words if word != "public")]
        others = [pair for pair in message["headers"] if pair[0] != b"cache-control"]
        message["headers"] = [*others, (b"cache-control", ", ".join(kept).encode())]


def _drop_repetitions(message: Message) -> None:
    if 300 <= message["status"] < 400:  # a Location has a limit of its own
        return
    is_error = message["status"] >= 400
    headers = message.get("headers", ())
    if any(len(value) > MAX_ECHO for _, value in headers):
        message["headers"] = [
            (name, value)
            for name, value in headers
            if len(value) <= MAX_ECHO or not (is_error or name.startswith(b"access-control-"))
        ]


def _leads_too_far(message: Message) -> bool:
    is_redirect = 300 <= message["status"] < 400
    return is_redirect and len(header(message, b"location") or "") > MAX_LOCATION


def policy_of(path: str) -> str:
    """Return the Content-Security-Policy for a path."""
    if path == "/redoc":
        return _REDOC
    return _PAGE if path in ("/", "/docs") or path.startswith("/static/") else _DATA
