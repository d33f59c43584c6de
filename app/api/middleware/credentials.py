"""The API key in a request.

Keys are not accepted in URLs, which are logged, stored and shared, and not as passwords (Basic),
which browsers store and send automatically, also for pages of other origins.
"""

from collections.abc import Sequence

from starlette.types import Scope

from app.api.middleware.heads import header
from app.errors import Unauthorized

PROTOCOL = "comfyui-gateway"  # the subprotocol of the gateway, accepted if it is offered
# Prefix of a key as a subprotocol, since browsers cannot set headers of WebSockets
_KEY_PROTOCOL = "key."


def key_text(scope: Scope) -> str | None:
    """Return the key of a request, or None. Raises Unauthorized for two different ones."""
    found = {*_from_headers(scope)}
    if scope["type"] == "websocket":
        found |= {
            protocol.removeprefix(_KEY_PROTOCOL)
            for protocol in offered(scope)
            if protocol.startswith(_KEY_PROTOCOL)
        }
    if len(found) > 1:
        raise Unauthorized("The request has two API keys.", hint="Send one.")
    return next(iter(found), None)


def offered(scope: Scope) -> Sequence[str]:
    """Return the subprotocols offered in a WebSocket handshake."""
    return [str(protocol) for protocol in scope.get("subprotocols", ())]


def _from_headers(scope: Scope) -> Sequence[str]:
    scheme, _, bearer = (header(scope, b"authorization") or "").partition(" ")
    named = [(header(scope, b"x-api-key") or "").strip()]
    if scheme.lower() == "bearer":
        named.append(bearer.strip())
    return [text for text in named if text]
