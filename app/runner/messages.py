"""Messages in the inbox of a run: events of its server, and requests of other components."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.comfyui.events import Event, Executing, NodeText, Unknown
from app.comfyui.socket import Connected
from app.servers.event_inbox import EventInbox
from app.servers.server import Server
from app.tasks.model import CancelReason

SOCKET_COMES = 2.0  # seconds to wait for the socket of a server that just came online
ON_ITS_WAY = 1.0  # seconds to wait for the next event of a finished prompt
ALL_OF_IT = 30.0  # seconds for all events of a finished prompt: a server could send events for ever


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Request to cancel the run, from a client or a timeout."""

    reason: CancelReason


@dataclass(frozen=True, slots=True)
class MoveRequest:
    """Request to leave the server if the prompt is pending there; with `force` even if it runs."""

    reason: str
    force: bool = False


Message = Event | Connected | CancelRequest | MoveRequest


def calls_for_a_look(message: Message | None) -> bool:
    """Return whether to query the prompt: after a timeout, a reconnect, a cancel or a reported end.

    A prompt that was canceled while it waited on the server is gone at once, and no event tells.
    """
    match message:
        case None | Connected() | CancelRequest() | Executing(node=None):
            return True
        case _:
            return False


def is_sign_of_life(event: Event) -> bool:
    """Return whether the event shows that the prompt moves on; packs may tell of anything."""
    return type(event) not in (NodeText, Unknown)


async def until_heard(server: Server, inbox: EventInbox) -> None:
    """Wait for the socket of a server that just came online: events before it connects are lost."""
    left = server.health.since + SOCKET_COMES - time.time()
    if server.connected or left <= 0:
        return
    # The bound holds even if the system clock was set back
    message = await inbox.next(min(left, SOCKET_COMES))
    if not isinstance(message, Connected | None):
        inbox.put_nowait(message)


async def hear_out(
    server: Server,
    inbox: EventInbox,
    hear: Callable[[Event], Awaitable[None]],
    is_awaited: Callable[[], bool],
) -> None:
    """Process the events that precede an end found by polling; they are still in the inbox.

    `is_awaited` returns whether data is missing that only the socket delivers, such as the frames
    of SaveImageWebsocket.
    """
    until = time.monotonic() + ALL_OF_IT
    while time.monotonic() < until and (not inbox.empty() or (server.connected and is_awaited())):
        message = await inbox.next(ON_ITS_WAY)
        if message is None or isinstance(message, CancelRequest | MoveRequest):
            return  # the code that collects the results learns of a cancel by itself
        if not isinstance(message, Connected):
            await hear(message)
        if isinstance(message, Executing) and message.node is None:
            return
