"""COMFYUI_NATIVE_PASS: routes of node packs that one server answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.errors import InvalidInput
from app.servers.passing import checked_pass, passes_of
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.keyholders import guarded

SettingsFor = Callable[..., Settings]


@asynccontextmanager
async def pack(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers all requests alike, and the heads and bodies that it got."""
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = [line[15:] for line in head.lower().splitlines() if line[:15] == b"content-length:"]
        got.append(head + (await reader.readexactly(int(size[0])) if size else b""))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield "{}:{}".format(*server.sockets[0].getsockname()), got


HTML = (
    b"HTTP/1.1 201 Created\r\nContent-Type: text/html\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n"
    b"Connection: close\r\nLocation: http://x/\r\n\r\nhi"
)


async def test_what_is_named_goes_to_the_server_without_the_key(
    settings_for: SettingsFor, tmp_path: Path, demo: DemoServer
) -> None:
    keys: dict[str, Any] = {"alice": "run", "rita": "read"}
    async with pack(HTML) as (address, got):
        name = f"/api/etn/*:{address}"
        gone = "/impact/x:127.0.0.1:9"
        passes = {"native_pass": [name, gone]}
        async with guarded(settings_for, tmp_path, demo, keys=keys, **passes) as gate:
            gate.gateway.pool.add(address)
            alice, rita = await gate.client("alice"), await gate.client("rita")
            more = {"Cookie": "c=secret", "X-Api-Client": "secret", "Content-Type": "text/x"}
            path = "/comfy/api/etn/image/a%20b%3F?x=1&y=%20z"
            answer = await alice.put(path, content=b"body", headers=more)
            assert (answer.status_code, answer.content) == (201, b"hi")
            assert answer.headers["content-disposition"].startswith("attachment")
            assert "sandbox" in answer.headers["content-security-policy"]
            assert not {"set-cookie", "location"} & answer.headers.keys()
            (request,) = [one for one in got if b" /etn" in one]  # it is looked at, too
            head, _, body = request.partition(b"\r\n\r\n")
            assert head.split(b"\r\n")[0] == b"PUT /etn/image/a%20b%3F?x=1&y=%20z HTTP/1.1"
            assert body == b"body"
            assert b"content-type: text/x" in head.lower()
            for secret in (gate.texts["alice"].lower().encode(), b"secret", b"authorization"):
                assert secret not in head.lower()
            assert (await rita.get("/comfy/etn/x")).status_code == 403
            assert (await (await gate.client()).get("/comfy/etn/x")).status_code == 401
            for other in ("/comfy/etn/..%2finternal/logs", "/comfy/etn/%2e%2e/x", "/comfy/etnx"):
                assert (await alice.get(other)).status_code == 404, other
            large = b"x" * (gate.gateway.settings.max_body_bytes + 1)
            assert (await alice.post("/comfy/etn/x", content=large)).status_code == 413
            assert (await alice.get("/comfy/impact/x")).status_code == 503
            assert len([one for one in got if b" /etn" in one]) == 1


@pytest.mark.parametrize(
    "text",
    [
        *("/manager/*:h:1", "/api/manager/x:h:1", "/internal/logs:h:1", "/api/v2/manager/*:h:1"),
        *("/*:h:1", "/x*/y:h:1", "etn/*:h:1", "/etn/*", "/etn/*:", "/prompt:h:1", "/api/jobs:h:1"),
        *("/etn/../internal:h:1", "/e t/x:h:1", "", "/api/*:h:1", "/etn/*:u:p@h:1"),
    ],
)
def test_what_cannot_be_passed_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(InvalidInput):
        checked_pass(text)


def test_an_entry_is_a_pattern_and_a_server() -> None:
    (one,) = passes_of([checked_pass("/api/etn/*:gpu1:8188")])
    assert (one.path, one.server) == ("/etn/*", "gpu1:8188")
