"""A token in a path is told to nobody, whatever goes wrong: no line of the log, answer, figure or
page has it."""

import contextlib
import json
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from app import logs
from app.auth.url_tokens import PREFIX, new_token
from app.limits.redaction import without_secrets
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.keyholders import Guarded, guarded

Json = dict[str, Any]

# Ways in which a path with a token comes to the gateway: as it should, put together wrongly, by a
# proxy that takes too much out, or too little.
FORMS = (
    "/comfy/~{token}",
    "/comfy/%7E{token}",
    "/~{token}",
    "//comfy/~{token}",
    "/comfy//~{token}",
    "/comfy/{token}",
    "/other/comfy/~{token}",
    "/gpu/comfy/~{token}",
    "/gpu/~{token}",
    "/api/comfy/~{token}",
    "/comfy/api/~{token}",
    "/api/task/~{token}",
    "/api/image/~{token}",
    "/static/~{token}",
    "/{token}",
)
BELOW = (
    *("", "/", "/system_stats", "/system_stats/", "/api/system_stats", "/no/such/path"),
    *("/prompt", "/queue", "/history", "/history/x", "/view?filename=x.png", "/free", "/ws"),
    *("/object_info/~", "/internal/logs", "/api/jobs/x", "/%00", "/%ff", f"/{'x' * 3000}"),
)
BODIES: tuple[Json, ...] = (
    {"content": b"{"},
    {"content": b'{"prompt": {"1": {"class_type": "Nope", "inputs": {}}}}'},
    {"json": {"prompt": 3}},
    {"files": {"image": ("a.png", b"no picture")}},
    {"content": b"x" * (2 << 20)},
)


class Told:
    """All that was logged and answered. What a library logs counts, too, before our formats."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        self.answers: list[str] = []

    def add(self, answer: httpx.Response) -> None:
        # A redirect of our own routes leads the client to the path that it has asked for.
        headers = {name: value for name, value in answer.headers.items() if name != "location"}
        self.answers.append(f"{answer.request.method} {answer.status_code} {headers}")
        self.answers.append(answer.text)

    def check(self, *secrets: str) -> None:
        forms = (logs.PlainLines(), logs.JsonLines())
        lines = [form.format(record) for record in self._caplog.records for form in forms]
        assert len(lines) > 100
        assert len(self.answers) > 100
        for secret in secrets:
            assert [line for line in [*lines, *self.raw(), *self.answers] if secret in line] == []

    def raw(self) -> Iterator[str]:
        for record in self._caplog.records:
            if record.name.startswith("app."):
                yield f"{record.getMessage()} {getattr(record, 'facts', '')}"
                if record.exc_info:
                    yield "".join(traceback.format_exception(*record.exc_info))


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "websockets.client", "hpack"):  # of the test itself
        caplog.set_level(logging.CRITICAL, name)
    caplog.handler.setLevel(logging.DEBUG)
    return Told(caplog)


@pytest.fixture
async def gate(
    settings_for: Callable[..., Settings], tmp_path: Path, demo: DemoServer
) -> AsyncIterator[Guarded]:
    keys: Json = {"alice": "run", "boss": "manage", "slow": {"scope": "run", "rate": "1/day"}}
    own: Json = {"root_path": "/gpu", "max_upload_bytes": 1024, "max_body_bytes": 1024}
    async with guarded(settings_for, tmp_path, demo, keys=keys, **own) as found:
        yield found


def tokens_of(gate: Guarded) -> Json:
    """One that is good, one of a key that may ask once a day, a wrong one, a revoked one, a key."""
    texts = {}
    for name in ("alice", "slow", "alice"):
        text, token = new_token("")
        gate.file.add_url(name, token)
        texts[f"{name}{len(texts)}"] = text
    gate.file.revoke_url("alice", token.id)
    return {**texts, "wrong": f"{PREFIX}{'Zz' * 16}", "key": gate.texts["alice"]}


async def send(http: httpx.AsyncClient, method: str, target: str, **more: Any) -> httpx.Response:
    """With the target as it is written here."""
    request = http.build_request(method, "/", **more)
    request.extensions["target"] = target.encode()
    return await http.send(request)


async def opened(gate: Guarded, target: str) -> str:
    """What is answered to a handshake, if it is refused."""
    try:
        async with connect(f"ws://{gate.address}{target}"):
            return ""
    except WebSocketException as error:
        response = getattr(error, "response", None)
        return f"{response.headers} {response.body!r}" if response else ""


async def test_no_token_is_told(gate: Guarded, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    http, tokens = await gate.client(), tokens_of(gate)
    for turn, text in enumerate(tokens.values()):
        for at, form in enumerate(FORMS if turn == 0 else FORMS[turn::7]):
            start = form.replace("{token}", text)
            for below in BELOW if turn == at == 0 else BELOW[at % 5 :: 5]:
                told.add(await send(http, "GET", start + below))
                told.answers.append(await opened(gate, start + below))
            for body in BODIES:
                with contextlib.suppress(httpx.WriteError, httpx.ReadError):
                    told.add(await send(http, "POST", f"{start}/prompt", **body))
            told.add(await send(http, "DELETE", f"{start}/prompt"))
            asks = {"Origin": "http://x.example", "Access-Control-Request-Method": "POST"}
            told.add(await send(http, "OPTIONS", f"{start}/prompt", headers=asks))

    def breaks(*_: object) -> None:
        raise RuntimeError("it broke")

    with monkeypatch.context() as broken:
        broken.setattr(type(gate.gateway.pool), "online", breaks)
        failed = await http.get(f"/comfy/~{tokens['alice0']}/system_stats")
        assert failed.status_code == 500
        told.add(failed)
    boss = await gate.client("boss")
    for path in ("/metrics", "/api/health", "/api/system/info", "/openapi.json", "/api/tasks"):
        told.add(await boss.get(path))
    told.check(*tokens.values())


def test_lines_of_others_are_redacted() -> None:
    text, _ = new_token("")
    record = logging.LogRecord("other", 40, "", 0, "asked for /comfy/~%s/ws", (text,), None)
    for form in (logs.PlainLines(), logs.JsonLines()):
        line = form.format(record)
        assert text not in line
        assert "/comfy/~***/ws" in line
    assert json.loads(logs.JsonLines().format(record))
    for harmless in ("keys begin with cgw_", "cgu_short", "no secret"):
        assert without_secrets(harmless) == harmless
