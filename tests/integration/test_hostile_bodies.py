"""Each route of the application, found by itself, against bodies of the largest size allowed that
are made to cost as much as can be, one and four at a time. A second key hardly notices."""

import asyncio
import json
import random
import re
import struct
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.access_levels import names
from app.main import create_app
from app.settings import Settings
from tests.fleet import Gateway, on, stand_ins
from tests.integration.test_access_matrix import picture
from tests.keyholders import write_keys

pytestmark = pytest.mark.slow

Json = dict[str, Any]
Body = tuple[str, bytes]  # its type, and its bytes

MOST = Settings.model_fields["max_body_bytes"].default
JSON = "application/json"
WAIT = 1.0  # seconds that the other key may wait, but for one request of a hundred; of a whole core
MEMORY = 600 << 20  # bytes that the process may take
# What these do is not of the body: they would end the servers, or never end themselves.
LEFT_OUT = ("DELETE /api/servers/{server_id:path}", "WS /ws", "WS /comfy/ws")


def dumped(value: Any) -> Body:
    content = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    assert len(content) <= MOST
    return JSON, content


def one(inputs: Json, class_type: str = "EmptyImage") -> Json:
    return {"class_type": class_type, "inputs": inputs}


def filled(head: bytes, unit: bytes, tail: bytes) -> Body:
    """As large as a body may be."""
    return JSON, head + unit * ((MOST - len(head) - len(tail)) // len(unit)) + tail


def a_long_text() -> Body:
    head = b'{"1":{"class_type":"EmptyImage","inputs":{"a":"'
    return filled(head, "\U0001f98a".encode(), b'"}}}')


def many_nodes() -> Body:
    links = [{f"i{i}": [str((n * 7 + i) % 9_000), 0] for i in range(6)} for n in range(9_000)]
    return dumped({str(n): one(found) for n, found in enumerate(links)})


def many_inputs() -> Body:
    return dumped({str(n): one({f"a{i}": n for i in range(20)}) for n in range(9_900)})


def wrong_params() -> Body:
    graph = {str(n): one({f"some_input_{n}": n}) for n in range(9_000)}
    params = {f"some_inptu_{n}x": 1 for n in range(1_000)}
    return dumped({"workflow": graph, "params": params})


def many_params() -> Body:
    return dumped({"workflow": {"1": one({})}, "params": {f"p{n}": n for n in range(200_000)}})


def a_batch() -> Body:
    graph = {"1": one({"width": 8}), "2": one({"x": "y" * 4_000_000})}
    return dumped({"workflow": graph, "batch": {"1.width": list(range(1_000))}})


def a_large_file() -> Body:
    nodes = [
        {"id": n, "type": "KSampler", "widgets_values": [1, "fixed", 20]} for n in range(30_000)
    ]
    return dumped({"nodes": nodes, "links": []})


def doubling_subgraphs() -> Body:
    inside = [
        {
            "id": f"S{n}",
            "nodes": [{"id": f"{n}{x}", "type": f"S{n + 1}"} for x in "ab"],
            "links": [],
        }
        for n in range(30)
    ]
    nodes = [{"id": 1, "type": "S0"}]
    return dumped({"nodes": nodes, "links": [], "definitions": {"subgraphs": inside}})


def a_dynamic_prompt() -> Body:
    text = "{a|" * 1_000_000 + "}" * 1_000_000
    node = {"id": 1, "type": "CLIPTextEncode", "widgets_values": [text]}
    return dumped({"nodes": [node], "links": []})


def form(*parts: tuple[str, bytes]) -> Body:
    """Each part with the rest of its head."""
    content = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%s\r\n\r\n%s\r\n' % (head.encode(), value)
        for head, value in parts
    )
    return "multipart/form-data; boundary=b", content + b"--b--\r\n"


def zipped_text() -> bytes:
    """A picture whose workflow is far larger than the file."""
    text = b"workflow\0\0" + zlib.compress(b'{"nodes":[' + b"[]," * 2_000_000 + b"[]]}")
    chunk = struct.pack(">I4s", len(text), b"zTXt") + text + b"\0\0\0\0"
    plain = picture()
    return plain[:33] + chunk + plain[33:]


