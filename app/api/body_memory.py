"""Memory budget for bodies: reserved before a body is read, released when it is processed."""

from collections.abc import Callable, MutableMapping
from typing import Any

from fastapi import Request

from app.api.middleware import body_limits
from app.api.middleware.body_limits import HELD, give_back
from app.errors import TooManyBodies
from app.gateway import Gateway


async def hold(request: Request, size: int) -> None:
    """Wait until `size` bytes are reserved for a body. Raises TooManyBodies."""
    gateway: Gateway = request.state.gateway
    seconds = body_limits.CLIENT_TIMEOUT_SECONDS
    try:
        free = await gateway.room.take(size, seconds)
    except TimeoutError as error:
        raise TooManyBodies(
            f"Other large bodies left no room for this one within {seconds:g} seconds.",
            hint="Send fewer at a time.",
            retry_after=5,
        ) from error
    held: list[Callable[[], None]] = request.scope["state"].setdefault(HELD, [])
    held.append(free)


def let_go(scope: MutableMapping[str, Any]) -> None:
    """Drop the request's body and release its memory."""
    scope["state"].pop("body", None)
    give_back(scope)
