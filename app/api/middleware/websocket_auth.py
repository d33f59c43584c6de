"""WebSockets: the answer to the subprotocol, and a key in the first message."""

import asyncio
import json
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from app.api.middleware.credentials import PROTOCOL, offered
from app.auth.authenticator import Access
from app.auth.model import AccessKey
from app.errors import GatewayError, Unauthorized

FIRST_MESSAGE_TIMEOUT = 10.0  # seconds for the first message
LONGEST = 4096  # characters of it
REFUSED = 1008  # the close code for what is against the rules
AUTHENTICATED = {"type": "authenticated"}
_HINT = (
    "Send the key with the handshake (Authorization, X-API-Key, or the subprotocols "
    '"comfyui-gateway" and "key.KEY"), or as the first message {"type": "auth", "key": ...}.'
)


class Gone(Exception):
    """The connection is over, with all said that had to be."""


def answering_protocol(scope: Scope, send: Send) -> Send:
    """Say that we speak ours, if the client offers it: browsers insist."""
    if PROTOCOL not in offered(scope):
        return send

    async def answering(message: Message) -> None:
        if message["type"] == "websocket.accept":
            message = {**message, "subprotocol": PROTOCOL}
        await send(message)

    return answering


async def introduced(
    access: Access, scope: Scope, receive: Receive, send: Send
) -> tuple[AccessKey, Receive, Send]:
    """Accept, and wait for the key; nothing else is sent before. The route is then served as
    though the handshake was still to come. Raises Gone for a client without a key."""
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    try:
        async with asyncio.timeout(FIRST_MESSAGE_TIMEOUT):
            text = _key_in(await receive())
        key = access.identify(text)
        if key is None:
            raise Unauthorized("The first message has no key.")
    except TimeoutError as error:
        await _close(send, Unauthorized("No key came in time."))
        raise Gone from error
    except GatewayError as error:
        await _close(send, error)
        raise Gone from error
    await _send_json(send, AUTHENTICATED)
    return key, _from_the_start(receive), _already_accepted(send)


def _key_in(message: Message) -> str | None:
    if message["type"] == "websocket.disconnect":
        raise Gone
    text = message.get("text") or ""
    try:
        value = json.loads(text.lstrip("\ufeff")) if len(text) <= LONGEST else None
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict) and value.get("type") == "auth":
        key = value.get("key")
        return key if isinstance(key, str) else None
    raise Unauthorized("The first message must have the API key.")


async def _close(send: Send, error: GatewayError) -> None:
    said = {"type": "error", "code": error.code, "message": error.detail, "hint": _HINT}
    await _send_json(send, said)
    await send({"type": "websocket.close", "code": REFUSED, "reason": error.detail[:120]})


async def _send_json(send: Send, value: Any) -> None:
    await send({"type": "websocket.send", "text": json.dumps(value)})


def _from_the_start(receive: Receive) -> Receive:
    is_new = True

    async def receiving() -> Message:
        nonlocal is_new
        if is_new:
            is_new = False
            return {"type": "websocket.connect"}
        return await receive()

    return receiving


def _already_accepted(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] != "websocket.accept":
            await send(message)

    return sending
