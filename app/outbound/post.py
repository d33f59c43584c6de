"""POST of a message to a URL: a single attempt, whose outcome is always an `Answer`."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from app.errors import GatewayError
from app.outbound.transport import Remote

MAX_ANSWER_BYTES = 1024  # bytes of an answer's body that are kept
BODY_SECONDS = 2.0  # seconds for reading the body; only the status matters


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome; `status` is None without an answer, and `error` is the reason."""

    status: int | None = None
    error: str | None = None
    body: str = ""
    retry_after: float | None = None  # seconds


async def post(
    remote: Remote, url: str, content: bytes, headers: Mapping[str, str], *, seconds: float
) -> Answer:
    """POST once, without following redirects; `seconds` limits the whole request."""
    try:
        async with asyncio.timeout(seconds):
            target = remote.guard.check(url)
            async with remote.asking(
                "POST", target, headers=headers, content=content, timeout=seconds
            ) as response:
                wait = _retry_after(response.headers.get("retry-after", ""))
                return Answer(response.status_code, None, await _beginning(response), wait)
    except TimeoutError:
        return Answer(error=f"no answer within {seconds:g} seconds")
    except httpx.HTTPError as error:
        return Answer(error=f"{type(error).__name__}: the host could not be reached")
    except GatewayError as error:
        return Answer(error=f"{error.code}: {error.detail}")


async def _beginning(response: httpx.Response) -> str:
    """Return the beginning of the body; an interrupted body is no error."""
    body = b""
    with suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) >= MAX_ANSWER_BYTES:
                    break
    return body[:MAX_ANSWER_BYTES].decode(errors="replace").replace("\x00", "")


def _retry_after(text: str) -> float | None:
    """Return the seconds of a Retry-After header, given in seconds or as a date (RFC 9110)."""
    if text.strip().isdigit() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
