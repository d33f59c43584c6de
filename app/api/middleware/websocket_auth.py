"""WebSockets: the subprotocol in the answer to a handshake, and the close code of a refusal."""

from starlette.types import Message, Scope, Send

from app.api.middleware.credentials import PROTOCOL, offered

REFUSED = 1008  # the close code for what is against the rules


def answering_protocol(scope: Scope, send: Send) -> Send:
    """A `send` that accepts with our subprotocol if the client offers it: browsers insist."""
    if PROTOCOL not in offered(scope):
        return send

    async def answering(message: Message) -> None:
        if message["type"] == "websocket.accept":
            message = {**message, "subprotocol": PROTOCOL}
        await send(message)

    return answering
