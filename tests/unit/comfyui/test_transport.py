"""Requests over real sockets, to servers that break off, fall silent or speak no HTTP."""

import asyncio
import gzip
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from app.comfyui import transport
from app.comfyui.bodies import form_body, json_body
from app.comfyui.transport import Transport
from app.errors import ComfySilent, ComfyUnreachable, InvalidInput
from tests.conftest import wait_until
from tests.unit.comfyui.scripted import Scripted, scripted

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SOON = 0.2  # a timeout


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    async with scripted() as server:
        yield server


@asynccontextmanager
async def opened(base: str) -> AsyncIterator[Transport]:
    http = Transport(base)
    try:
        yield http
    finally:
        await http.aclose()


@asynccontextmanager
async def serving(serve: Serve, **options: Any) -> AsyncIterator[str]:
    """A server that does that with each connection; they end with it."""
    connections: set[asyncio.Task[Any]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await serve(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, **options)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


def answering(start: bytes, *, silent: bool = False) -> Serve:
    """Read the head of a request, send that, and close the connection or fall silent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(start)
        await writer.drain()
        if silent:
            await asyncio.Event().wait()

    return serve


async def streamed(http: Transport, timeout: float | None) -> list[bytes]:
    async with http.opened("GET", "/view", timeout=timeout) as response:
        return [chunk async for chunk in response.content.iter_any()]


HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
PACKED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone"


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (b"", "Server disconnected"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "is no HTTP"),
        (HALF, "not completed"),
        (PACKED, "decode"),
    ],
)
async def test_a_server_that_breaks_off_is_unreachable(start: bytes, reason: str) -> None:
    async with serving(answering(start)) as address, opened(f"http://{address}") as http:
        with pytest.raises(ComfyUnreachable) as caught:
            await http.ask("GET", "/queue", timeout=10)
        assert not isinstance(caught.value, ComfySilent)
        said = f"ComfyUI at {address} cannot be reached: "
        assert caught.value.detail.startswith(said)
        assert reason in caught.value.detail
        assert caught.value.detail.count(address) == 1


@pytest.mark.parametrize("start", [b"", HALF])
async def test_a_server_that_falls_silent(start: bytes) -> None:
    silent = answering(start, silent=True)
    async with serving(silent) as address, opened(f"http://{address}") as http:
        with pytest.raises(ComfySilent, match=f"{address} did not answer in time"):
            await http.ask("GET", "/queue", timeout=SOON)
        with pytest.raises(ComfySilent):
            await streamed(http, SOON)


async def test_a_server_that_does_not_take_a_body() -> None:
    """No answer is waited for yet, so that no timeout of reading would end it."""
    large = BytesIO(bytes(32 << 20))
    silent = answering(b"", silent=True)
    async with serving(silent) as address, opened(f"http://{address}") as http:
        body = form_body({}, "image", "a.png", large, SOON)
        with pytest.raises(ComfySilent, match="did not answer in time"):
            await http.ask("POST", "/upload/image", body=body, timeout=600)


async def test_an_address_where_nobody_listens() -> None:
    async with serving(answering(b"")) as address:
        pass
    async with opened(f"http://{address}") as http:
        with pytest.raises(ComfyUnreachable, match="cannot be reached: Connection refused"):
            await http.ask("GET", "/queue", timeout=10)


async def test_a_name_that_nobody_has() -> None:
    async with opened("http://nobody.invalid:8188") as http:
        with pytest.raises(ComfyUnreachable, match=r"nobody.invalid:8188 cannot be reached: .+"):
            await http.ask("GET", "/queue", timeout=10)


@pytest.mark.parametrize("base", ["http://[::1", "http://a:b", "http://:8188"])
def test_what_is_no_address(base: str) -> None:
    with pytest.raises(InvalidInput, match="is not an address"):
        Transport(base)


@pytest.mark.parametrize("start", [b"", HALF])
async def test_what_is_read_of_a_server_ends_when_it_is_removed(start: bytes) -> None:
    asked: list[object] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(writer)
        await answering(start, silent=True)(reader, writer)

    async with serving(serve) as address, opened(f"http://{address}") as http:
        asking = (streamed(http, None), http.ask("GET", "/queue", timeout=None))
        reading = [asyncio.ensure_future(one) for one in asking]
        await wait_until(lambda: len(asked) == 2 and len(http._responses) == (2 if start else 0))
        await http.aclose()
        for ended in await asyncio.gather(*reading, return_exceptions=True):
            assert isinstance(ended, ComfyUnreachable)
            assert "was removed" in ended.detail
        assert not http._responses


async def test_a_prompt_is_sent_once_whatever_becomes_of_it() -> None:
    posts = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        posts.append(await reader.readuntil(b"\r\n\r\n"))

    async with serving(serve) as address, opened(f"http://{address}") as http:
        with pytest.raises(ComfyUnreachable):
            await http.ask("POST", "/prompt", body=json_body({}, 10), timeout=10)
        assert len(posts) == 1


async def test_a_connection_that_the_server_has_closed_is_not_used_again() -> None:
    connections = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")(reader, writer)

    async with serving(serve) as address, opened(f"http://{address}") as http:
        for count in (1, 2, 3):
            answer = await http.ask("POST", "/prompt", body=json_body({}, 10), timeout=10)
            assert answer.content == b"{}"
            assert len(connections) == count
            await wait_until(lambda: not http._session.connector._conns or _are_closed(http))


def _are_closed(http: Transport) -> bool:
    assert http._session is not None
    kept = http._session.connector._conns.values()  # type: ignore[union-attr]
    return not any(one.is_connected() for row in kept for one, _ in row)


async def test_paths_and_queries_come_as_they_are_meant(server: Scripted) -> None:
    async with opened(f"{server.base}/a%2Fb/c d/ü/") as http:
        await http.ask("GET", "/models/x%2Fy%20z", timeout=10)
        query = {"filename": "a b+c&ü.png", "limit": 1}
        await http.ask("GET", "/view", params=query, timeout=10)
    first, second = [one.path for one in server.asked]
    assert first == "/a%2Fb/c%20d/%C3%BC/models/x%2Fy%20z"
    assert second == "/a%2Fb/c%20d/%C3%BC/view?filename=a+b%2Bc%26%C3%BC.png&limit=1"
    answer = await _of(server, "/x%20y")
    assert answer.path == "/x y"


async def _of(server: Scripted, path: str) -> Any:
    async with opened(server.base) as http:
        return await http.ask("GET", path, timeout=10)


async def test_a_login_is_kept_and_its_redirects_are_not_followed(server: Scripted) -> None:
    cookie = "session=a/b+c==; Path=/; HttpOnly"
    server.answer("GET", "/queue", status=302, Location="/login", Set_Cookie=cookie)
    async with opened(server.base) as http:
        for _ in range(2):
            assert (await http.ask("GET", "/queue", timeout=10)).status == 302
    async with opened(server.base) as http:
        await http.ask("GET", "/queue", timeout=10)
    assert [one.path for one in server.asked] == ["/queue"] * 3
    sent = [one.headers.get("Cookie") for one in server.asked]
    assert sent == [None, "session=a/b+c==", None]


async def test_packed_answers_and_large_heads(server: Scripted) -> None:
    content = bytes(8 << 20)
    server.answer("GET", "/a", gzip.compress(content), Content_Encoding="gzip", X_Long="x" * 50_000)
    answer = await _of(server, "/a")
    assert answer.content == content
    assert answer.headers["x-long"] == "x" * 50_000


@pytest.mark.parametrize("is_packed", [True, False])
async def test_an_answer_without_an_end(
    server: Scripted, monkeypatch: pytest.MonkeyPatch, is_packed: bool
) -> None:
    """What counts is its size in memory, not how it comes."""
    monkeypatch.setattr(transport, "ANSWER_BYTES", 1 << 20)
    for size, path in ((1 << 20, "/enough"), ((1 << 20) + 1, "/more")):
        content = gzip.compress(bytes(size)) if is_packed else bytes(size)
        server.answer("GET", path, content, **{"Content_Encoding": "gzip"} if is_packed else {})
    assert len((await _of(server, "/enough")).content) == 1 << 20
    with pytest.raises(ComfyUnreachable, match="is larger than 1 MiB"):
        await _of(server, "/more")


async def test_a_file_that_becomes_shorter_while_it_is_sent(server: Scripted) -> None:
    file = BytesIO(bytes(1 << 20))
    body = form_body({}, "image", "a.png", file, 10)
    file.truncate(1000)
    async with opened(server.base) as http:
        with pytest.raises(ComfyUnreachable, match="cannot be reached"):
            await http.ask("POST", "/upload/image", body=body, timeout=10)


async def test_a_large_form_comes_whole(server: Scripted) -> None:
    content = bytes(range(256)) * 4000
    body = form_body({"type": "input"}, "image", 'a"\r\nb.bin', BytesIO(content), 10)
    async with opened(server.base) as http:
        await http.ask("POST", "/upload/image", body=body, timeout=10)
    (sent,) = server.asked
    assert sent.headers["Content-Length"] == str(len(sent.content))
    named = b'filename="a%22%0D%0Ab.bin"\r\nContent-Type: application/octet-stream\r\n\r\n'
    assert named + content + b"\r\n--" in sent.content


async def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out cert.pem"
    names = ["-subj", "/CN=comfy", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.split(), *names], cwd=tmp_path, check=True, capture_output=True)  # noqa: ASYNC221
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    safe = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nsafe")
    async with serving(safe, ssl=tls) as address:
        async with opened(f"https://{address}") as http:
            with pytest.raises(ComfyUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
                await http.ask("GET", "/queue", timeout=10)
        known = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        monkeypatch.setattr(transport, "_certificates", lambda: known)
        async with opened(f"https://{address}") as http:
            assert (await http.ask("GET", "/queue", timeout=10)).content == b"safe"
