"""Content of a URL that a client names."""

import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest

from app.errors import UrlFailed, UrlNotAllowed
from app.outbound.fetch import fetching
from app.outbound.guard import Guard
from app.outbound.transport import Remote
from tests.receivers import Got, Reply, receiving
from tests.unit.outbound.test_guard import looking_up


def remote(*answers: list[str], allow: tuple[str, ...] = ()) -> Remote:
    return Remote(Guard(allow, lookup=looking_up(*answers)))  # type: ignore[arg-type]


async def fetched(remote: Remote, url: str, *, seconds: float = 5) -> bytes:
    async with fetching(remote, url, seconds=seconds) as found:
        return b"".join([chunk async for chunk in found.chunks])


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    """Rebinding: the name has another address from the second look-up on; there is none."""
    async with receiving(lambda _: Reply(body=b"content")) as server:
        once = remote(["127.0.0.1"], ["10.9.9.9"], allow=("127.0.0.1",))
        url = f"http://innocent.example:{server.port}/cat.png"
        assert await fetched(once, url) == b"content"
        assert server.got[0].headers["host"] == f"innocent.example:{server.port}"
        with pytest.raises(UrlNotAllowed):
            await fetched(once, url)


async def test_the_next_address_is_tried() -> None:
    async with receiving(lambda _: Reply(body=b"here")) as server:
        both = remote(["127.0.0.2", "127.0.0.1"], allow=("127.0.0.0/8",))
        assert await fetched(both, f"http://two.example:{server.port}/") == b"here"


@pytest.mark.parametrize(
    "location",
    [
        *("http://169.254.169.254/latest/meta-data/", "http://[::ffff:7f00:1]:{port}/"),
        *("http://0x7f.1:{port}/secret", "file:///etc/passwd", "http://a:b@example.com/"),
        *("//10.0.0.1/", "http://[::1]:{port}/secret", "\\\\evil"),
    ],
)
async def test_redirects_are_checked_again(location: str) -> None:
    async with receiving() as server:
        target = location.format(port=server.port)
        server.handler = lambda _: Reply(302, headers={"location": target})
        guarded = Remote(Guard(["127.0.0.1"]))
        with pytest.raises(UrlNotAllowed):
            await fetched(guarded, server.url)
        assert [got.path for got in server.got] == ["/"]


async def test_redirects_are_followed_so_often() -> None:
    def handler(got: Got) -> Reply:
        left = int(got.path[1:])
        return Reply(302, headers={"location": f"/{left - 1}"}) if left else Reply(body=b"end")

    async with receiving(handler) as server:
        allowed = Remote(Guard(["127.0.0.1"]))
        assert await fetched(allowed, f"{server.url}/5") == b"end"
        with pytest.raises(UrlFailed):
            await fetched(allowed, f"{server.url}/6")


async def test_a_fetch_has_an_end() -> None:
    async def slow(_: Got) -> Reply:
        await asyncio.sleep(5)
        return Reply()

    async with receiving(slow) as server:
        with pytest.raises(UrlFailed, match="longer than"):
            await fetched(Remote(Guard(["*"])), server.url, seconds=0.2)


@pytest.mark.parametrize(
    "reply", [Reply(404), Reply(500), Reply(204), Reply(headers={"content-encoding": "gzip"})]
)
async def test_answers_that_are_no_content(reply: Reply) -> None:
    async with receiving(lambda _: reply) as server:
        with pytest.raises(UrlFailed):
            await fetched(Remote(Guard(["*"])), server.url)


async def test_nobody_there() -> None:
    async with receiving() as server:
        url = server.url
    with pytest.raises(UrlFailed):
        await fetched(Remote(Guard(["*"])), url)


async def test_no_proxies_and_no_cookies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    cookie = Reply(headers={"set-cookie": "a=b"}, body=b"x")
    async with receiving(lambda _: cookie) as server:
        asker = Remote(Guard(["*"]))
        for _ in range(2):
            assert await fetched(asker, server.url) == b"x"
        assert "cookie" not in server.got[1].headers


async def test_the_certificate_is_checked_for_the_name(tmp_path: Path) -> None:
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out cert.pem"
    names = ["-subj", "/CN=receiver.example", "-addext", "subjectAltName=DNS:receiver.example"]
    subprocess.run([*command.split(), *names], cwd=tmp_path, check=True, capture_output=True)  # noqa: ASYNC221
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    asked: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: asked.append(name)
    async with receiving(lambda _: Reply(body=b"safe"), tls=tls) as server:
        asker = remote(["127.0.0.1"], allow=("127.0.0.1",))
        asker._context.load_verify_locations(tmp_path / "cert.pem")
        assert await fetched(asker, f"https://receiver.example:{server.port}/") == b"safe"
        assert asked == ["receiver.example"]
        with pytest.raises(UrlFailed):
            await fetched(asker, f"https://other.example:{server.port}/")
