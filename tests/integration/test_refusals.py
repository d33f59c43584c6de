"""A pool is more than one server: what one refuses is tried where it may be taken."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from app.settings import Settings
from fake_comfyui.catalogue import BUILT_IN
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, text_to_image, wait_until
from tests.keyholders import guarded

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]
REFUSAL = {
    "error": {"type": "prompt_outputs_failed_validation", "message": "No.", "details": ""},
    "node_errors": {
        "3": {
            "class_type": "SaveImage",
            "dependent_outputs": ["3"],
            "errors": [
                {
                    "type": "custom_validation_failed",
                    "message": "Custom validation failed for node",
                    "details": "filename_prefix",
                    "extra_info": {"input_name": "filename_prefix"},
                }
            ],
        }
    },
}


def types(path: Path, change: Callable[[Json], None]) -> Path:
    found = json.loads(BUILT_IN.read_bytes())
    for name in ("CheckpointLoaderSimple",):
        found[name]["input"]["required"]["ckpt_name"][0] = ["v1-5-pruned-emaonly-fp16.safetensors"]
    change(found)
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


def samplers(*names: str) -> Callable[[Json], None]:
    def change(found: Json) -> None:
        found["KSampler"]["input"]["required"]["sampler_name"][0] = list(names)

    return change


def needs_codec(found: Json) -> None:
    found["SaveImage"]["input"]["required"]["codec"] = [["png", "jpeg"], {}]


def as_it_is(found: Json) -> None:
    pass


def with_sampler(name: str) -> Json:
    graph = text_to_image(steps=1)
    graph["3"]["inputs"]["sampler_name"] = name
    return graph


@asynccontextmanager
async def old_and_new(
    settings_for: MakeSettings,
    folder: Path,
    old: Callable[[Json], None] = as_it_is,
    new: Callable[[Json], None] = as_it_is,
    **settings: Any,
) -> AsyncIterator[tuple[RunningGateway, DemoServer, DemoServer]]:
    async with (
        DemoServer(step_seconds=0, object_info=types(folder / "old.json", old)) as first,
        DemoServer(step_seconds=0, object_info=types(folder / "new.json", new)) as second,
        over(settings_for, first, second, **settings) as gateway,
    ):
        yield gateway, first, second


async def ends(gateway: RunningGateway, batch: Json) -> list[Json]:
    return [await gateway.until(one["task_id"], "succeeded", "failed") for one in batch["tasks"]]


OPTION = with_sampler("brand_new"), samplers("euler"), samplers("euler", "brand_new"), "3.seed"


@pytest.mark.parametrize(
    ("graph", "old", "new", "key", "url"),
    [
        pytest.param(*OPTION, "sqlite", id="option"),
        pytest.param(*OPTION, "postgresql", id="option-postgresql", marks=pytest.mark.service),
        pytest.param(model_free(), needs_codec, as_it_is, "1.color", "sqlite", id="input"),
    ],
    indirect=["url"],
)
async def test_a_batch_runs_where_its_values_are_taken(
    settings_for: MakeSettings, tmp_path: Path, url: str, graph: Json, old: Any, new: Any, key: str
) -> None:
    async with old_and_new(settings_for, tmp_path, old, new, database_url=url) as (gateway, *both):
        batch = await gateway.submit(graph, wait=0, batch={key: list(range(1, 9))})
        done = await ends(gateway, batch)
        assert Counter(task["status"] for task in done) == {"succeeded": 8}
        assert {task["server"] for task in done} == {both[1].address}
        assert both[0].records.prompts == []


async def test_what_nothing_showed_before_is_learnt_from_the_refusal(
    settings_for: MakeSettings, tmp_path: Path, url: str
) -> None:
    async with old_and_new(settings_for, tmp_path, database_url=url) as (gateway, old, _):
        old.knobs.reject_with = (400, REFUSAL)
        batch = await gateway.submit(model_free(), wait=0, batch={"1.color": list(range(8))})
        done = await ends(gateway, batch)
        assert Counter(task["status"] for task in done) == {"succeeded": 8}
        tries = Counter(len(task["attempts"]) for task in done)
        assert tries[1] + tries[2] == 8, "no server is asked twice"
        refused = [one for task in done for one in task["attempts"] if one["outcome"] == "refused"]
        assert 1 <= len(refused) <= 2, "as many as were sent at once; the others know"
        assert all(one["server"] == old.address and not one["ran"] for one in refused)
        assert "Custom validation failed" in refused[0]["reason"]
        server = gateway.gateway.pool.get(old.address)
        server.refusals.forget()
        old.knobs.reject_with = None
        used = {(await gateway.submit(model_free(n)))["server"] for n in range(20, 24)}
        assert old.address in used, "it is asked again once that is forgotten"


async def test_what_one_key_wrote_is_not_held_against_another(
    settings_for: MakeSettings, tmp_path: Path
) -> None:
    nothing_named = {"error": {"type": "odd", "message": "No.", "details": ""}, "node_errors": {}}
    async with (
        DemoServer(step_seconds=0) as first,
        DemoServer(step_seconds=0) as second,
        guarded(settings_for, tmp_path, first, second, keys={"alice": "run", "bob": "run"}) as gate,
    ):
        alice, bob = await gate.client("alice"), await gate.client("bob")
        first.knobs.reject_with = (400, nothing_named)
        body = {"workflow": model_free(), "server": first.address}
        await alice.post("/api/workflow/submit?wait=60", json=body)
        first.knobs.reject_with, second.knobs.slow = None, 600
        for color in range(2):  # so that the other one has no room
            held = {"workflow": model_free(color), "server": second.address}
            task = (await alice.post("/api/workflow/submit", json=held)).json()
            await wait_until(lambda id=task["task_id"]: gate.gateway.dispatcher.seen(id))
        body = {"workflow": model_free()}
        waits = (await alice.post("/api/workflow/submit", json=body)).json()

        async def is_told() -> Json | None:
            found: Json = (await alice.get(f"/api/task/{waits['task_id']}")).json()
            return found if "refuses this prompt" in (found["waiting_for"] or "") else None

        told = await wait_until(is_told)
        assert (told["status"], told["server"], told["attempts"]) == ("queued", None, [])
        done = (await bob.post("/api/workflow/submit?wait=60", json=body)).json()
        assert (done["status"], done["server"]) == ("succeeded", first.address)


async def test_an_input_file_of_one_server(
    settings_for: MakeSettings, tmp_path: Path, url: str
) -> None:
    async with old_and_new(settings_for, tmp_path, database_url=url) as (gateway, old, new):
        async with httpx.AsyncClient(base_url=f"http://{new.address}") as direct:
            content = BytesIO()
            Image.new("RGB", (8, 8)).save(content, "PNG")
            await direct.post("/upload/image", files={"image": ("there.png", content.getvalue())})
        graph = model_free()
        graph["1"] = {"class_type": "LoadImage", "inputs": {"image": "there.png"}}
        prefixes = {"3.filename_prefix": [f"x{number}" for number in range(8)]}
        done = await ends(gateway, await gateway.submit(graph, wait=0, batch=prefixes))
        assert Counter(task["status"] for task in done) == {"succeeded": 8}
        assert {task["server"] for task in done} == {new.address}
        refused = [one for task in done for one in task["attempts"] if one["outcome"] == "refused"]
        assert 1 <= len(refused) <= 2
        assert {one["server"] for one in refused} == {old.address}


async def test_a_refusal_is_final_when_all_have_refused(
    settings_for: MakeSettings, tmp_path: Path, url: str
) -> None:
    async with old_and_new(settings_for, tmp_path, database_url=url) as (gateway, *both):
        for demo in both:
            demo.knobs.reject_with = (400, REFUSAL)
        batch = await gateway.submit(model_free(), wait=0, batch={"1.color": list(range(8))})
        done = await ends(gateway, batch)
        for task in done:
            assert (task["status"], task["error"]["code"]) == ("failed", "invalid_workflow")
            assert task["error"]["node_errors"]["3"]["errors"]
            servers = [attempt["server"] for attempt in task["attempts"]]
            assert len(set(servers)) == len(servers) >= 1
        assert any(len(task["attempts"]) == 2 for task in done)


async def test_a_wanted_server_has_the_last_word(
    settings_for: MakeSettings, tmp_path: Path
) -> None:
    async with old_and_new(settings_for, tmp_path) as (gateway, old, new):
        old.knobs.reject_with = (400, REFUSAL)
        task = await gateway.submit(model_free(), server=old.address)
        assert (task["status"], task["error"]["code"]) == ("failed", "invalid_workflow")
        assert [attempt["outcome"] for attempt in task["attempts"]] == ["refused"]
        assert new.records.prompts == []


async def test_a_task_that_waits_for_another_server_says_who_refuses_it(
    settings_for: MakeSettings, tmp_path: Path
) -> None:
    async with old_and_new(settings_for, tmp_path) as (gateway, old, new):
        old.knobs.reject_with = (400, REFUSAL)
        other = gateway.gateway.pool.get(new.address)
        other.stalled = "held for the test"
        task = await gateway.submit(model_free(), wait=0)

        async def told() -> bool:
            found = await gateway.task(task["task_id"])
            said = found["waiting_for"] or ""
            return f"{old.address} refuses filename_prefix of SaveImage" in said

        await wait_until(told)
        other.stalled = None
        gateway.gateway.dispatcher.wake()
        done = await gateway.until(task["task_id"], "succeeded", "failed")
        assert (done["status"], done["server"]) == ("succeeded", new.address)


@pytest.mark.parametrize("refuses", [True, False])
@pytest.mark.parametrize(
    ("way", "url"),
    [
        *[(way, "sqlite") for way in ("removed", "drained", "away")],
        pytest.param("away", "postgresql", marks=pytest.mark.service),
    ],
    indirect=["url"],
)
async def test_a_task_whose_other_servers_are_gone_goes_to_who_refused_it(
    settings_for: MakeSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    way: str,
    refuses: bool,
) -> None:
    monkeypatch.setattr("app.scheduler.dispatcher.IDLE", 0.3)
    settings = {"database_url": url, "server_grace": 0.5}
    async with old_and_new(settings_for, tmp_path, **settings) as (gateway, old, new):
        old.knobs.reject_with = (400, REFUSAL)
        new.knobs.slow = 600
        for color in range(2):  # so that it has no room
            held = await gateway.submit(model_free(color), wait=0, server=new.address)
            await wait_until(lambda id=held["task_id"]: gateway.gateway.dispatcher.seen(id))
        tasks = [await gateway.submit(model_free(), wait=0) for _ in range(3)]
        await wait_until(lambda: is_refused(gateway, tasks[0]["task_id"]))
        if not refuses:
            old.knobs.reject_with = None
        path = f"/api/servers/{new.address}"
        if way == "away":
            new._fall_silent()
        elif way == "drained":
            assert (await gateway.http.post(f"{path}/drain")).is_success
        else:
            assert (await gateway.http.delete(f"{path}?force=true")).is_success
        done = await ends(gateway, {"tasks": tasks})
        outcomes = [attempt["outcome"] for attempt in done[0]["attempts"]]
        if refuses:
            assert {(one["status"], one["error"]["code"]) for one in done} == {
                ("failed", "invalid_workflow")
            }
            assert done[0]["error"]["node_errors"]["3"]["errors"]
            assert outcomes == ["refused", "refused"]
        else:
            assert {(one["status"], one["server"]) for one in done} == {("succeeded", old.address)}


async def is_refused(gateway: RunningGateway, task_id: str) -> bool:
    """It waits for the servers that have not refused it."""
    task = await gateway.task(task_id)
    return task["status"] == "queued" and len(task["attempts"]) == 1
