"""Whether two addresses lead to one ComfyUI process: told by what it answers, and without a trace.

ComfyUI sends what it has to say to a client_id to the newest socket that has it. So a socket is
opened over each address under one id, and the first one asks: if the answer comes to the second
one, one process has both.
"""

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

IDENTITY_TIMEOUT = 3.0  # seconds
LARGEST = 1 << 20  # bytes of a message
_ASKED = json.dumps({"type": "feature_flags", "data": {}})


async def is_one_process(one: str, other: str) -> bool | None:
    """`one` and `other` are http(s) URLs; None if nothing was heard."""
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
    """Whether it is the second one."""
    waiting = {asyncio.create_task(_answer(socket)): socket for socket in (first, second)}
    try:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return any(waiting[task] is second and task.result() for task in done)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)


async def _answer(socket: ClientConnection) -> bool:
    async for frame in socket:
        if isinstance(frame, str) and json.loads(frame).get("type") == "feature_flags":
            return True
    return False
