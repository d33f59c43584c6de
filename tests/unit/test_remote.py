"""What URLs from clients may lead to, whatever way they are written, named or redirected."""

import asyncio
import ssl
import subprocess
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest

from app.errors import InvalidInput, UrlFailed, UrlNotAllowed
from app.outbound.addresses import is_public
from app.outbound.fetch import fetching
from app.outbound.guard import Guard, check_allowed
from app.outbound.post import Answer, post
from app.outbound.transport import Remote
from tests.receivers import Got, Reply, receiving

PUBLIC = ["93.184.215.14", "8.8.8.8", "1.1.1.1", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]
PRIVATE = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1"),
    *("172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200"),
    *("192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1"),
    *("239.255.255.255", "240.0.0.1", "255.255.255.255", "192.88.99.1", "168.63.129.16"),
    *("::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1", "100::1"),
    *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "::ffff:0:127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::7f00:1"),
    *("2002:7f00:1::", "2002:808:808::", "2001::5601:5601", "2001:0:7f00:1::"),
    *("2001:db8::1", "2001:10::1", "2001:20::1", "3fff::1", "5f00::1", "4000::1"),
]


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize("text", PRIVATE)
def test_addresses_that_are_not_public(text: str) -> None:
    assert not is_public(ip_address(text))
    literal = f"[{text}]" if ":" in text else text
    with pytest.raises(UrlNotAllowed):
        Guard().check(f"http://{literal}/")


@pytest.mark.parametrize(
    "url",
    [
        *("http://0x7f.1/", "http://2130706433/", "http://0x7f000001/", "http://127.1/"),
        *("http://0177.0.0.1/", "http://017700000001/", "http://127.0.0.1./", "http://0/"),
        *("http://127.000.000.001/", "http://0x7f.0x0.0x0.0x1/", "http://1.2.3.4.5/"),
        *("http://localhost./", "http://example.com./", "http://./", "http:///path", "http://"),
        *("http://①②⑦.⓪.⓪.①/", "http://127。0。0。1/", "http://%31%32%37.0.0.1/"),
        *("http://[::1%25lo]/", "http://[fe80::1%25eth0]/", "http://[::ffff:7f00:1]/"),
        *("ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "//example.com/"),
        *(
            "javascript:alert(1)",
            "http:example.com",
            "example.com",
            "",
            "unix:/run/a.sock",
        ),
        *("http://user@example.com/", "http://user:secret@example.com/", "http://@example.com/"),
        *("http://example.com\\@127.0.0.1/", "http://127.0.0.1\\.example.com/"),
        *("http://example.com /", "http://exa\tmple.com/", "http://example.com/\r\nHost: a"),
        *("http://example.com:0/", "http://example.com:99999/", "http://exam_ple..com/"),
        *("http://-a.example.com/", "http://" + "a" * 70 + ".com/", "http://e.com/" + "a" * 9000),
        "http://1.0x7f/",
    ],
)
def test_spellings_that_are_refused(url: str) -> None:
    with pytest.raises(UrlNotAllowed) as refused:
        Guard().check(url)
    assert refused.value.hint
    assert "secret" not in refused.value.detail


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.com", "https://example.com:8443/a?b=c#d", "HTTPS://EXAMPLE.com/"),
        *(
            "http://8.8.8.8/",
            "http://[2606:4700::1111]/",
            "http://bücher.example/",
            "http://a-b.c1/",
        ),
    ],
)
def test_urls_that_may_be(url: str) -> None:
    assert Guard().check(url).host


def looking_up(*answers: list[str]) -> Callable[[str, int], object]:
    """A resolver with one answer a call, the last for good."""
    left = list(answers)

    async def look_up(_host: str, _port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return look_up


async def addresses(url: str, *answers: list[str], allow: tuple[str, ...] = ()) -> list[str]:
    guard = Guard(allow, lookup=looking_up(*answers))  # type: ignore[arg-type]
    return await guard.addresses_of(httpx.URL(url))


@pytest.mark.parametrize("text", [address for address in PRIVATE if address != "::"])
async def test_names_of_addresses_that_are_not_public(text: str) -> None:
    with pytest.raises(UrlNotAllowed):
        await addresses("http://innocent.example/", [text])
    with pytest.raises(UrlNotAllowed):
        await addresses("http://innocent.example/", ["8.8.8.8", text])


async def test_names_of_public_addresses_and_of_none() -> None:
    assert await addresses("http://example.com/", ["8.8.8.8"]) == ["8.8.8.8"]
    with pytest.raises(UrlFailed):
        await addresses("http://example.com/", [])
    with pytest.raises(UrlNotAllowed):
        await addresses("http://example.com/", ["fe80::1%eth0"])


@pytest.mark.parametrize(
    ("url", "answer", "allow"),
    [
        ("http://10.1.2.3/", [], "10.0.0.0/8"),
        ("http://[fd00::1]/", [], "fd00::/8"),
        ("http://receiver/", ["10.1.2.3"], "receiver"),
        ("http://RECEIVER/", ["10.1.2.3"], "Receiver"),
        ("http://receiver/", ["10.1.2.3"], "10.1.2.3"),
        ("http://receiver/", ["127.0.0.1"], "*"),
        ("http://169.254.169.254/", [], "*"),
    ],
)
async def test_what_the_operator_allows(url: str, answer: list[str], allow: str) -> None:
    assert await addresses(url, answer, allow=(check_allowed(allow),))


@pytest.mark.parametrize("allow", ["other", "10.0.0.0/8"])
async def test_what_the_operator_does_not_allow(allow: str) -> None:
    with pytest.raises(UrlNotAllowed):
        await addresses("http://receiver/", ["192.168.0.1"], allow=(allow,))


@pytest.mark.parametrize("entry", ["", "http://host", "host:80", "a/b", "10.0.0.0/99", "*.a.b"])
def test_what_cannot_be_allowed(entry: str) -> None:
    with pytest.raises(InvalidInput):
        check_allowed(entry)


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


async def test_rebinding_to_a_private_address_reaches_nobody() -> None:
    async with receiving() as server:
        rebound = remote(["8.8.8.8"], ["127.0.0.1"])
        url = f"http://innocent.example:{server.port}/"
        await rebound.guard.addresses_of(httpx.URL(url))  # the check at submit
        answer = await post(rebound, url, b"{}", {}, seconds=5)
        assert (answer.error or "").startswith("url_not_allowed")
        assert server.got == []


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


async def test_a_post_redirected_is_an_answer_like_others() -> None:
    async with receiving(lambda _: Reply(307, headers={"location": "/other"})) as server:
        answer = await post(Remote(Guard(["*"])), server.url, b"{}", {}, seconds=5)
        assert (answer.status, len(server.got)) == (307, 1)


async def test_what_is_kept_of_an_answer() -> None:
    reply = Reply(503, b"\x00" + b"a" * 5000, {"retry-after": "7"})
    async with receiving(lambda _: reply) as server:
        answer = await post(Remote(Guard(["*"])), server.url, b"{}", {}, seconds=5)
        assert answer == Answer(503, None, "a" * 1023, 7.0)


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
