"""Detect whether two addresses lead to the same ComfyUI process, without side effects.

ComfyUI sends messages for a client_id to the newest socket of that id. So a socket is opened over
each address with the same id, and the first one sends a request: if the second one gets the answer,
both lead to one process.
"""

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from app.limits.periodic import cancel_all

IDENTITY_TIMEOUT = 3.0  # seconds
LARGEST = 1 << 20  # maximum bytes of a message
_ASKED = json.dumps({"type": "feature_flags", "data": {}})


async def is_one_process(one: str, other: str) -> bool | None:
    """Return whether two http(s) URLs lead to one process; None if neither socket answers."""
    path = f"/ws?clientId={uuid4().hex}"
    with suppress(OSError, WebSocketException, TimeoutError, EOFError, ValueError):
        async with asyncio.timeout(IDENTITY_TIMEOUT), AsyncExitStack() as stack:
            first, second = [
                await stack.enter_async_context(
                    connect(
                        f"ws{url.removeprefix('http')}{path}",
                        proxy=None,
                        max_size=LARGEST,
                        close_timeout=0.5,
                    )
                )
                for url in (one, other)
            ]
            await first.send(_ASKED)
            return await _who_is_answered(first, second)
    return None


async def _who_is_answered(first: ClientConnection, second: ClientConnection) -> bool:
    """Return whether the answer arrives at the second socket."""
    waiting = {asyncio.create_task(_answer(socket)): socket for socket in (first, second)}
    try:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return any(waiting[task] is second and task.result() for task in done)
    finally:
        await cancel_all(waiting)


async def _answer(socket: ClientConnection) -> bool:
    async for frame in socket:
        if isinstance(frame, str) and json.loads(frame).get("type") == "feature_flags":
            return True
    return False
