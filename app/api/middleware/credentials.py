"""The API key in a request.

Keys are not accepted in URLs, which are logged, stored and shared, and not as passwords (Basic),
which browsers store and send automatically, also for pages of other origins. Only where ComfyUI's
own protocol is asked Basic is: its clients send it unasked, and as nobody is asked for a password,
no browser stores one.
"""

import base64
from collections.abc import Sequence

from starlette.types import Scope

from app.api.middleware.heads import header
from app.errors import Unauthorized

PROTOCOL = "comfyui-gateway"  # the subprotocol of the gateway, accepted if it is offered
# Prefix of a key as a subprotocol, since browsers cannot set headers of WebSockets
_KEY_PROTOCOL = "key."


def key_text(scope: Scope, *, basic: bool = False) -> str | None:
    """Return the key of a request, or None. Raises Unauthorized for two different ones.

    `basic`: the password of Basic is one, too, whatever the user's name is.
    """
    found = {*_from_headers(scope, basic=basic)}
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


def _from_headers(scope: Scope, *, basic: bool) -> Sequence[str]:
    scheme, _, given = (header(scope, b"authorization") or "").partition(" ")
    named = [(header(scope, b"x-api-key") or "").strip()]
    if scheme.lower() == "bearer":
        named.append(given.strip())
    elif basic and scheme.lower() == "basic":
        named.append(_password(given))
    return [text for text in named if text]


def _password(given: str) -> str:
    """Return the password of a Basic header (RFC 7617), "" for what is none."""
    try:
        user_and_password = base64.b64decode(given.strip()).decode()
    except ValueError:
        return ""
    return user_and_password.partition(":")[2].strip()
