"""Who gets in by which door of ComfyUI's own protocol, and as whom."""

import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from websockets.asyncio.client import connect

from app.auth import cli
from app.auth.url_tokens import PREFIX, new_token
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, over, wait_until
from tests.keyholders import WRONG, Guarded, guarded
from tests.native_clients import native_socket
from tests.ports import free_port

Json = dict[str, Any]
SettingsFor = Callable[..., Settings]
KEYS: Json = {"alice": "run", "reader": "read", "boss": "manage"}
EVIL = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}


@pytest.fixture
async def gate(
    settings_for: SettingsFor, tmp_path: Path, demo: DemoServer
) -> AsyncIterator[Guarded]:
    async with guarded(settings_for, tmp_path, demo, keys=KEYS) as found:
        yield found


def token_of(gate: Guarded, name: str) -> str:
    text, token = new_token("")
    gate.file.add_url(name, token)
    return text


def basic(password: str, user: str = "anybody") -> Json:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


async def status(client: httpx.AsyncClient, path: str, headers: Json | None = None) -> int:
    answer = await client.get(path, headers=headers)
    assert "www-authenticate" not in answer.headers or path.startswith("/api/")
    return answer.status_code


# -- what is a key, and where -------------------------------------------------------------------


async def test_a_key_or_a_token_in_a_header(gate: Guarded) -> None:
    client, token = await gate.client(), token_of(gate, "alice")
    for text in (gate.texts["alice"], token):
        for headers in (
            {"Authorization": f"Bearer {text}"},
            {"X-API-Key": text},
            basic(text),
            basic(text, user=""),
            {"Authorization": "Bearer", "X-API-Key": text},  # Open WebUI without a key
        ):
            for path in ("/system_stats", "/comfy/system_stats", "/api/system_stats"):
                assert await status(client, path, headers) == 200, (path, headers)
    for headers in (
        {},
        {"Authorization": "Bearer"},
        basic(""),
        basic(WRONG),
        {"Authorization": "Basic !"},
        {"Authorization": "Basic /w=="},
    ):
        assert await status(client, "/system_stats", headers) == 401, headers


async def test_our_own_routes_take_neither_tokens_nor_passwords(gate: Guarded) -> None:
    client, token = await gate.client(), token_of(gate, "alice")
    for headers in (
        {"Authorization": f"Bearer {token}"},
        {"X-API-Key": token},
        basic(token),
        basic(gate.texts["alice"]),
    ):
        assert await status(client, "/api/tasks", headers) == 401
        assert await status(client, "/api/queue", headers) == 401
    async with connect(
        f"ws://{gate.address}/ws", additional_headers={"X-API-Key": gate.texts["alice"]}
    ):
        pass
    with pytest.raises(websockets.InvalidStatus):
        await connect(f"ws://{gate.address}/ws", additional_headers={"X-API-Key": token})


async def test_a_token_in_the_path(gate: Guarded) -> None:
    token, wrong = token_of(gate, "alice"), f"{PREFIX}{'x' * 32}"
    for client in (await gate.client(), await gate.client(key=WRONG)):  # whatever the headers say
        for below in ("", "/api"):
            assert await status(client, f"/comfy/~{token}{below}/system_stats") == 200
            assert await status(client, f"/comfy/~{token}/{below}/system_stats") == 200
            assert await status(client, f"/comfy/~{wrong}{below}/system_stats") == 401
    client = await gate.client("alice")
    for path in ("/comfy/~/system_stats", f"/comfy/~{wrong}/system_stats"):
        assert await status(client, path) == 401, "a good header does not make up for it"
    assert await status(client, f"/comfy/~{gate.texts['alice']}/system_stats") == 401, "a key in it"
    assert await status(client, f"/comfy/~{token}/api/tasks") == 404, "no route of ours"


async def test_a_token_is_good_for_no_more_than_run(gate: Guarded) -> None:
    client = await gate.client()
    for name, scope in (("boss", "run"), ("alice", "run"), ("reader", "read")):
        headers = {"Authorization": f"Bearer {token_of(gate, name)}"}
        key = gate.gateway.access.keys.find_url(headers["Authorization"].split()[1])
        assert key is not None
        assert (key.name, key.scope.word) == (name, scope)
        assert await status(client, "/system_stats", headers) == 200


async def test_a_token_shares_the_rate_of_its_key(
    settings_for: SettingsFor, tmp_path: Path, demo: DemoServer
) -> None:
    keys: Json = {"slow": {"scope": "run", "rate": "2/day"}}
    async with guarded(settings_for, tmp_path, demo, keys=keys) as gate:
        client, token = await gate.client("slow"), token_of(gate, "slow")
        assert await status(client, "/system_stats") == 200
        assert await status(client, f"/comfy/~{token}/system_stats") == 200
        for path in ("/system_stats", f"/comfy/~{token}/system_stats"):
            limited = await client.get(path)
            assert limited.status_code == 429
            assert limited.headers["retry-after"]


# -- the command --------------------------------------------------------------------------------


