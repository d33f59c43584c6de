"""Which URLs may be asked."""

from collections.abc import Callable

import httpx
import pytest

from app.errors import InvalidInput, UrlFailed, UrlNotAllowed
from app.outbound.guard import Guard, check_allowed

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
