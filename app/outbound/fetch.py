"""Downloads of URLs, with limits on size and time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import unquote

import httpx

from app.errors import UrlFailed
from app.outbound.guard import refused
from app.outbound.transport import Remote

MAX_REDIRECTS = 5
STALLED = 15.0  # seconds without data after which a download is aborted
REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Fetched:
    """The answer for a URL: declared name and type, and its content as a stream."""

    filename: str  # from the path of the URL; "" if it has none
    content_type: str
    chunks: AsyncIterator[bytes]


@asynccontextmanager
async def fetching(remote: Remote, text: str, *, seconds: float) -> AsyncIterator[Fetched]:
    """Stream the content of a URL; each redirect is checked like the first URL.

    `seconds` limits the whole context, including the caller's processing. Raises UrlNotAllowed, and
    UrlFailed for all other errors.
    """
    try:
        async with asyncio.timeout(seconds):
            async with _following(remote, remote.guard.check(text)) as (url, response):
                yield Fetched(
                    unquote(url.path.rpartition("/")[2]),
                    response.headers.get("content-type", "").partition(";")[0].strip().lower(),
                    response.aiter_raw(),
                )
    except TimeoutError as error:
        raise _failed(f"It took longer than {seconds:g} seconds.") from error
    except httpx.HTTPError as error:
        raise _failed(f"{type(error).__name__} while asking for it.") from error


@asynccontextmanager
async def _following(
    remote: Remote, url: httpx.URL
) -> AsyncIterator[tuple[httpx.URL, httpx.Response]]:
    for _ in range(MAX_REDIRECTS + 1):
        async with remote.asking("GET", url, timeout=STALLED) as response:
            if response.status_code not in REDIRECTS:
                _check(response)
                yield url, response
                return
            url = _redirected(remote, url, response.headers.get("location", ""))
    raise _failed(f"It redirects more than {MAX_REDIRECTS} times.")


def _redirected(remote: Remote, url: httpx.URL, location: str) -> httpx.URL:
    try:
        target = url.join(location)
    except (httpx.InvalidURL, ValueError) as error:
        raise refused("It redirects to what is no URL.") from error
    return remote.guard.check(str(target))


def _check(response: httpx.Response) -> None:
    if response.status_code != 200:
        raise _failed(f"Its host answered {response.status_code}.")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        # It was not requested, and the decompressed size has no limit.
        raise _failed("Its host sends it compressed, unasked.")


def _failed(why: str) -> UrlFailed:
    return UrlFailed(
        f"The URL cannot be fetched. {why}",
        hint="Open it from the gateway's machine, or upload the file: POST /api/image/upload.",
    )
