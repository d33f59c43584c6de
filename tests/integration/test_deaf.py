"""A socket under the client_id of a gateway that lives makes it deaf, in ComfyUI and in the
stand-in: nobody opens one without need, and whose socket was replaced notices."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from app.comfyui.socket import Connected, listen
from app.runner import run
from app.servers import socket_liveness
from app.servers.server import Server
from app.servers.socket_liveness import Ear
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, keep_out, model_free, over, text_to_image, wait_until
from tests.redis_server import shared_settings

SettingsFor = Callable[..., Settings]


def server_of(gateway: RunningGateway) -> Server:
    return next(iter(gateway.gateway.pool))


async def make_deaf(server: Server) -> None:
    """As another process does that follows a prompt of this one's."""
    async with aclosing(listen(server.base_url, server.client_id)) as events:
        assert isinstance(await anext(events), Connected)
        await anext(events)


def is_served(demo: DemoServer, server: Server) -> bool:
    assert demo._machine is not None
    return server.client_id in demo._machine.hub._sockets


async def test_a_task_that_went_back_makes_nobody_deaf(url: str, settings_for: SettingsFor) -> None:
    """One gateway lets go of a prompt, the other runs the task, the first one still hears."""
    async with (
        DemoServer(step_seconds=0.02) as demo,
        shared_settings(settings_for, url) as make,
        over(make, demo) as one,
        over(make, demo) as other,
    ):
        keep_out(other)
        demo.knobs.stall = True
        task = (await one.http.post("/api/workflow/submit", json=text_to_image(steps=3))).json()
        await wait_until(lambda: demo.records.prompts)
        server = server_of(one)
        keep_out(one)
        keep_out(other, out=False)
        assert demo._machine is not None
        opened: list[str] = []
        sockets = demo._machine.hub._sockets
        demo.knobs.stall = False
        demo.restart_empty()
        await wait_until(lambda: is_served(demo, server))
        noted = demo._machine.hub.serve

        async def serve(websocket: Any) -> None:
            opened.append(websocket.query_params["clientId"])
            await noted(websocket)

        demo._machine.hub.serve = serve  # type: ignore[method-assign]
        done = await other.until(task["task_id"], "succeeded", "failed")
        assert done["status"] == "succeeded", done["error"]
        assert len(demo.records.prompts) == 2
        assert demo.records.prompts[1].client_id == server_of(other).client_id
        assert server.client_id not in opened, "nobody is to open a socket in its name"
        assert server.client_id in sockets


async def test_who_was_made_deaf_notices(
    settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "POLL_SECONDS", 60)
    async with (
        DemoServer(step_seconds=0) as demo,
        over(settings_for, demo) as gateway,
    ):
        server = server_of(gateway)
        await wait_until(lambda: is_served(demo, server))
        await make_deaf(server)
        await wait_until(lambda: not is_served(demo, server))
        assert server.connected, "it does not know"
        # Polls are a minute apart: without its socket it would not see the end.
        task = await gateway.submit(model_free(), wait=0)
        done = await gateway.until(task["task_id"], "succeeded", "failed")
        assert done["status"] == "succeeded"
        assert is_served(demo, server)
        assert server.connected
        assert server.absences == 0, "the server was there all the time"


async def test_an_ear_knows_when_it_is_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(socket_liveness.time, "monotonic", lambda: now)
    mine = Ear()
    assert not mine.is_deaf, "nothing happened"
    mine.hears()
    now = 200.0
    assert not mine.is_deaf, "a quiet server has nothing to say"
    mine.queue_changed(now)
    assert not mine.is_deaf, "word of it may still come"
    now += socket_liveness.WORD_TIMEOUT + 0.1
    assert mine.is_deaf
    mine.hears()
    assert not mine.is_deaf


async def test_an_ear_is_renewed_once_in_a_while() -> None:
    starts: list[int] = []
    mine = Ear()
    assert not mine.renew(), "there is no socket yet"

    async def receive() -> None:
        starts.append(1)
        await asyncio.Event().wait()

    listening = asyncio.create_task(mine.listen(receive))
    await wait_until(lambda: starts)
    assert mine.renew()
    await wait_until(lambda: len(starts) == 2)
    assert not mine.renew(), "that was done just now"
    listening.cancel()
    await asyncio.wait([listening])
    assert listening.cancelled()


async def test_an_ear_passes_on_what_its_socket_raises() -> None:
    async def receive() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        await Ear().listen(receive)
