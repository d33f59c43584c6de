"""Ports that are bound to API keys, of the program as a process."""

import re
import socket
from pathlib import Path

import httpx
import pytest

from fake_comfyui.server import DemoServer
from tests.conftest import wait_until
from tests.fleet import Gateway
from tests.integration.test_cannot_start import START, only_line
from tests.integration.test_workers import two_workers
from tests.keyholders import write_keys
from tests.ports import free_port
from tests.redis_server import RedisServer


async def test_a_port_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        variables = {"COMFYUI_NATIVE_PORTS": taken}
        said = await only_line(tmp_path, START, "--port", "0", code=3, **variables)
    assert said == (
        f"Cannot listen on 127.0.0.1:{taken}: the port is taken, perhaps by another gateway. "
        "Stop that, or choose another port with COMFYUI_NATIVE_PORTS.\n"
    )


@pytest.mark.parametrize(
    ("ports", "said"),
    [
        ("8188:alice", "8188 is bound"),
        ("8000", "8000 is the gateway's own"),
        ("nonsense.invalid:8188", "'nonsense.invalid' is no address to listen on"),
    ],
)
async def test_what_cannot_be_is_told_by_its_setting(tmp_path: Path, ports: str, said: str) -> None:
    variables = {"COMFYUI_NATIVE_PORTS": ports}
    line = await only_line(tmp_path, START, code=2, **variables)
    assert line.startswith("Setting COMFYUI_NATIVE_PORTS: ")
    assert said in line


async def test_it_is_served_and_told(demo: DemoServer, tmp_path: Path) -> None:
    write_keys(tmp_path / "keys.json", alice="run")
    port = free_port()
    ports = f"{port}:alice,127.0.0.1:{free_port()}:bob"
    settings = {"api_keys": tmp_path / "keys.json", "native_ports": ports}
    async with (
        Gateway(tmp_path, "--comfyui-server", demo.address, **settings) as gateway,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http,
    ):
        lines = gateway.log.read_text(encoding="utf-8").splitlines()

        def place(said: str) -> int:
            return next(number for number, line in enumerate(lines) if re.search(said, line))

        alice = place(rf"ComfyUI's own protocol on http://127\.0\.0\.1:{port} as 'alice'$")
        bob = place("names the API key 'bob', which is not there")
        # What works beside it may have told something since.
        assert place("running on") > max(alice, bob), "it is told last"
        assert (await http.get("/prompt")).status_code == 200
        assert (await gateway.http.get("/prompt")).status_code == 401
        await gateway.stop()
        with pytest.raises(httpx.ConnectError):
            await http.get("/prompt")


@pytest.mark.slow
@pytest.mark.service
async def test_workers_have_it_together(
    demo: DemoServer, tmp_path: Path, redis: RedisServer
) -> None:
    port = free_port()
    async with (
        two_workers(tmp_path, demo, redis, native_ports=str(port)) as gateway,
        httpx.AsyncClient(timeout=60) as http,
    ):
        assert f"protocol on http://127.0.0.1:{port}" in gateway.log.read_text(encoding="utf-8")

        async def both() -> bool:
            for _ in range(20):
                async with httpx.AsyncClient(timeout=60) as one:  # a connection each
                    assert (await one.get(f"http://127.0.0.1:{port}/prompt")).status_code == 200
            return set(gateway.requests()) == {"1", "2"}

        await wait_until(both)
        assert (await http.get(f"http://127.0.0.1:{port}/api/health")).status_code == 404
