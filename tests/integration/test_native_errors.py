"""Whatever goes wrong with a request of ComfyUI's own protocol is told in ComfyUI's form."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from websockets.asyncio.client import connect

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway
from tests.keyholders import WRONG, Guarded, guarded

Json = dict[str, Any]
BEARER = {"Authorization": f"Bearer {WRONG}"}


@pytest.fixture
async def gate(
    settings_for: Callable[..., Settings], tmp_path: Path, demo: DemoServer
) -> AsyncIterator[Guarded]:
    keys: dict[str, str | Json] = {"runner": "run", "slow": {"scope": "run", "rate": "1/day"}}
    async with guarded(settings_for, tmp_path, demo, keys=keys) as found:
        yield found


def check(answer: Json) -> None:
    error = answer["error"]
    assert set(answer) == {"error", "node_errors"}
    assert set(error) == {"type", "message", "details", "extra_info"}
    assert error["type"]
    assert error["message"]
    assert isinstance(error["details"], str)
    assert isinstance(error["extra_info"], dict)
    assert isinstance(answer["node_errors"], dict)


def refused_as(answer: httpx.Response, status: int) -> Json:
    assert answer.status_code == status, answer.text
    assert "www-authenticate" not in answer.headers
    told: Json = answer.json()
    check(told)
    return told


async def test_keys(gate: Guarded) -> None:
    for client, status in ((await gate.client(), 401), (await gate.client(key=WRONG), 401)):
        for path in ("/system_stats", "/api/system_stats", "/comfy/system_stats"):
            refused_as(await client.get(path), status)
    slow = await gate.client("slow")
    assert (await slow.get("/system_stats")).status_code == 200
    limited = await slow.get("/system_stats")
    refused_as(limited, 429)
    assert int(limited.headers["retry-after"]) > 0


async def test_pages_of_others(gateway: RunningGateway) -> None:
    here = gateway.http
    refused_as(await here.get("/system_stats", headers={"Host": "evil.example"}), 403)
    refused_as(await here.post("/prompt", headers={"Origin": "http://evil.example"}), 403)


async def test_failures(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("it broke")

    monkeypatch.setattr(type(gateway.gateway.pool), "online", breaks)
    found = refused_as(await gateway.http.get("/system_stats"), 500)
    assert "it broke" not in json.dumps(found)


@pytest.mark.parametrize("path", ["/comfy/ws", "/comfy/ws?clientId=a", "/ws?clientId=a"])
async def test_a_refused_socket(gate: Guarded, path: str) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with connect(f"ws://{gate.address}{path}", additional_headers=BEARER):
            pass
    assert refused.value.response.status_code == 401
    assert "www-authenticate" not in refused.value.response.headers
    check(json.loads(refused.value.response.body or b""))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "path",
    [
        "/comfy/no/such/path",
        "/comfy/upload",
        "/comfy/system_stats/",
        "/view/x",
    ],
)
async def test_what_is_not_there_is_an_empty_404(
    gateway: RunningGateway, method: str, path: str
) -> None:
    """As on ComfyUI, and no redirect, which would lead out of the door."""
    found = await gateway.http.request(method, path)
    assert (found.status_code, found.content) == (404, b"")


@pytest.mark.parametrize(
    "path", ["/comfy/internal/logs", "/comfy/manager/reboot", "/comfy/api/v2/manager/x"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_what_changes_the_machine_is_not_there(
    gateway: RunningGateway, method: str, path: str
) -> None:
    assert (await gateway.http.request(method, path)).status_code == 404


async def test_a_method_that_is_none_of_a_route(gateway: RunningGateway) -> None:
    for method, path in (("PUT", "/system_stats"), ("DELETE", "/comfy/no/such/path")):
        found = await gateway.http.request(method, path)
        assert (found.status_code, found.text) == (405, "405: Method Not Allowed")
        assert set(found.headers["allow"].split(",")) == {"GET", "HEAD"}
    asked = await gateway.http.options("/comfy/system_stats")
    assert (asked.status_code, asked.content) == (200, b"")
