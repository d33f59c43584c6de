"""Headers and URLs of webhooks: what is accepted can be sent, and arrives as it was."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import chain, repeat
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from app.errors import InvalidInput, UrlNotAllowed
from app.outbound.guard import Guard
from app.outbound.post import post
from app.outbound.transport import Remote
from app.webhooks.requests import wanted
from tests.conftest import WAIT, RunningGateway, model_free
from tests.receivers import Receiver, receiving

pytestmark = pytest.mark.slow

GUARD = Guard(["127.0.0.1"])
Run = Callable[[Any], Any]


@contextmanager
def listening() -> Iterator[tuple[Run, Receiver]]:
    """A receiver beside a test that hypothesis calls, which is no coroutine."""
    with asyncio.Runner() as runner:
        context = receiving()
        receiver = runner.run(context.__aenter__())
        try:
            yield runner.run, receiver
        finally:
            runner.run(context.__aexit__(None, None, None))


@asynccontextmanager
async def talking(pieces: Iterable[bytes], pause: float) -> AsyncIterator[str]:
    """The URL of a receiver that answers with these bytes, until its client has enough."""
    over, serving = asyncio.Event(), set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"{}")
            for piece in pieces:
                if over.is_set():
                    break
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)  # a drain that need not wait lets nobody in
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        over.set()
        server.close()
        await asyncio.gather(*serving)


async def sent(receiver: Receiver, path: str, headers: dict[str, str]) -> bool:
    """Ask for a webhook like this and post to it; False if it was refused. What is accepted has to
    arrive."""
    url = f"{receiver.url}/{path}"
    try:
        webhook = await wanted({"url": url, "headers": headers}, GUARD)
    except (InvalidInput, UrlNotAllowed):
        return False
    receiver.got.clear()
    answer = await post(Remote(GUARD), webhook.url, b"{}", webhook.headers, seconds=5)
    assert (answer.status, answer.error) == (200, None)
    arrived = receiver.got[0].headers
    assert {name.lower(): value for name, value in headers.items()}.items() <= arrived.items()
    return True


USUAL = some.from_regex(r"\A[A-Za-z0-9_-]{1,12}\Z")
NAMES = some.one_of(
    *(USUAL, USUAL, USUAL),
    some.text(max_size=8),
    some.sampled_from(["Host", "te", "X-A", "x-a", "Content-Length", "Cookie", "Expect", ""]),
)
VALUES = some.one_of(
    *(USUAL, USUAL),
    some.text(max_size=20),
    some.text(some.characters(max_codepoint=127), max_size=20),
    some.sampled_from([" a", "a ", "\ta", "a\t", "a b", "", "\xa0", "a\r\nb: c", "\x7f", "a\0"]),
)


def test_whatever_header_is_accepted_arrives() -> None:
    accepted = 0
    with listening() as (run, receiver):

        @settings(max_examples=150)
        @given(some.dictionaries(NAMES, VALUES, max_size=3) | some.dictionaries(USUAL, USUAL))
        def check(headers: dict[str, str]) -> None:
            nonlocal accepted
            accepted += bool(headers) and run(sent(receiver, "", headers))

        check()
    assert accepted > 10


def test_whatever_url_is_accepted_is_asked() -> None:
    accepted = 0
    with listening() as (run, receiver):

        @settings(max_examples=100)
        @given(some.text(max_size=20))
        def check(path: str) -> None:
            nonlocal accepted
            accepted += run(sent(receiver, path, {}))

        check()
    assert accepted > 10


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": " lead"},
        {"X-A": "trail "},
        {"X-A": "\tlead"},
        {"X-A": "trail\t"},
        {"X-A": " "},
        {"X-A": "a\nb"},
        {"X-A": "a\x00"},
        {"X-A": "a\x7f"},
        {"X-A": "é"},
        {"X-A": "a" * 4097},
        {"": "a"},
        {"X A": "a"},
        {"X:A": "a"},
        {" X-A": "a"},
        {"X-É": "a"},
        {"X" * 101: "a"},
        {"hOST": "a"},
        {"Content-Length": "2"},
        {"Transfer-Encoding": "chunked"},
        {"Connection": "close"},
        {"Expect": "100-continue"},
        {"Proxy-Authorization": "a"},
        {"webhook-signature": "v1,a"},
        {"X-A": "1", "x-a": "2"},
    ],
)
async def test_a_header_that_cannot_be_sent_is_named(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as refused:
        await wanted({"url": "https://example.com/", "headers": {"X-Ok": "1", **headers}}, GUARD)
    assert any(repr(name)[:80] in refused.value.detail for name in headers)
    assert "lead" not in refused.value.detail
    assert refused.value.extra["field"] == "webhook.headers"


async def test_headers_have_a_size_together() -> None:
    headers = {f"X-{number}": "a" * 4000 for number in range(5)}
    with pytest.raises(InvalidInput, match="together"):
        await wanted({"url": "https://example.com/", "headers": headers}, GUARD)
    headers.popitem()
    assert (await wanted({"url": "https://example.com/", "headers": headers}, GUARD)).headers


async def test_a_submit_with_such_a_header_is_a_422(gateway: RunningGateway) -> None:
    webhook = {"url": "http://example.com/", "headers": {"X-Mine": "trail "}}
    body = {"workflow": model_free(), "webhook": webhook}
    answer = await gateway.http.post("/api/workflow/submit", json=body)
    assert answer.status_code == 422
    assert "X-Mine" in answer.json()["detail"]
    assert not (await gateway.http.get("/api/tasks")).json()["tasks"]


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"H"),
    ],
)
async def test_a_receiver_that_drips_has_a_few_seconds(first: bytes, more: bytes) -> None:
    """Each byte is progress, and yet the whole of it has an end."""

    async with talking(chain([first], repeat(more)), 0.01) as url, asyncio.timeout(WAIT):
        answer = await post(Remote(GUARD), url, b"{}", {}, seconds=0.5)
    assert answer.status is None


async def test_of_an_endless_answer_the_beginning_is_kept() -> None:
    pieces = chain([b"HTTP/1.1 200 OK\r\n\r\n"], repeat(b"x" * 65536))
    async with talking(pieces, 0) as url, asyncio.timeout(WAIT):
        answer = await post(Remote(GUARD), url, b"{}", {}, seconds=WAIT)
    assert (answer.status, answer.body) == (200, "x" * 1024)


async def test_a_value_that_is_too_long_is_told_its_limit() -> None:
    async with receiving() as receiver:
        assert await sent(receiver, "x", {"X-Long": "a" * 4096})
        with pytest.raises(InvalidInput, match="has 4097 characters, and may have 4096") as refused:
            await wanted({"url": receiver.url, "headers": {"X-Long": "a" * 4097}}, GUARD)
        assert "X-Long" in refused.value.detail