BODIES: dict[str, Callable[[], Body]] = {
    "commas": lambda: filled(
        b'{"workflow":{"1":{"class_type":"X","inputs":{"a":[', b"[],", b"[]]}}}}"
    ),
    "many values": lambda: (JSON, b'{"a":[' + b"[]," * 124_000 + b"[]]}"),
    "deep": lambda: (JSON, b'{"a":' * 99 + b"[" + b"[1]," * 80_000 + b"1]" + b"}" * 99),
    "a long text": lambda: filled(
        b'{"1":{"class_type":"X","inputs":{"a":"', "\U0001f98a".encode(), b'"}}}'
    ),
    "a text of escapes": lambda: filled(b'{"filename":"', b'\\"', b'"}'),
    "a number": lambda: filled(b'{"priority":', b"9", b"}"),
    "a wide object": lambda: dumped({f"key {n}": n for n in range(200_000)}),
    "many nodes": many_nodes,
    "many inputs": many_inputs,
    "wrong params": wrong_params,
    "many params": many_params,
    "a batch": a_batch,
    "a large file": a_large_file,
    "doubling subgraphs": doubling_subgraphs,
    "a dynamic prompt": a_dynamic_prompt,
    "task ids": lambda: dumped({"task_ids": [f"{n:036}" for n in range(10_000)]}),
    "many parts": lambda: form(*[('x"', b"1")] * 20_000),
    "many files": lambda: form(*[('file"; filename="x"', b"1" * 50_000)] * 100),
    "large fields": lambda: form(*[('workflow"', b"[" * (MOST // 50))] * 90),
    "headers": lambda: form(('x"\r\n' + "h: 1\r\n" * 100_000, b"1")),
    "almost boundaries": lambda: form(('file"; filename="x"', b"\r\n--bX" * 1_000_000)),
    "a picture": lambda: form(('file"; filename="x.png"', zipped_text())),
    "a picture as workflow": lambda: form(('workflow"; filename="x.png"', zipped_text())),
    "a large form": lambda: form(('request"', wrong_params()[1])),
    "fields of a query": lambda: ("application/x-www-form-urlencoded", b"a&" * (MOST // 2)),
}
# What reads no body, or a small one, is asked with two of these, or one.
FEW = ("commas", "a long text", "many parts", "fields of a query")


def routes(tmp_path: Path) -> list[str]:
    settings = Settings(workflows_dir=tmp_path / "w", database_url="sqlite://", _env_file=None)  # type: ignore[call-arg, arg-type]
    return [name for name in names(create_app(settings).routes) if name not in LEFT_OUT]


def place(name: str) -> str:
    things = {"filename": "saved.json", "folder": "loras", "server_id": "127.0.0.1:1"}
    path = name.partition(" ")[2]
    return re.sub(r"\{(\w+)(?::path)?\}", lambda match: things.get(match[1], "0" * 8), path)


def bodies_for(name: str, number: int) -> list[str]:
    """Those that a route is asked with: all, each sixth, or few if it takes no workflow."""
    if name == "POST /api/workflow/submit":
        return list(BODIES)
    if name == "POST /api/workflow/parameters":
        return list(BODIES)[::2]
    few = FEW[number % 2 :: 2]
    if name.startswith("POST") and ("workflow" in name or name.endswith("/jobs")):
        return list(dict.fromkeys([*few, *list(BODIES)[number % 6 :: 6]]))
    return list(few) if name.startswith(("POST", "PATCH")) else list(few[:1])


class Poller:
    """The other key: how long it waits."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.waits: list[tuple[float, str]] = []
        self.doing = ""

    async def run(self) -> None:
        while True:
            for path in ("/api/tasks?limit=1", "/api/health"):
                begin = time.monotonic()
                answer = await self._client.get(path)
                self.waits.append((time.monotonic() - begin, self.doing))
                assert answer.status_code == 200, answer.text
            await asyncio.sleep(0.05)

    def p99(self) -> float:
        return sorted(self.waits)[len(self.waits) * 99 // 100][0]


class Attack:
    def __init__(self, client: httpx.AsyncClient, poller: Poller) -> None:
        self._client = client
        self._poller = poller
        self._made: dict[str, Body] = {}
        self.failed: list[tuple[str, str, int]] = []
        self.asked = 0

    async def send(self, name: str, body: str, times: int) -> None:
        """So many at a time; the last one of them is waited for."""
        self._poller.doing = f"{times} x {body} to {name}"
        for status in await asyncio.gather(*[self._one(name, body) for _ in range(times)]):
            self.asked += 1
            if status >= 500:
                self.failed.append((name, body, status))

    async def _one(self, name: str, body: str) -> int:
        kind, content = self._made.setdefault(body, BODIES[body]())
        method = name.partition(" ")[0]
        headers = {"Content-Type": kind}
        with suppress(httpx.WriteError, httpx.ReadError):  # refused before all was sent
            async with self._client.stream(
                method, place(name), content=content, headers=headers
            ) as answer:
                return answer.status_code
        return 0


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[tuple[Gateway, dict[str, str]]]:
    keys = write_keys(tmp_path / "keys.json", hog="manage", other="read")
    async with stand_ins(tmp_path, 1) as demos:
        settings = {"api_keys": tmp_path / "keys.json", "max_queued": 2_000}
        async with Gateway(tmp_path, *on(demos), **settings) as gateway:
            gateway.http.headers["X-API-Key"] = keys["other"]
            await gateway.online(1)
            yield gateway, keys


def share_of_a_core() -> float:
    """How much of one is left by whatever else this machine does."""
    begin, busy = time.monotonic(), time.process_time()
    while time.process_time() - busy < 0.2:
        pass
    return min(0.2 / (time.monotonic() - begin), 1.0)


def peak(gateway: Gateway) -> int:
    """Bytes of memory that the process had at the most."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10  # type: ignore[index]


async def test_no_body_holds_up_another_key(
    fleet: tuple[Gateway, dict[str, str]], tmp_path: Path
) -> None:
    gateway, keys = fleet
    shares = [share_of_a_core()]
    chance = random.Random(1)
    async with httpx.AsyncClient(
        base_url=gateway.base, timeout=120, headers={"X-API-Key": keys["hog"]}, trust_env=False
    ) as hog:
        saved = {"file": ("saved.json", json.dumps({"1": one({})}).encode())}
        assert (await hog.post("/api/workflow/upload", files=saved)).status_code == 201
        poller = Poller(gateway.http)
        polling = asyncio.create_task(poller.run())
        attack = Attack(hog, poller)
        for number, name in enumerate(routes(tmp_path)):
            for body in bodies_for(name, number):
                often = 0.5 if name == "POST /api/workflow/submit" else 0.25
                await attack.send(name, body, 4 if chance.random() < often else 1)
        assert not polling.done(), polling.exception()
        polling.cancel()
    shares.append(share_of_a_core())
    worst = sorted(poller.waits)[-5:]
    found = f"{attack.asked} requests, p99 {poller.p99():.3f} s, {peak(gateway) >> 20} MB, {worst}"
    found += f", {min(shares):.2f} of a core"
    assert attack.asked > 150, found
    assert attack.failed == []
    assert poller.p99() * min(shares) < WAIT, found
    assert peak(gateway) < MEMORY, found
