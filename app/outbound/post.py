"""Posting a message to a URL: one try, whose outcome is always an answer."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from app.errors import GatewayError
from app.outbound.transport import Remote

MAX_ANSWER_BYTES = 1024  # bytes of an answer's body
BODY_SECONDS = 2.0  # for them; the status is what counts


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` is None if there was no answer; `error` says why then."""

    status: int | None = None
    error: str | None = None
    body: str = ""
    retry_after: float | None = None  # seconds


async def post(
    remote: Remote, url: str, content: bytes, headers: Mapping[str, str], *, seconds: float
) -> Answer:
    """POST once; `seconds` for all of it. Redirects are not followed."""
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
    """What the answer begins with. The answer counts, even if its body breaks off."""
    body = b""
    with suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) >= MAX_ANSWER_BYTES:
                    break
    return body[:MAX_ANSWER_BYTES].decode(errors="replace").replace("\x00", "")


def _retry_after(text: str) -> float | None:
    """Seconds to wait, from either form of the header."""
    if text.strip().isdigit() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
