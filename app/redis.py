"""The way to the Redis that replicas share. Its package is optional: imported only when used."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from app.errors import InvalidInput

if TYPE_CHECKING:
    from redis.asyncio import Redis

TIMEOUT = 3.0  # seconds without an answer after which Redis counts as lost

_HINT = "Write redis://HOST:PORT/NUMBER, or rediss:// for TLS."


def check_url(url: str) -> None:
    """Raises InvalidInput for what cannot be used."""
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise InvalidInput("This is not the URL of a Redis.", hint=_HINT)
    if find_spec("redis") is None:
        raise InvalidInput("Redis needs the package redis.", hint="pip install redis")
    from redis.asyncio.connection import parse_url

    try:
        parse_url(url)
    except ValueError as error:
        raise InvalidInput("This is not the URL of a Redis.", hint=_HINT) from error


def connect(url: str) -> "Redis":
    """A client that fails at once: whoever calls it has a way to go on without."""
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return Redis.from_url(
        url,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
    )


def told(error: BaseException | None) -> str:
    """What may be logged of an error: what Redis itself says repeats commands with their data."""
    from redis.exceptions import ResponseError

    name = type(error).__name__
    return name if isinstance(error, ResponseError) else f"{name}: {error}"
