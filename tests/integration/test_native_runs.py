"""What tasks of ComfyUI's own protocol send to servers, and what is kept of their ends."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image
from sqlalchemy import text

from app.db.native import result_of as stored
from app.db.run_times import RunTime
from app.settings import Settings
from app.tasks.native import NativeResult
from fake_comfyui.server import DemoServer
from tests import native_tasks
from tests.conftest import RunningGateway, model_free, over, text_to_image, wait_until

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]


def with_two_outputs() -> Json:
    """Of which "3" and "4" are outputs."""
    prompt = model_free()
    return {**prompt, "4": {**prompt["3"], "inputs": {"images": ["1", 0], "filename_prefix": "b"}}}


def saved_by(task: Json) -> set[str]:
    assert task["status"] == "succeeded", task["error"]
    return {output["node_id"] for output in task["outputs"]}


async def test_only_its_targets_run_also_on_another_server(
    settings_for: MakeSettings, url: str
) -> None:
    async with (
        DemoServer(step_seconds=0) as one,
        DemoServer(step_seconds=0) as other,
        over(settings_for, one, other, database_url=url) as gateway,
    ):
        demos = {demo.address: demo for demo in (one, other)}
        for demo in demos.values():
            demo.knobs.stall = True
        made = await native_tasks.submit(gateway, with_two_outputs(), targets=["4"])
        first = (await gateway.until(made.task_id, "running"))["server"]
        answer = await gateway.http.delete(f"/api/servers/{first}", params={"force": True})
        assert answer.is_success
        demos.pop(first)
        (last,) = demos.values()
        last.knobs.stall = False
        task = await gateway.until(made.task_id, "succeeded", "failed")
        assert (saved_by(task), task["server"]) == ({"4"}, last.address)
        assert len(task["attempts"]) == 2


async def test_only_its_targets_run_when_it_is_tried_again(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    """By the gateway, and at the request of a client of its own API: as an ordinary task."""
    demo.knobs.stall = True
    made = await native_tasks.submit(gateway, with_two_outputs(), targets=["4"])
    await gateway.until(made.task_id, "running")
    demo.restart_empty()
    demo.knobs.stall = False
    task = await gateway.until(made.task_id, "succeeded", "failed")
    assert saved_by(task) == {"4"}
    assert demo.records.executed[made.task_id].starts == 2
    for _ in ("of the client's", "of that one"):
        again = await gateway.http.post(f"/api/task/{task['task_id']}/retry")
        task = await gateway.until(again.json()["task_id"], "succeeded", "failed")
        assert saved_by(task) == {"4"}
    stored = await gateway.gateway.tasks.get(task["task_id"])
    assert stored.native is None


async def test_without_targets_all_outputs_run(gateway: RunningGateway) -> None:
    made = await native_tasks.submit(gateway, with_two_outputs())
    await wait_until(lambda: gateway.gateway.pool.online())
    assert saved_by(await gateway.until(made.task_id, "succeeded", "failed")) == {"3", "4"}


async def result_of(gateway: RunningGateway, task_id: str) -> NativeResult | None:
    select = text("SELECT result FROM native_prompts WHERE task_id = :id")
    database = await gateway.database()
    found = await database.read(lambda c: c.execute(select, {"id": task_id}).scalar_one())
    return stored(found)


async def told_by(demo: DemoServer, task_id: str) -> NativeResult:
    """What its server says of it."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://{demo.address}/history/{task_id}")
    entry = answer.json()[task_id]
    return NativeResult(entry["outputs"], entry["meta"], entry["status"]["messages"])


@pytest.mark.parametrize("short", [False, True])
async def test_the_servers_history_is_kept_with_the_end(
    settings_for: MakeSettings, url: str, demo: DemoServer, short: bool
) -> None:
    """However the end is written: also in one transaction with the start and the results."""
    async with over(settings_for, demo, database_url=url) as gateway:
        made = await native_tasks.submit(gateway, with_two_outputs())
        await gateway.until(made.task_id, "succeeded")
        if short:
            for _ in range(20):
                times = gateway.gateway.dispatcher._context.run_times
                times.learn(made.shape, demo.address, RunTime(0.001, {}))
            made = await native_tasks.submit(gateway, with_two_outputs())
            await gateway.until(made.task_id, "succeeded")
        found = await result_of(gateway, made.task_id)
        assert found == await told_by(demo, made.task_id)
        assert set(found.outputs) == {"3", "4"}
        assert found.messages[-1][0] == "execution_success"


async def test_an_end_without_history_has_no_result(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.stall = True
    ended = [await native_tasks.submit(gateway, model_free(number)) for number in range(2)]
    await gateway.until(ended[0].task_id, "running")
    for made in reversed(ended):  # the second one waits on the server, or in the queue
        await gateway.http.post(f"/api/task/{made.task_id}/cancel")
    await gateway.until(ended[1].task_id, "canceled")
    assert await result_of(gateway, ended[1].task_id) is None


async def test_of_several_runs_the_last_ones_is_kept(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.oom = "KSampler"
    made = await native_tasks.submit(gateway, text_to_image(steps=1))
    task = await gateway.until(made.task_id, "succeeded", "failed")
    assert [one["outcome"] for one in task["attempts"]] == ["out_of_memory", "succeeded"]
    found = await result_of(gateway, made.task_id)
    assert found == await told_by(demo, made.task_id)
    assert not [kind for kind, _ in found.messages if kind == "execution_error"]


async def test_an_error_is_kept_with_the_clients_name_of_its_upload(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.fail_node = "LoadImage"
    picture = BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    files = {"image": ("my photo.png", picture.getvalue())}
    name = (await gateway.http.post("/api/image/upload", files=files)).json()["name"]
    load = {"class_type": "LoadImage", "inputs": {"image": name}}
    made = await native_tasks.submit(gateway, {**model_free(), "1": load})
    await gateway.until(made.task_id, "failed")
    found = await result_of(gateway, made.task_id)
    assert found is not None
    (error,) = (data for kind, data in found.messages if kind == "execution_error")
    assert error["node_id"] == "1"
    assert error["current_inputs"]["image"] == [name]
    assert "gw-" not in str(found)
