"""What tasks of ComfyUI's own protocol send to servers, and what is kept of their ends."""

from collections.abc import Callable
from typing import Any

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests import native_tasks
from tests.conftest import RunningGateway, model_free, over, wait_until

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
