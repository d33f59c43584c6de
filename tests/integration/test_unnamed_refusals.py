"""A refusal that names nothing says nothing of other prompts, and is final only when all have
refused."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, run_gateway, wait_until

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]

BARE = {"type": "prompt_outputs_failed_validation", "message": "No.", "details": ""}
UNNAMED: dict[str, Json] = {
    "bare": {"error": BARE, "node_errors": {}},
    "without node_errors": {"error": {"type": "invalid_prompt", "message": "No."}},
    "a text": {"error": "a custom node does not like it"},
    "a node of another graph": {
        "error": BARE,
        "node_errors": {"99": {"class_type": "X", "errors": [{"type": "odd", "message": "No."}]}},
    },
}
# Each of them, and one with either kind of database: no answer reaches these.
each = pytest.mark.parametrize(
    ("name", "url"),
    [
        *[(name, "sqlite") for name in UNNAMED],
        pytest.param("bare", "postgresql", marks=pytest.mark.service),
    ],
    indirect=["url"],
)


@asynccontextmanager
async def refusing_and_busy(
    settings_for: MakeSettings, name: str = "bare", **settings: Any
) -> AsyncIterator[tuple[RunningGateway, DemoServer, DemoServer]]:
    """A server that refuses whatever it gets, and one that has no room."""
    async with (
        DemoServer(step_seconds=0) as picky,
        DemoServer(step_seconds=0) as busy,
        over(settings_for, picky, busy, **settings) as gateway,
    ):
        busy.knobs.stall = True
        for color in range(2):
            held = await gateway.submit(model_free(color), wait=0, server=busy.address)
            await wait_until(lambda id=held["task_id"]: gateway.gateway.dispatcher.seen(id))
        picky.knobs.reject_with = (400, UNNAMED[name])
        yield gateway, picky, busy


async def refused(gateway: RunningGateway, workflow: Json) -> Json:
    """A task that was refused, and waits for a server that has not refused it."""
    task = await gateway.submit(workflow, wait=0)

    async def is_refused() -> Json | None:
        found = await gateway.task(task["task_id"])
        return found if found["status"] == "queued" and len(found["attempts"]) == 1 else None

    found: Json = await wait_until(is_refused)
    return found


async def kept_away(gateway: RunningGateway, task: Json, picky: DemoServer) -> Json:
    """The task once it tells that it waits because the server refuses its prompt."""

    async def is_told() -> Json | None:
        found = await gateway.task(task["task_id"])
        said = f"{picky.address} refuses this prompt" in (found["waiting_for"] or "")
        return found if said else None

    found: Json = await wait_until(is_told)
    return found


async def test_other_prompts_of_the_same_shape_are_sent_there(settings_for: MakeSettings) -> None:
    async with refusing_and_busy(settings_for) as (gateway, picky, _):
        for color, (name, answer) in enumerate(UNNAMED.items()):
            picky.knobs.reject_with = (400, answer)
            await refused(gateway, model_free(color))
            picky.knobs.reject_with = None
            done = await gateway.submit(model_free(color, prefix="another"))
            assert (done["status"], done["server"]) == ("succeeded", picky.address), name


@pytest.mark.parametrize(
    ("forgets", "url"),
    [
        *[(how, "sqlite") for how in ("success", "resume", "refresh", "time")],
        pytest.param("success", "postgresql", marks=pytest.mark.service),
    ],
    indirect=["url"],
)
async def test_the_same_prompt_is_sent_there_again_once_that_is_forgotten(
    settings_for: MakeSettings, monkeypatch: pytest.MonkeyPatch, url: str, forgets: str
) -> None:
    async with refusing_and_busy(settings_for, database_url=url) as (gateway, picky, _):
        await refused(gateway, model_free(7))
        picky.knobs.reject_with = None
        waits = await gateway.submit(model_free(7), wait=0)
        told = await kept_away(gateway, waits, picky)
        assert (told["status"], told["server"], told["attempts"]) == ("queued", None, [])
        if forgets == "success":
            assert (await gateway.submit(model_free(8)))["server"] == picky.address
        elif forgets == "resume":
            await gateway.http.post(f"/api/servers/{picky.address}/resume")
        elif forgets == "refresh":
            await gateway.http.get(f"/api/nodes?refresh=true&server={picky.address}")
        else:
            monkeypatch.setattr("app.servers.refusals.FRESH", 0.0)
        done = await gateway.submit(model_free(7))
        assert (done["status"], done["server"]) == ("succeeded", picky.address)


@each
async def test_a_busy_server_is_asked_before_a_refusal_is_final(
    settings_for: MakeSettings, url: str, name: str
) -> None:
    async with refusing_and_busy(settings_for, name, database_url=url) as (gateway, picky, busy):
        tasks = [await refused(gateway, model_free(7)), await gateway.submit(model_free(7), wait=0)]
        await kept_away(gateway, tasks[0], picky)
        busy.knobs.stall = False
        for task in tasks:
            done = await gateway.until(task["task_id"], "succeeded", "failed")
            assert (done["status"], done["server"]) == ("succeeded", busy.address)


@each
async def test_each_task_is_refused_by_all_before_it_fails(
    settings_for: MakeSettings, url: str, name: str
) -> None:
    async with (
        DemoServer(step_seconds=0) as one,
        DemoServer(step_seconds=0) as other,
        over(settings_for, one, other, database_url=url) as gateway,
    ):
        for demo in (one, other):
            demo.knobs.reject_with = (400, UNNAMED[name])
        for _ in range(3):
            task = await gateway.submit(model_free(7))
            assert (task["status"], task["error"]["code"]) == ("failed", "invalid_workflow")
            asked = [attempt["server"] for attempt in task["attempts"]]
            assert Counter(asked) == {one.address: 1, other.address: 1}


async def test_a_server_that_has_told_nothing_yet_is_waited_for(
    settings_for: MakeSettings, url: str
) -> None:
    async with DemoServer(step_seconds=0) as picky, DemoServer(step_seconds=0) as late:
        picky.knobs.reject_with, late.knobs.hang = (400, UNNAMED["bare"]), True
        settings = settings_for(picky.address, late.address, database_url=url)
        async with run_gateway(settings) as gateway:
            await wait_until(lambda: gateway.gateway.pool.get(picky.address).accepting)
            waits = await refused(gateway, model_free(7))
        async with run_gateway(settings) as gateway:  # and so it is after a restart
            await wait_until(lambda: gateway.gateway.pool.get(picky.address).online)
            more = await refused(gateway, model_free(8))
            assert (await gateway.task(waits["task_id"]))["status"] == "queued"
            late.knobs.hang = False
            for task in (waits, more):
                done = await gateway.until(task["task_id"], "succeeded", "failed")
                assert (done["status"], done["server"]) == ("succeeded", late.address)
                asked = Counter(attempt["server"] for attempt in done["attempts"])
                assert asked[picky.address] <= 2, "by each gateway once: the other is waited for"


@pytest.mark.parametrize(
    "error",
    [
        {
            "type": "invalid_prompt",
            "message": "Cannot execute because node ImageInvert does not exist.",
        },
        {
            "type": "missing_node_type",
            "message": "Node 'Invert' not found. The custom node may not be installed.",
            "extra_info": {"node_id": "2", "class_type": "ImageInvert"},
        },
    ],
)
async def test_a_node_type_that_is_not_there_is_learnt(
    settings_for: MakeSettings, error: Json
) -> None:
    async with (
        DemoServer(step_seconds=0) as old,
        DemoServer(step_seconds=0) as new,
        over(settings_for, old, new) as gateway,
    ):
        old.knobs.reject_with = (400, {"error": error, "node_errors": {}})
        old.knobs.reject_only = "ImageInvert"
        done = [await gateway.submit(model_free(color)) for color in range(4)]
        assert {(task["status"], task["server"]) for task in done} == {("succeeded", new.address)}
        vain = [one for task in done for one in task["attempts"] if one["outcome"] == "refused"]
        assert len(vain) == 1, "nothing else with that node is sent there"
        graph = model_free(9)
        graph["3"]["inputs"]["images"] = ["1", 0]
        del graph["2"]
        new.knobs.stall = True
        for _ in range(3):
            await gateway.submit(graph, wait=0)
        await wait_until(lambda: old.records.prompts)  # it takes what has no such node
