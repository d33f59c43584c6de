"""A gateway dies when a task has ended: its client is told, by whichever comes next."""

from pathlib import Path

import pytest

from tests.conftest import Json, model_free
from tests.fleet import Gateway, on, stand_ins
from tests.native_clients import is_end, native_socket

pytestmark = pytest.mark.both_databases


async def posted(gateway: Gateway) -> str:
    body: Json = {"prompt": model_free(), "client_id": "c"}
    answer = await gateway.http.post("/comfy/prompt", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["prompt_id"])


async def test_killed_between_the_end_and_its_last_message(tmp_path: Path) -> None:
    """At most the same is told twice; on the socket that comes next it is told once."""
    async with stand_ins(tmp_path, 1) as demos, Gateway(tmp_path, *on(demos)) as gateway:
        await gateway.online(1)
        async with native_socket(gateway.address) as socket:
            prompt_id = await posted(gateway)
            await socket.until(lambda one: one["type"] == "execution_success")
            await gateway.kill()
        await gateway.start()
        history = (await gateway.http.get(f"/comfy/history/{prompt_id}")).json()
        assert history[prompt_id]["status"]["completed"]
        async with native_socket(gateway.address) as socket:
            await socket.until_end(prompt_id)
            await socket.all_so_far()
            assert socket.about(prompt_id) == ["execution_success", "executing"]


async def test_killed_before_a_client_came(tmp_path: Path) -> None:
    async with stand_ins(tmp_path, 1) as demos, Gateway(tmp_path, *on(demos)) as gateway:
        await gateway.online(1)
        prompt_id = await posted(gateway)
        await gateway.until(prompt_id, "succeeded")
        await gateway.kill()
        await gateway.start()
        async with native_socket(gateway.address) as socket:
            await socket.until_end(prompt_id)
        await gateway.stop()  # what was told a moment before is stored
        await gateway.start()
        async with native_socket(gateway.address) as socket:
            await socket.all_so_far()
            assert not [one for one in socket.heard if is_end(one)]
