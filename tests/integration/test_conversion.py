"""UI-format files through the whole gateway."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from tests.conftest import RunningGateway, run_gateway

Json = dict[str, Any]


def link(number: int, source: tuple[int, int], target: tuple[int, int], kind: str) -> list[Any]:
    return [number, *source, *target, kind]


def ui_file() -> Json:
    """EmptyImage -> (bypassed) ImageInvert -> SaveImage, as ComfyUI's page saves it."""
    image = {"name": "image", "type": "IMAGE", "link": 1}
    images = {"name": "images", "type": "IMAGE", "link": 2}
    output = {"name": "IMAGE", "type": "IMAGE", "links": [1]}
    return {
        "id": "0a1b2c3d-0000-4000-8000-000000000000",
        "version": 0.4,
        "last_node_id": 3,
        "last_link_id": 2,
        "nodes": [
            {
                "id": 1,
                "type": "EmptyImage",
                "pos": [0, 0],
                "mode": 0,
                "inputs": [],
                "outputs": [output],
                "widgets_values": [24, 16, 1, 255],
            },
            {
                "id": 2,
                "type": "ImageInvert",
                "pos": [200, 0],
                "mode": 4,
                "inputs": [image],
                "outputs": [{**output, "links": [2]}],
                "widgets_values": [],
            },
            {
                "id": 3,
                "type": "SaveImage",
                "pos": [400, 0],
                "mode": 0,
                "inputs": [images],
                "outputs": [],
                "widgets_values": ["from_ui"],
            },
            {"id": 4, "type": "Note", "pos": [0, 300], "widgets_values": ["hello"]},
        ],
        "links": [link(1, (1, 0), (2, 0), "IMAGE"), link(2, (2, 0), (3, 0), "IMAGE")],
        "groups": [],
        "config": {},
        "extra": {},
    }


PROMPT = {
    "1": ("EmptyImage", {"width": 24, "height": 16, "batch_size": 1, "color": 255}),
    "3": ("SaveImage", {"filename_prefix": "from_ui", "images": ["1", 0]}),
}


def plain(prompt: Json) -> Json:
    return {node_id: (node["class_type"], node["inputs"]) for node_id, node in prompt.items()}


async def test_a_ui_file_is_a_body(gateway: RunningGateway) -> None:
    answer = await gateway.http.post("/api/workflow/submit?wait=60", json=ui_file())
    task = answer.json()
    assert task["status"] == "succeeded", task
    assert task["outputs"][0]["filename"].startswith("from_ui")
    graph = (await gateway.http.get(f"/api/task/{task['task_id']}/workflow")).json()["workflow"]
    assert plain(graph) == PROMPT


async def test_with_params_by_name_and_key(gateway: RunningGateway) -> None:
    params = {"filename_prefix": "named", "1.width": 8}
    task = await gateway.submit(ui_file(), params=params)
    assert task["status"] == "succeeded", task["error"]
    assert task["outputs"][0]["filename"].startswith("named")
    assert task["params"] == params


async def test_convert(gateway: RunningGateway) -> None:
    answer = await gateway.http.post("/api/workflow/convert", json=ui_file())
    assert answer.status_code == 200, answer.text
    assert plain(answer.json()["workflow"]) == PROMPT
    assert answer.json()["warnings"] == []
    body = {"workflow": ui_file(), "params": {"1.width": 8}}
    answer = await gateway.http.post("/api/workflow/convert", json=body)
    assert answer.json()["workflow"]["1"]["inputs"]["width"] == 8


async def test_unknown_nodes(gateway: RunningGateway) -> None:
    workflow = ui_file()
    workflow["nodes"][1] |= {"type": "FancyInvert", "mode": 0}
    converted = (await gateway.http.post("/api/workflow/convert", json=workflow)).json()
    assert "FancyInvert" in converted["warnings"][0]
    assert converted["workflow"]["2"]["inputs"] == {"image": ["1", 0]}
    answer = await gateway.http.post("/api/workflow/submit", json=workflow)
    assert (answer.status_code, answer.json()["code"]) == (422, "not_runnable")
    assert "FancyInvert" in answer.json()["detail"]


