"""Connection to the Redis that replicas share; its package is optional and imported on use."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from app.errors import InvalidInput

if TYPE_CHECKING:
    from redis.asyncio import Redis

TIMEOUT = 3.0  # seconds without an answer after which Redis counts as unavailable

_HINT = "Write redis://HOST:PORT/NUMBER, or rediss:// for TLS."


def check_url(url: str) -> None:
    """Raise InvalidInput for an unusable URL."""
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
    """Return a client without retries: all callers can work without Redis."""
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
    """Return the loggable part of an error: Redis's own messages contain commands with data."""
    from redis.exceptions import ResponseError

    name = type(error).__name__
    return name if isinstance(error, ResponseError) else f"{name}: {error}"
