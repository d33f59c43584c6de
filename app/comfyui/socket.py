"""The WebSocket to one ComfyUI server: connects, reconnects, yields decoded events."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from app.comfyui.events import Event, decode
from app.limits.worker_threads import Breaths

log = logging.getLogger(__name__)

# Without these ComfyUI sends previews that name neither prompt nor node (binary type 1). They
# count only as the first message of a connection and are forgotten with it.
FEATURES = {"supports_preview_metadata": True}

FIRST_DELAY, LAST_DELAY = 0.1, 5.0
LARGE_PROGRESS_CHARACTERS = 16 * 1024  # characters of a message of progress: about a hundred nodes
SHARE = 0.05  # of the time that may go into reading larger ones


class Connected:
    """The socket is open (again): events may have been missed, look at the server's state."""


class Disconnected:
    """The socket is gone; a new one is being tried."""


def reconnect_delays() -> Generator[float]:
    delay = FIRST_DELAY
    while True:
        yield delay
        delay = min(delay * 2, LAST_DELAY)


def _retry_always(error: Exception) -> Exception | None:
    """A server that is starting answers anything, redirects to nowhere too. Whatever it is, it is
    no reason to end: the address was looked at when it came."""
    expected = (OSError, WebSocketException, TimeoutError, EOFError, ValueError)
    return None if isinstance(error, expected) else error


async def listen(base_url: str, client_id: str) -> AsyncGenerator[Event | Connected | Disconnected]:
    """Events that ComfyUI at `base_url` (http…) sends to `client_id`, for ever.

    One socket at a time for a client_id: a second one that overlaps the first makes ComfyUI
    forget both, so the old one is closed before the next is opened.
    """
    url = f"ws{base_url.removeprefix('http')}/ws?clientId={quote(client_id)}"
    connections = connect(
        url,
        proxy=None,
        max_size=None,  # results of SaveImageWebsocket come as frames of any size
        open_timeout=10,
        close_timeout=1,
        reconnect_delays=reconnect_delays,
        process_exception=_retry_always,
    )
    async for connection in connections:
        async with aclosing(_frames(connection)) as events:
            async for event in events:
                yield event
        yield Disconnected()


class States:
    """Which messages of progress are read. Each repeats all nodes that have begun, and comes with
    every one: of a large workflow reading all of them takes longer than the workflow. So of those
    only as many are read as take SHARE of the time; what one of them says the next one says, too.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = self._next = clock()

    def is_wanted(self, frame: str | bytes) -> bool:
        """To be asked before it is read."""
        self._began = self._clock()
        return not _is_large_state(frame) or self._began >= self._next

    def took(self, frame: str | bytes) -> None:
        """It was read, and what follows from it was done."""
        if _is_large_state(frame):
            now = self._clock()
            self._next = now + (now - self._began) / SHARE


def _is_large_state(frame: str | bytes) -> bool:
    return (
        isinstance(frame, str)
        and len(frame) > LARGE_PROGRESS_CHARACTERS
        and '"progress_state"' in frame[:64]
    )


async def _frames(connection: ClientConnection) -> AsyncGenerator[Event | Connected]:
    breaths, states = Breaths(), States()
    try:
        await connection.send(json.dumps({"type": "feature_flags", "data": FEATURES}))
        yield Connected()
        async for frame in connection:
            await breaths.take()
            if states.is_wanted(frame):
                yield decode(frame)
                states.took(frame)
    except (OSError, WebSocketException, asyncio.IncompleteReadError) as error:
        log.debug("socket lost: %r", error)
    finally:
        await connection.close()
