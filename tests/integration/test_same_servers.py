"""One server under two addresses is one, two that look alike are two, and what is named is used."""

from collections.abc import Callable
from typing import Any

import pytest

from app.comfyui.identity import is_one_process
from app.servers.addresses import may_be_one_machine
from app.services import duplicate_servers
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, run_gateway, wait_until

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]


def also(demo: DemoServer, host: str = "localhost") -> str:
    return f"{host}:{demo.address.rpartition(':')[2]}"


def ids(gateway: RunningGateway) -> list[str]:
    return [server.id for server in gateway.gateway.pool]


async def warnings_of(gateway: RunningGateway) -> list[str]:
    found: list[str] = (await gateway.http.get("/api/health")).json()["warnings"]
    return found


async def test_it_is_told_by_what_it_answers(demo: DemoServer) -> None:
    port = int(also(demo).rpartition(":")[2])
    async with DemoServer(host="127.0.0.2", port=port) as alike:
        one = f"http://{demo.address}"
        assert await is_one_process(one, f"http://{also(demo)}") is True
        assert await is_one_process(f"http://{also(demo)}", one) is True
        assert await is_one_process(one, f"http://{alike.address}") is False
    assert await is_one_process(one, "http://127.0.0.1:9") is None
    assert demo.records.prompts == []


async def test_another_address_of_a_server_in_use(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    for address in (also(demo), f"http://{also(demo)}/", demo.address):
        answer = await gateway.http.post("/api/servers", json={"address": address})
        assert (answer.status_code, answer.json()["code"]) == (409, "server_exists"), address
        assert demo.address in answer.text
    assert ids(gateway) == [demo.address]


async def test_two_that_look_alike(gateway: RunningGateway, demo: DemoServer) -> None:
    """On one machine, at one port of two of its addresses."""
    port = int(also(demo).rpartition(":")[2])
    async with DemoServer(host="127.0.0.2", port=port, step_seconds=0) as alike:
        answer = await gateway.http.post("/api/servers", json={"address": alike.address})
        assert answer.status_code == 201
        server = gateway.gateway.pool.get(alike.address)
        await wait_until(lambda: server.compared >= 0)
        assert ids(gateway) == [demo.address, alike.address]


async def test_two_addresses_in_the_settings(settings_for: MakeSettings, demo: DemoServer) -> None:
    async with run_gateway(settings_for(demo.address, also(demo))) as gateway:
        await wait_until(lambda: ids(gateway) == [demo.address])
        (said,) = await warnings_of(gateway)
        assert said.startswith(f"{also(demo)} and {demo.address} are one ComfyUI server")
        task = await gateway.submit(model_free())
        assert (task["status"], task["server"]) == ("succeeded", demo.address)


async def test_it_is_found_by_what_it_holds(
    settings_for: MakeSettings, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that answers no such question; what runs there runs to its end."""

    async def unknown(*_: str) -> None:
        return None

    monkeypatch.setattr("app.services.duplicate_servers.is_one_process", unknown)
    demo.knobs.stall = True
    async with over(settings_for, demo) as gateway:
        gateway.gateway.pool.add(also(demo))
        await wait_until(lambda: len(gateway.gateway.pool.online()) == 2)
        task = await gateway.submit(model_free(), wait=0, server=also(demo))
        await gateway.until(task["task_id"], "running")
        await wait_until(lambda: gateway.gateway.pool.get(also(demo)).draining)
        demo.knobs.stall = False
        assert (await gateway.until(task["task_id"], "succeeded"))["attempts"][0]["ran"]
        await wait_until(lambda: ids(gateway) == [demo.address])
    assert [run.starts for run in demo.records.executed.values()] == [1]


async def test_names_are_looked_up_only_when_a_server_comes(
    settings_for: MakeSettings, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long both hold as many prompts."""
    looked_up: list[str] = []

    async def counting(*urls: str) -> bool:
        looked_up.extend(urls)
        return await may_be_one_machine(*urls)

    monkeypatch.setattr(duplicate_servers, "may_be_one_machine", counting)
    monkeypatch.setattr(duplicate_servers, "COMPARISON_INTERVAL", 1000)
    port = int(also(demo).rpartition(":")[2])
    async with (
        DemoServer(host="127.0.0.2", port=port) as alike,
        over(settings_for, demo, alike) as gateway,
    ):
        comparing = duplicate_servers.DuplicateServers(
            gateway.gateway.pool, gateway.gateway.servers
        )
        one, other = gateway.gateway.pool
        await wait_until(lambda: one.connected and other.connected)
        one.compared = other.compared = -1
        await comparing.look()
        assert looked_up
        looked_up.clear()
        one.queue_length = other.queue_length = 1
        await comparing.look()
        assert looked_up == []
        other.absences += 1
        await comparing.look()
        assert looked_up == [one.base_url, other.base_url]


async def test_what_the_settings_name_is_used(settings_for: MakeSettings, demo: DemoServer) -> None:
    settings = settings_for(demo.address)
    async with run_gateway(settings) as gateway:
        await gateway.online()
        answer = await gateway.http.delete(f"/api/servers/{demo.address}")
        assert answer.status_code == 204
    async with run_gateway(settings) as gateway:
        await gateway.online()
        (said,) = await warnings_of(gateway)
        assert said.startswith(f"{demo.address} was removed once, and is used again")
        assert (await gateway.submit(model_free()))["status"] == "succeeded"
    async with run_gateway(settings) as gateway:
        await gateway.online()
        assert await warnings_of(gateway) == [], "it is told once"


async def test_what_was_removed_and_nobody_names(
    settings_for: MakeSettings, demo: DemoServer
) -> None:
    async with run_gateway(settings_for(demo.address)) as gateway:
        answer = await gateway.http.post("/api/servers", json={"address": "127.0.0.2:9"})
        assert answer.status_code == 201
        await gateway.http.delete("/api/servers/127.0.0.2:9")
    async with run_gateway(settings_for(demo.address)) as gateway:
        assert ids(gateway) == [demo.address]
        assert await warnings_of(gateway) == []


@pytest.mark.parametrize("address", ["nonsense", "host:99999", "host:abc", "ftp://x", "u:p@host"])
async def test_no_address(gateway: RunningGateway, demo: DemoServer, address: str) -> None:
    answer = await gateway.http.post("/api/servers", json={"address": address})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert "HOST:PORT" in answer.json()["hint"]
    assert ids(gateway) == [demo.address]
