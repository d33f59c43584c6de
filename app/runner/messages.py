"""What a run finds in its inbox: the server's events, and what others ask of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from app.comfyui.events import Event, Executing
from app.comfyui.socket import Connected
from app.servers.event_inbox import EventInbox
from app.servers.server import Server
from app.tasks.model import CancelReason

SOCKET_COMES = 2.0  # seconds after a server came online in which its socket is waited for
ON_ITS_WAY = 1.0  # seconds for the next event of a prompt that is over
ALL_OF_IT = 30.0  # seconds for all of them: a server could tell for ever


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Stop, for a request or a timeout."""

    reason: CancelReason


@dataclass(frozen=True, slots=True)
class MoveRequest:
    """Leave the server: if the prompt only waits there; with `force` even if it runs."""

    reason: str
    force: bool = False


Message = Event | Connected | CancelRequest | MoveRequest


def calls_for_a_look(message: Message | None) -> bool:
    """Time is up, events may have been missed, or the end was told."""
    match message:
        case None | Connected() | Executing(node=None):
            return True
        case _:
            return False


async def until_heard(server: Server, inbox: EventInbox) -> None:
    """Wait for the socket of a server that has just come: what it tells before is lost."""
    left = server.health.since + SOCKET_COMES - time.time()
    if server.connected or left <= 0:
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(min(left, SOCKET_COMES)):  # the clock may have been put back
            message = await inbox.get()
        if not isinstance(message, Connected):
            inbox.put_nowait(message)


async def hear_out(
    server: Server,
    inbox: EventInbox,
    hear: Callable[[Event], Awaitable[None]],
    is_awaited: Callable[[], bool],
) -> None:
    """Take what was told before an end that a look has found: it waits here. `is_awaited`: some
    is on its way that only the socket tells, such as frames of SaveImageWebsocket."""
    until = time.monotonic() + ALL_OF_IT
    with suppress(TimeoutError):
        while time.monotonic() < until and (
            not inbox.empty() or (server.connected and is_awaited())
        ):
            async with asyncio.timeout(ON_ITS_WAY):
                message = await inbox.get()
            if isinstance(message, CancelRequest | MoveRequest):
                inbox.put_nowait(message)  # for whoever collects the results
                return
            if not isinstance(message, Connected):
                await hear(message)
            if isinstance(message, Executing) and message.node is None:
                return
