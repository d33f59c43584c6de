"""Forms whose texts are in a charset of any kind, or say so."""

import encodings
import encodings.aliases
import pkgutil
from collections.abc import AsyncGenerator
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException

from app.api.multipart import PARSED_HERE, BoundedMultiPartParser
from app.limits.worker_threads import Workers
from tests.conftest import RunningGateway
from tests.effort import effort

CHARSETS = sorted(
    {module.name for module in pkgutil.iter_modules(encodings.__path__)}
    | set(encodings.aliases.aliases.values())
    | {"none", "..", "\xe9", "x" * 1000, ""}
)
ODD = (b"\xff\xfe\x80", b"xn--\xff", b"a" * 70 + b"..b", b"+\\x\\u1\\N{", b"\x1b$B\x1b(", b"")


def form(*parts: tuple[bytes, bytes]) -> bytes:
    """Each part with what is behind its name."""
    return b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%s\r\n\r\n%s\r\n' % part for part in parts
    ) + (b"--b--\r\n")


def odd_form() -> bytes:
    """Odd bytes as names, as those of files, and as values."""
    parts = [(b'%s"' % odd, b"{}") for odd in ODD]
    for name in (b"file", b"image"):
        parts += [(b'%s"; filename="%s"' % (name, odd), b"{}") for odd in ODD]
    for name in (b"workflow", b"params", b"request"):
        parts += [(b'%s"' % name, odd) for odd in ODD]
    return form(*parts)


def kind(charset: str) -> dict[str, bytes]:
    return {"Content-Type": f"multipart/form-data; boundary=b; charset={charset}".encode("latin-1")}


async def form_routes(gateway: RunningGateway) -> list[str]:
    paths = (await gateway.http.get("/openapi.json")).json()["paths"]
    return [
        path.replace("{filename}", "a")
        for path, methods in paths.items()
        if "multipart/form-data" in str(methods.get("post", {}).get("requestBody"))
    ]


async def test_no_charset_is_a_failure(gateway: RunningGateway) -> None:
    routes, content = await form_routes(gateway), odd_form()
    assert "/api/workflow/submit" in routes
    for charset in CHARSETS:
        for route in routes:
            answer = await gateway.http.post(route, content=content, headers=kind(charset))
            assert answer.status_code != 500, f"{route}: {charset}"


async def test_a_broken_text_is_a_broken_form(gateway: RunningGateway) -> None:
    answer = await gateway.http.post(
        "/api/workflow/submit", content=form((b'x"', b"a")), headers=kind("undefined")
    )
    assert (answer.status_code, answer.json()["detail"]) == (400, "Invalid multipart data.")


async def test_texts_are_read_in_the_charset_they_are_in(gateway: RunningGateway) -> None:
    for number, charset in enumerate(("utf-8", "latin-1", "cp1252", "utf-7")):
        name = f"Kä{number}.txt"
        answer = await gateway.http.post(
            "/api/image/upload",
            content=form((b'image"; filename="%s"' % name.encode(charset), b"x")),
            headers=kind(charset),
        )
        assert answer.json()["name"] == name


async def test_no_charset_takes_much_work() -> None:
    """What is read letter by letter, in Python, takes a call or more for each."""
    texts = [b"xn--" + b"9a" * 20_000, b"a." * 20_000, b"+AAA-" * 8_000]
    content = form(*[(b'x"', text) for text in texts])
    for charset in CHARSETS:
        with effort(10_000), suppress(MultiPartException):
            await parse(content, charset)


async def parse(content: bytes, charset: str) -> None:
    """In small pieces: they are parsed in this thread, where work is counted."""

    async def stream() -> AsyncGenerator[bytes, None]:
        for begin in range(0, len(content), PARSED_HERE):
            yield content[begin : begin + PARSED_HERE]

    async def hold() -> None: ...

    headers = Headers(raw=[(b"content-type", kind(charset)["Content-Type"])])
    await BoundedMultiPartParser(
        headers, stream(), max_bytes=1 << 20, workers=Workers(), hold=hold
    ).parse()
