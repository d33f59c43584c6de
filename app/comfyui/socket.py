"""The WebSocket to one ComfyUI server: connects, reconnects, yields decoded events."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from typing import NamedTuple
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from app.comfyui.events import Event, decode
from app.limits.worker_threads import Breaths

log = logging.getLogger(__name__)

# Without these flags ComfyUI sends previews without prompt and node id (binary type 1). The flags
# are accepted only in the first message of a connection.
FEATURES = {"supports_preview_metadata": True}

FIRST_DELAY, LAST_DELAY = 0.1, 5.0
LARGE_PROGRESS_CHARACTERS = 16 * 1024  # size of a progress message with about a hundred nodes
SHARE = 0.05  # maximum share of the time for processing large progress messages


class Heard(NamedTuple):
    """An event, and the frame that it came in."""

    event: Event
    frame: str | bytes


class Connected:
    """The socket is open (again). Events may have been missed: query the server's state."""


class Disconnected:
    """The socket is closed; a reconnect is in progress."""


def reconnect_delays() -> Generator[float]:
    delay = FIRST_DELAY
    while True:
        yield delay
        delay = min(delay * 2, LAST_DELAY)


def _retry_always(error: Exception) -> Exception | None:
    """Return None for errors that should lead to a reconnect.

    A server that is starting may answer anything, including redirects to nowhere. The address was
    validated when the server was added, so no answer is a reason to give up.
    """
    expected = (OSError, WebSocketException, TimeoutError, EOFError, ValueError)
    return None if isinstance(error, expected) else error


async def listen(base_url: str, client_id: str) -> AsyncGenerator[Heard | Connected | Disconnected]:
    """Yield the events that ComfyUI at `base_url` (http…) sends to `client_id`, for ever.

    Only one socket per client_id may be open: a second one that overlaps the first makes ComfyUI
    forget both, so the old one is closed before the next is opened.
    """
    url = f"ws{base_url.removeprefix('http')}/ws?clientId={quote(client_id)}"
    connections = connect(
        url,
        proxy=None,
        max_size=None,  # frames of SaveImageWebsocket have no limit
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
    """Limits the time spent on large progress messages.

    Each message repeats all nodes that have started, and one is sent for every change: for a large
    workflow, processing all of them takes longer than the workflow. So they are processed for at
    most SHARE of the time. Nothing is lost, as the next message repeats the skipped ones.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = self._next = clock()

    def is_wanted(self, frame: str | bytes) -> bool:
        """Return whether to process the frame; to be called before it is decoded."""
        self._began = self._clock()
        return not _is_large_state(frame) or self._began >= self._next

    def took(self, frame: str | bytes) -> None:
        """Note that the frame was processed."""
        if _is_large_state(frame):
            now = self._clock()
            self._next = now + (now - self._began) / SHARE


def _is_large_state(frame: str | bytes) -> bool:
    return (
        isinstance(frame, str)
        and len(frame) > LARGE_PROGRESS_CHARACTERS
        and '"progress_state"' in frame[:64]
    )


async def _frames(connection: ClientConnection) -> AsyncGenerator[Heard | Connected]:
    breaths, states = Breaths(), States()
    try:
        await connection.send(json.dumps({"type": "feature_flags", "data": FEATURES}))
        yield Connected()
        async for frame in connection:
            await breaths.take()
            if states.is_wanted(frame):
                yield Heard(decode(frame), frame)
                states.took(frame)
    except (OSError, WebSocketException, asyncio.IncompleteReadError) as error:
        log.debug("socket lost: %r", error)
    finally:
        await connection.close()
