"""The WebSocket of ComfyUI's own protocol."""

from uuid import uuid4

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from app.api.access_levels import requires
from app.api.deps import gateway_of
from app.api.native.requests import address_of, user_agent_of
from app.api.native.session import NativeSession
from app.api.websocket_session import until_one_ends
from app.auth.model import AccessLevel
from app.events.client_channels import Channel
from app.tasks.native import origin_of

SUBPROTOCOL = "ws"  # what ComfyTextures offers


@requires(AccessLevel.READ)
async def websocket(socket: WebSocket) -> None:
    """Tell a client of its prompts as ComfyUI does, and of the number of the caller's tasks.

    `clientId` in the query: messages of prompts that are posted with this client_id. Without one
    the socket gets an id that nobody else knows, which the first message tells.
    """
    gateway = gateway_of(socket)
    gateway.admit_stream()
    offered = socket.scope.get("subprotocols", ())
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
    client_id = socket.query_params.get("clientId") or uuid4().hex
    origin = origin_of(address_of(socket), user_agent_of(socket))
    channel = Channel(gateway.caller.name, client_id)
    with gateway.hub.subscribe([]) as stream, gateway.channels.open(channel, origin) as mailbox:
        session = NativeSession(socket, gateway, mailbox)
        await until_one_ends(session.send(), session.receive(), session.until_stopped(stream))


ROUTES = [WebSocketRoute("/comfy/ws", websocket)]
