"""WebSockets: the subprotocol in the handshake response, and the close code of a refusal."""

from starlette.types import Message, Scope, Send

from app.api.middleware.credentials import PROTOCOL, offered

REFUSED = 1008  # policy violation (RFC 6455)


def answering_protocol(scope: Scope, send: Send) -> Send:
    """Return a `send` that accepts with our subprotocol if it was offered, as browsers require."""
    if PROTOCOL not in offered(scope):
        return send

    async def answering(message: Message) -> None:
        if message["type"] == "websocket.accept":
            message = {**message, "subprotocol": PROTOCOL}
        await send(message)

    return answering
