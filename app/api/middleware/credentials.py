"""The text of a key in a request. Never in a URL: those are logged, kept and shared.

Nor as a password (Basic): browsers keep those and send them unasked, also for pages of others.
"""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import Scope

from app.errors import Unauthorized

PROTOCOL = "comfyui-gateway"  # the subprotocol that we speak; answered if it is offered
_KEY_PROTOCOL = "key."  # how browsers send a key with a WebSocket: they can set no header


def key_text(scope: Scope) -> str | None:
    """Raises Unauthorized for two different ones."""
    headers = Headers(scope=scope)
    found = {*_from_headers(headers)}
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
    """The subprotocols of a WebSocket's handshake."""
    return [str(protocol) for protocol in scope.get("subprotocols", ())]


def _from_headers(headers: Headers) -> Sequence[str]:
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    named = [headers.get("x-api-key", "").strip()]
    if scheme.lower() == "bearer":
        named.append(bearer.strip())
    return [text for text in named if text]