async def test_a_saved_ui_file_stays_one(gateway: RunningGateway, tmp_path: Path) -> None:
    files = {"file": ("page.json", json.dumps(ui_file()).encode())}
    shown = (await gateway.http.post("/api/workflow/upload", files=files)).json()
    assert shown["format"] == "ui"
    assert {p["key"]: p["value"] for p in shown["parameters"]}["1.width"] == 24
    change = {"filename": "page.json", "params": {"1.width": 40, "filename_prefix": "other"}}
    answer = await gateway.http.post("/api/workflow/update", json=change)
    assert answer.status_code == 200, answer.text
    expected = copy.deepcopy(ui_file())
    expected["nodes"][0]["widgets_values"][0] = 40
    expected["nodes"][2]["widgets_values"][0] = "other"
    assert (
        json.loads((tmp_path / "workflows" / "page.json").read_text(encoding="utf-8")) == expected
    )
    task = (await gateway.http.post("/api/workflow/page.json/run?wait=60")).json()
    assert task["status"] == "succeeded", task
    assert task["outputs"][0]["filename"].startswith("other")


async def test_before_any_server_has_answered(settings_for: Callable[..., Settings]) -> None:
    async with run_gateway(settings_for("127.0.0.1:1")) as gateway:
        shown = (await gateway.http.post("/api/workflow/parameters", json=ui_file())).json()
        assert "No ComfyUI server has answered yet" in shown["warnings"][-1]
        assert {p["key"] for p in shown["parameters"]} >= {"1.width", "3.filename_prefix"}
        task = await gateway.submit(ui_file(), wait=0)
        assert task["status"] == "queued"
        unknown = ui_file()
        unknown["nodes"][1] |= {"type": "FancyInvert", "mode": 0}
        answer = await gateway.http.post("/api/workflow/submit", json=unknown)
        assert (answer.status_code, answer.json()["code"]) == (503, "no_server")
        assert "FancyInvert" in answer.json()["detail"]


@pytest.mark.parametrize("refreshes", [True, False])
async def test_a_node_installed_later(gateway: RunningGateway, refreshes: bool) -> None:
    """A workflow that does not fit is tried again with node types fetched anew."""
    (server,) = gateway.gateway.pool
    everything = server.node_types
    server.node_types = {name: everything[name] for name in everything if name != "EmptyImage"}
    server._fetched_at = 0.0 if refreshes else float("inf")
    answer = await gateway.http.post("/api/workflow/submit?wait=60", json=ui_file())
    assert answer.status_code == (200 if refreshes else 422), answer.text


async def test_links_of_use_everywhere_run_without_the_pack(gateway: RunningGateway) -> None:
    for noted in (True, False):
        workflow = ui_file()
        source, _, target, _ = workflow["nodes"]
        sender = {"id": 2, "type": "Anything Everywhere", "inputs": [{"name": "anything"}]}
        sender["inputs"][0] |= {"type": "IMAGE", "link": 1}
        target["inputs"][0]["link"] = None
        workflow["nodes"] = [source, sender, target]
        workflow["links"] = workflow["links"][:1]
        if noted:
            link = {"downstream": 3, "downstream_slot": 0, "upstream": "1", "upstream_slot": 0}
            workflow["extra"]["ue_links"] = [{**link, "controller": 2, "type": "IMAGE"}]
        task = await gateway.submit(workflow)
        assert task["status"] == "succeeded", task["error"]
        assert not [text for text in task["warnings"] if "cache" not in text]
        graph = (await gateway.http.get(f"/api/task/{task['task_id']}/workflow")).json()
        assert plain(graph["workflow"]) == PROMPT
