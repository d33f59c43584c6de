"""Saved workflows: upload, list, get, change, run, delete."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningGateway, model_free


async def upload(gateway: RunningGateway, name: str, content: bytes, **form: Any) -> Any:
    return await gateway.http.post(
        "/api/workflow/upload", files={"file": (name, content)}, data=form
    )


async def test_a_saved_workflow_from_birth_to_death(
    gateway: RunningGateway, tmp_path: Path
) -> None:
    answer = await upload(gateway, "My flow.json", json.dumps(model_free()).encode())
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert (shown["filename"], shown["format"]) == ("My flow.json", "api")
    width = next(p for p in shown["parameters"] if p["key"] == "1.width")
    assert (width["type"], width["value"], width["min"]) == ("int", 16, 1)

    listed = (await gateway.http.get("/api/workflows")).json()["workflows"]
    assert [(entry["filename"], entry["format"]) for entry in listed] == [("My flow.json", "api")]

    again = await upload(gateway, "My flow.json", json.dumps(model_free()).encode())
    assert (again.status_code, again.json()["code"]) == (409, "workflow_exists")
    again = await upload(
        gateway, "My flow.json", json.dumps(model_free()).encode(), overwrite="true"
    )
    assert again.status_code == 201

    change = {"filename": "My flow", "params": {"1.width": 24}}
    answer = await gateway.http.post("/api/workflow/update", json=change)
    assert answer.status_code == 200, answer.text
    assert answer.json()["filename"] == "My flow.json"
    assert (
        json.loads((tmp_path / "workflows" / "My flow.json").read_text())
        == (answer.json()["workflow"])
    )

    run = {"filename": "My flow.json", "params": {"1.color": 5}}
    answer = await gateway.http.post("/api/workflow/submit?wait=20", json=run)
    task = answer.json()
    assert (task["status"], task["workflow"]) == ("succeeded", "My flow.json")

    assert (await gateway.http.delete("/api/workflow/My flow.json")).status_code == 204
    assert (await gateway.http.get("/api/workflow/My flow.json")).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"filename": "a"}, 422, "params"),
        ({"filename": "a", "params": {"1.widht": 1}}, 422, "1.width"),
        ({"filename": "a", "params": {"1.width": 0}}, 422, "at least"),
        ({"filename": "a", "workflow": {"x": 1}}, 422, "not a ComfyUI workflow"),
        ({"filename": "b", "params": {}}, 404, "b.json"),
    ],
)
async def test_a_bad_change_leaves_the_file_alone(
    gateway: RunningGateway, tmp_path: Path, body: Any, status: int, words: str
) -> None:
    await upload(gateway, "a.json", json.dumps(model_free()).encode())
    before = (tmp_path / "workflows" / "a.json").read_bytes()
    answer = await gateway.http.post("/api/workflow/update", json=body)
    assert answer.status_code == status, answer.text
    assert words in answer.text
    assert (tmp_path / "workflows" / "a.json").read_bytes() == before


async def test_a_random_seed_is_saved_as_such(gateway: RunningGateway) -> None:
    graph = {"3": {"class_type": "RandomNoise", "inputs": {"noise_seed": 5}}}
    await upload(gateway, "noise.json", json.dumps(graph).encode())
    change = {"filename": "noise.json", "params": {"3.noise_seed": -1}}
    answer = await gateway.http.post("/api/workflow/update", json=change)
    assert answer.json()["workflow"]["3"]["inputs"]["noise_seed"] == -1


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("a.json", b"", 400),
        ("a.json", b"\x89PNG", 400),
        ("a.json", b"[]", 422),
        ("a.json", b'{"some": "json"}', 422),
        ("../a.json", json.dumps(model_free()).encode(), 422),
        (".json", json.dumps(model_free()).encode(), 422),
        ("a\u202e.json", json.dumps(model_free()).encode(), 422),
    ],
)
async def test_bad_uploads(
    gateway: RunningGateway, tmp_path: Path, name: str, content: bytes, status: int
) -> None:
    answer = await upload(gateway, "x.json", content, filename=name)
    assert answer.status_code == status, answer.text
    assert list((tmp_path / "workflows").iterdir()) == []


async def test_a_ui_format_file_is_kept_but_not_run_yet(gateway: RunningGateway) -> None:
    ui = {"nodes": [], "links": [], "version": 0.4}
    answer = await upload(gateway, "ui.json", json.dumps(ui).encode())
    assert (answer.status_code, answer.json()["format"]) == (201, "ui")
    answer = await gateway.http.post("/api/workflow/submit", json={"filename": "ui.json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "workflow_format")


async def test_files_put_into_the_folder_by_hand(gateway: RunningGateway, tmp_path: Path) -> None:
    folder = tmp_path / "workflows"
    (folder / "broken.json").write_text("{")
    (folder / "notes.txt").write_text("x")
    (folder / "good.json").write_text(json.dumps(model_free()))
    listed = (await gateway.http.get("/api/workflows")).json()["workflows"]
    assert [(entry["filename"], entry["format"]) for entry in listed] == [
        ("broken.json", None),
        ("good.json", "api"),
    ]
    answer = await gateway.http.get("/api/workflow/broken.json")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


async def test_parameters_of_a_workflow_that_is_not_kept(gateway: RunningGateway) -> None:
    answer = await gateway.http.post("/api/workflow/parameters", json=model_free())
    assert answer.json()["format"] == "api"
    keys = {parameter["key"] for parameter in answer.json()["parameters"]}
    assert keys == {"1.width", "1.height", "1.batch_size", "1.color", "3.filename_prefix"}
    assert (await gateway.http.get("/api/workflows")).json()["workflows"] == []
