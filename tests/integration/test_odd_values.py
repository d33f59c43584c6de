"""Odd values are refused by name, or told of in a warning; none is dropped without a word."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.auth.key_store import KeyFile
from app.errors import ComfyError, InvalidInput
from app.servers.addresses import base_url
from app.settings import Settings
from app.tasks.warnings import REPEATED, REPEATED_SEEDLESS
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, text_to_image
from tests.keyholders import guarded

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]
SUBMIT = "/api/workflow/submit"


async def refused(gateway: RunningGateway, body: Json) -> Json:
    answer = await gateway.http.post(SUBMIT, json=body)
    assert answer.status_code == 422, answer.text[:500]
    assert len(answer.content) < 8192
    found: Json = answer.json()
    return found


# -- files --------------------------------------------------------------------------------------


def load_image(value: Any) -> Json:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": value}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }


@pytest.mark.parametrize("value", [{}, {"task_id": "5f0c"}, {"a": 1}])
async def test_an_object_that_is_no_file(gateway: RunningGateway, value: Json) -> None:
    for body in (load_image(value), {"workflow": load_image(value), "wait_for_server": True}):
        error = await refused(gateway, body)
        (fault,) = error["node_errors"]["1"]["errors"]
        assert "'image' names a file" in fault["message"]
        assert fault["extra_info"]["input_name"] == "image"
        assert '{"task_id": ..., "filename": ...}' in error["hint"]


@pytest.mark.parametrize("prefix", ["x" * 5_000_000, "a\0b", "folder/" * 1000])
async def test_a_prefix_that_no_name_can_have(
    gateway: RunningGateway, demo: DemoServer, prefix: str
) -> None:
    error = await refused(gateway, model_free(prefix=prefix))
    (fault,) = error["node_errors"]["3"]["errors"]
    assert fault["extra_info"]["input_name"] == "filename_prefix"
    body = {"workflow": model_free(), "params": {"3.filename_prefix": prefix}}
    answer = await gateway.http.post(SUBMIT, json=body)
    assert answer.status_code in (413, 422), "a value of megabytes is too large anyway"
    assert "filename_prefix" in answer.json()["detail"]
    assert not demo.records.prompts


async def test_a_name_on_a_branch_that_no_output_needs(gateway: RunningGateway) -> None:
    graph = {**model_free(), "7": {"class_type": "LoadImage", "inputs": {"image": "x" * 300}}}
    task = await gateway.submit(graph)
    assert task["status"] == "succeeded", task
    [warning] = task["warnings"]
    assert warning.startswith("Node '7': Input 'image' names a file")
    assert warning.endswith("No output needs the node.")


@pytest.mark.parametrize("status", [403, 404, 500])
async def test_what_view_answers_is_told(
    gateway: RunningGateway, demo: DemoServer, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    task = await gateway.submit(model_free())
    name = task["outputs"][0]["filename"]
    if status == 404:
        demo.knobs.missing_outputs = True
    elif status == 500:
        demo.knobs.view_fails = name
    else:
        client = gateway.gateway.pool.get(demo.address).client
        view = client.view
        outside = partial(view, "x.png", subfolder="../../x")
        monkeypatch.setattr(client, "view", lambda filename, **_: outside())
    answer = await gateway.http.get(f"/api/image/{name}", params={"server": demo.address})
    assert answer.status_code >= 400
    assert str(status) in answer.json()["detail"], answer.text


# -- extra_data ---------------------------------------------------------------------------------


async def test_what_of_extra_data_is_not_sent_is_told(gateway: RunningGateway) -> None:
    extra = {"client_id": "mine", "create_time": 5, "mine": 1}
    task = await gateway.submit(model_free(), extra_data=extra)
    [warning] = task["warnings"]
    assert "'client_id'" in warning
    assert "'create_time'" in warning
    assert (await gateway.submit(model_free(1), extra_data={"mine": 1}))["warnings"] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("preview_method", value) for value in ("zzz", "AUTO", 1, ["auto"], {})),
        *(("api_key_comfy_org", value) for value in (5, True, ["x"], {"a": "b"})),
        ("auth_token_comfy_org", 1.5),
    ],
)
async def test_odd_extra_data(gateway: RunningGateway, name: str, value: Any) -> None:
    error = await refused(gateway, {"workflow": model_free(), "extra_data": {name: value}})
    assert f"extra_data.{name}" in error["detail"]


@pytest.mark.parametrize("value", ["default", "auto", "latent2rgb", "taesd", "none", None])
async def test_every_method_of_previews(gateway: RunningGateway, value: str | None) -> None:
    task = await gateway.submit(model_free(), extra_data={"preview_method": value})
    assert task["status"] == "succeeded"


# -- servers and keys ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:19100/../x",
        "http://h:1/a/..",
        "h.example/./a",
        "h.example/%2e%2e/a",
        "h:1/a/%2E/b",
    ],
)
async def test_an_address_that_leads_up(gateway: RunningGateway, address: str) -> None:
    with pytest.raises(InvalidInput):
        base_url(address)
    answer = await gateway.http.post("/api/servers", json={"address": address})
    assert answer.status_code == 422
    assert '".."' in answer.json()["detail"]


def test_dots_in_a_path_are_no_way_up() -> None:
    assert base_url("h.example/a..b/.c") == "http://h.example:80/a..b/.c"


async def test_a_retry_of_a_task_whose_key_was_removed(
    settings_for: MakeSettings, tmp_path: Path, demo: DemoServer
) -> None:
    keys: dict[str, str | Json] = {"ann": "run", "boss": "manage"}
    async with guarded(settings_for, tmp_path, demo, keys=keys) as found:
        ann, boss = await found.client("ann"), await found.client("boss")
        task = (await ann.post(f"{SUBMIT}?wait=60", json=model_free())).json()
        again = f"/api/task/{task['task_id']}/retry"
        assert (await boss.post(again)).status_code == 202
        before = (await boss.get("/api/tasks")).json()["tasks"]
        KeyFile(tmp_path / "keys.json").revoke("ann")
        refusal = await boss.post(again)
        assert refusal.status_code == 422, refusal.text
        assert "'ann', which was removed" in refusal.json()["detail"]
        assert "keys add ann" in refusal.json()["hint"]
        assert len((await boss.get("/api/tasks")).json()["tasks"]) == len(before)


# -- runs ---------------------------------------------------------------------------------------


async def test_the_remedy_for_a_run_from_the_cache(gateway: RunningGateway) -> None:
    for graph, said in ((model_free(), REPEATED_SEEDLESS), (text_to_image(seed=3), REPEATED)):
        await gateway.submit(graph)
        assert (await gateway.submit(graph))["warnings"] == [said]
    assert "seed of -1" not in REPEATED_SEEDLESS


async def test_out_of_memory_where_a_history_cannot_be_changed(
    settings_for: MakeSettings, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with over(settings_for, demo) as gateway:
        client = gateway.gateway.pool.get(demo.address).client

        async def refuse(_: list[str]) -> None:
            raise ComfyError(f"ComfyUI at {demo.address} answered 405 to /history.")

        monkeypatch.setattr(client, "delete_history", refuse)
        demo.knobs.oom = "SaveImage"
        task = await gateway.submit(model_free())
        assert (task["status"], task["error"]["code"]) == ("failed", "out_of_memory")


async def test_a_date_that_nobody_fills_in_is_told(gateway: RunningGateway) -> None:
    prefix = "a%date:yyyy%"
    graph = model_free(prefix=prefix)
    [warning] = (await gateway.submit(graph))["warnings"]
    assert "'3.filename_prefix'" in warning
    assert '"fill_texts": true' in warning
    for fill in (True, False):
        task = await gateway.submit(model_free(2 + fill, prefix=prefix), fill_texts=fill)
        assert task["warnings"] == []
    [warning] = (await gateway.submit(model_free(), params={"3.filename_prefix": prefix + "b"}))[
        "warnings"
    ]
    assert "fill_texts" in warning