async def test_the_commands(gate: Guarded, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> str:
        cli.main(words, str(gate.file.path), f"http://{gate.address}")
        return capsys.readouterr().out.strip()

    urls = [run("url", "alice") for _ in range(2)]
    client = await gate.client()
    for url in urls:
        assert url.startswith(f"http://{gate.address}/comfy/~{PREFIX}")
        assert url.endswith("/")
        assert await status(client, f"{url}system_stats") == 200
    listed = run("list")
    ids = [line.split()[1] for line in listed.splitlines() if line.startswith("  url ")]
    assert len(set(ids)) == 2
    assert "created_at=20" in listed
    stored = gate.file.path.read_text(encoding="utf-8")
    for url in urls:
        text = url.partition("~")[2].rstrip("/")
        assert len(text) > len(PREFIX) + 128 // 6
        assert text not in listed + stored
    run("revoke-url", "alice", ids[0])
    assert await status(client, f"{urls[0]}system_stats") == 401
    assert await status(client, f"{urls[1]}system_stats") == 200
    run("revoke", "alice")
    assert await status(client, f"{urls[1]}system_stats") == 401


# -- pages of other origins ---------------------------------------------------------------------


async def test_below_a_token_any_page_may_ask(gate: Guarded) -> None:
    client, below = await gate.client(), f"/comfy/~{token_of(gate, 'alice')}"
    for method, path in (("GET", "/system_stats"), ("POST", "/no/such/path")):
        answer = await client.request(method, f"{below}{path}", headers=EVIL)
        assert answer.status_code in (200, 405)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
    asks = {
        **EVIL,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-other",
    }
    allowed = await client.options(f"{below}/prompt", headers=asks)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in allowed.headers
    assert "x-other" in allowed.headers["access-control-allow-headers"]
    refused = await client.get(f"/comfy/~{WRONG}/system_stats", headers=EVIL)
    assert refused.status_code == 401
    for path in ("/prompt", "/comfy/prompt"):  # not without
        answer = await client.post(path, headers=EVIL)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


async def test_without_keys_what_stands_in_place_of_a_token_opens_nothing(
    gateway: RunningGateway,
) -> None:
    assert (await gateway.http.get("/comfy/~any/system_stats")).status_code == 200
    answer = await gateway.http.post("/comfy/~any/prompt", headers=EVIL)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    host = {"Host": "evil.example"}
    assert (await gateway.http.get("/comfy/~any/system_stats", headers=host)).status_code == 403


async def test_headers_of_answers(gate: Guarded) -> None:
    client, below = await gate.client(), f"/comfy/~{token_of(gate, 'alice')}"
    for path in ("/system_stats", "/no/such/path"):
        answer = await client.get(f"{below}{path}")
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"].split(", ")[0] in ("private", "no-store")


async def test_two_slashes_after_an_address_that_ends_with_one(gate: Guarded) -> None:
    """The page and `keys url` tell addresses that do; most clients add a path that begins so."""
    client, token = await gate.client("alice"), token_of(gate, "alice")
    for door in ("/", "/comfy/", f"/comfy/~{token}/"):
        for path in ("/queue", "/api/prompt", "/history/x"):
            answer = await client.get(f"http://{gate.address}{door}{path}")
            assert answer.status_code == 200, (door, path)
    async with native_socket(gate.address, key=gate.texts["alice"], path="//ws"):
        pass
    assert (await client.get(f"http://{gate.address}//api/health")).status_code == 404, (
        "our own are where they are"
    )


async def test_who_asks_for_the_page_learns_that_a_comfyui_is_there(gate: Guarded) -> None:
    client, token = await gate.client(), token_of(gate, "alice")
    for path in ("/comfy", "/comfy/", f"/comfy/~{token}", f"/comfy/~{token}/"):
        for method in ("GET", "HEAD"):
            answer = await client.request(method, path)
            assert answer.status_code == 200, path
            assert answer.headers["content-type"].startswith("text/html")


async def test_pages_of_this_machine_show_its_pictures(
    settings_for: SettingsFor, demo: DemoServer
) -> None:
    async with over(settings_for, demo) as gateway:
        answer = await gateway.http.get("/system_stats")
        assert answer.headers["cross-origin-resource-policy"] == "same-site"
        answer = await gateway.http.get("/api/health")
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


# -- ports --------------------------------------------------------------------------------------


def at(port: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60)


async def test_a_port_that_is_bound_to_a_key(
    settings_for: SettingsFor, tmp_path: Path, demo: DemoServer
) -> None:
    alice, nobody = free_port(), free_port()
    ports = [f"{alice}:alice", f"127.0.0.1:{nobody}:nobody"]
    async with (
        guarded(settings_for, tmp_path, demo, keys=KEYS, native_ports=ports) as gate,
        at(alice) as port,
        at(nobody) as other,
    ):
        assert any("'nobody'" in line for line in gate.gateway.warnings())
        for path in ("/system_stats", "/api/system_stats"):
            assert await status(port, path) == 200
            assert await status(port, path, {"Authorization": "Bearer other"}) == 200
            refused = await other.get(path)
            assert (refused.status_code, set(refused.json())) == (401, {"error", "node_errors"})
        for path in ("/api/tasks", "/metrics", "/docs", "/static/app.js", "/api/health", "/comfy"):
            assert await status(port, path) == 404, "nothing of our own is there"
        assert await status(await gate.client(), "/system_stats") == 401, "the main port is not"
        foreign: list[Json] = [
            {"Host": "evil.example"},
            {"Host": f"evil.example:{alice}"},
            {"Origin": "http://evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "null"},
        ]
        for headers in foreign:
            for method in ("GET", "POST", "HEAD", "OPTIONS"):
                answer = await port.request(method, "/system_stats", headers=headers)
                assert answer.status_code == 403, (method, headers)
        own = {"Origin": f"http://127.0.0.1:{alice}", "Sec-Fetch-Site": "same-origin"}
        assert await status(port, "/system_stats", own) == 200
        for options in ({"origin": "http://evil.example"}, {"additional_headers": EVIL}):
            with pytest.raises(websockets.InvalidStatus) as closed:
                await connect(f"ws://127.0.0.1:{alice}/ws", **options)
            assert closed.value.response.status_code == 403
            assert "error" in json.loads(closed.value.response.body or b"")


@pytest.mark.parametrize("origin", ["*", "http://page.example"])
async def test_all_pages_are_none_that_are_named(
    settings_for: SettingsFor, tmp_path: Path, demo: DemoServer, origin: str
) -> None:
    """COMFYUI_CORS_ORIGINS=* is safe where a page needs a key, and nowhere else."""
    number = free_port()
    settings: Json = {"native_ports": [f"{number}:alice"], "cors_origins": [origin]}
    async with guarded(settings_for, tmp_path, demo, keys=KEYS, **settings), at(number) as port:
        headers = {"Origin": "http://page.example", "Sec-Fetch-Site": "cross-site"}
        assert await status(port, "/system_stats", headers) == (403 if origin == "*" else 200)


async def test_a_port_without_keys(settings_for: SettingsFor, demo: DemoServer) -> None:
    number = free_port()
    async with (
        over(settings_for, demo, native_ports=[str(number)], allowed_hosts=["box"]),
        at(number) as port,
    ):
        assert await status(port, "/system_stats") == 200
        assert await status(port, "/system_stats", {"Host": "box:1"}) == 200
        assert await status(port, "/system_stats", {"Host": "evil.example"}) == 403


async def test_the_doors_are_told(settings_for: SettingsFor, tmp_path: Path) -> None:
    """Whose the ports are only to their owners, and to who manages."""
    ports = [f"{free_port()}:alice", f"localhost:{free_port()}:reader"]
    told = [
        {"host": host, "port": int(port.split(":")[-2]), "key": port.split(":")[-1]}
        for host, port in zip(("127.0.0.1", "localhost"), ports, strict=True)
    ]
    async with guarded(settings_for, tmp_path, keys=KEYS, native_ports=ports) as gate:
        for name, seen in (("alice", told[:1]), ("reader", told[1:]), ("boss", told)):
            client = await gate.client(name)
            info = (await client.get("/api/system/info")).json()
            assert info["native"] == {"root": "/", "path": "/comfy/", "ports": seen}
            below = await client.get("/api/system/info", headers={"X-Forwarded-Prefix": "/x"})
            assert below.json()["native"]["path"] == "/x/comfy/"


# -- below a path -------------------------------------------------------------------------------


@pytest.mark.parametrize("root_path", ["/comfy", "/gpu/one"])
async def test_below_a_path_of_a_proxy(
    settings_for: SettingsFor, tmp_path: Path, demo: DemoServer, root_path: str
) -> None:
    """The proxy may leave its path in place, or take it out: /comfy as well."""
    async with guarded(settings_for, tmp_path, demo, keys=KEYS, root_path=root_path) as gate:
        client, token = await gate.client(), token_of(gate, "alice")
        paths = [f"/comfy/~{token}/system_stats", f"/~{token}/system_stats"]
        for path in [*paths, *(f"{root_path}{path}" for path in paths)]:
            assert await status(client, path) == 200, path
        for path in ("/system_stats", "/comfy/system_stats", f"{root_path}/comfy/system_stats"):
            assert await status(client, path) == 401
            assert await status(await gate.client("alice"), path) == 200
        told = {"X-Forwarded-Prefix": "/comfy"}
        assert await status(client, f"/~{token}/system_stats", told) == 200


# -- revocation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["path", "header"])
async def test_a_revoked_token_ends_its_sockets(gate: Guarded, way: str) -> None:
    token = token_of(gate, "alice")
    path = f"/comfy/~{token}/ws" if way == "path" else "/ws?clientId=a"
    headers = {"X-API-Key": token} if way == "header" else None
    key = gate.gateway.access.keys.named("alice")
    assert key is not None
    async with connect(f"ws://{gate.address}{path}", additional_headers=headers) as socket:
        gate.file.revoke_url("alice", key.urls[0].id)
        with contextlib.suppress(websockets.ConnectionClosed):
            async for _ in socket:
                pass
        assert socket.close_code == 1008
    assert await wait_until(lambda: not gate.gateway.access._open)
