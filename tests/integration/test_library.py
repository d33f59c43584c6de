"""Saved workflows: upload, list, get, change, run, delete, and their former versions."""

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.conftest import ROOT, RunningGateway, model_free
from tests.folders import settled

PICTURES = ROOT / "tests/fixtures/pictures"
Json = dict[str, Any]


async def upload(gateway: RunningGateway, name: str, content: bytes, **form: Any) -> Any:
    return await gateway.http.post(
        "/api/workflow/upload", files={"file": (name, content)}, data=form
    )


async def save(gateway: RunningGateway, name: str = "a.json", color: int = 255) -> Any:
    answer = await upload(gateway, name, json.dumps(model_free(color)).encode(), overwrite="true")
    assert answer.status_code == 201, answer.text
    return answer


def color_of(shown: Json) -> Any:
    return shown["workflow"]["1"]["inputs"]["color"]


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
        json.loads((tmp_path / "workflows" / "My flow.json").read_text(encoding="utf-8"))
        == (answer.json()["workflow"])
    )

    run = {"filename": "My flow.json", "params": {"1.color": 5}}
    answer = await gateway.http.post("/api/workflow/submit?wait=60", json=run)
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
        ("a.json", b"", 422),
        ("a.json", b"\x89PNG", 400),
        ("a.json", b"[]", 422),
        ("a.json", b'{"some": "json"}', 422),
        ("../a.json", json.dumps(model_free()).encode(), 422),
        (".json", json.dumps(model_free()).encode(), 422),
        ("a\u202e.json", json.dumps(model_free()).encode(), 422),
        ("nul.json", json.dumps(model_free()).encode(), 422),
        ("x" * 300, json.dumps(model_free()).encode(), 422),
        ("a.json", b'{"1": {"class_type": "A"}}', 422),
        ("a.png", b"\x89PNG\r\n\x1a\n", 422),
        ("a.webp", b"RIFF\0\0\0\0WEBP", 422),
    ],
)
async def test_bad_uploads(
    gateway: RunningGateway, tmp_path: Path, name: str, content: bytes, status: int
) -> None:
    answer = await upload(gateway, "x.json", content, filename=name)
    assert answer.status_code == status, answer.text
    assert {path.name for path in await settled(tmp_path / "workflows")} <= {".lock"}


def ui_format(width: int = 16) -> Json:
    """EmptyImage -> SaveImage as the ComfyUI page saves it."""
    image = [{"name": "IMAGE", "type": "IMAGE", "links": [1]}]
    images = [{"name": "images", "type": "IMAGE", "link": 1}]
    values = [width, 16, 1, 255]
    return {
        "nodes": [
            {"id": 1, "type": "EmptyImage", "outputs": image, "widgets_values": values},
            {"id": 2, "type": "SaveImage", "inputs": images, "widgets_values": ["test"]},
        ],
        "links": [[1, 1, 0, 2, 0, "IMAGE"]],
        "version": 0.4,
    }


async def test_a_ui_format_file_stays_in_its_format(gateway: RunningGateway) -> None:
    answer = await upload(gateway, "ui.json", json.dumps(ui_format()).encode())
    assert (answer.status_code, answer.json()["format"]) == (201, "ui")
    assert (await gateway.http.get("/api/workflow/ui")).json()["workflow"] == ui_format()
    change = {"filename": "ui", "params": {"1.width": 32}}
    answer = await gateway.http.post("/api/workflow/update", json=change)
    assert answer.json()["workflow"] == ui_format(width=32)
    document = (await gateway.http.get("/api/workflow/ui/openapi.json")).json()
    assert '"1.width"' in json.dumps(document)
    answer = await gateway.http.post("/api/workflow/ui/run?wait=60")
    assert answer.json()["status"] == "succeeded", answer.text


async def test_a_ui_format_file_with_unknown_nodes_is_kept(gateway: RunningGateway) -> None:
    ui = {"nodes": [{"id": 1, "type": "NoSuchNode", "widgets_values": [1]}], "links": []}
    answer = await upload(gateway, "ui.json", json.dumps(ui).encode())
    assert answer.status_code == 201, answer.text
    assert (await gateway.http.get("/api/workflow/ui")).json()["workflow"] == ui


async def test_files_put_into_the_folder_by_hand(gateway: RunningGateway, tmp_path: Path) -> None:
    folder = tmp_path / "workflows"
    (folder / "broken.json").write_text("{", encoding="utf-8")
    (folder / "notes.txt").write_text("x", encoding="utf-8")
    (folder / "good.json").write_text(json.dumps(model_free()), encoding="utf-8")
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


# -- out of ComfyUI -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["saved.png", "animated.png", "animated.webp"])
async def test_the_workflow_in_a_picture_is_kept(gateway: RunningGateway, name: str) -> None:
    answer = await upload(gateway, name, (PICTURES / name).read_bytes())
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert (shown["filename"], shown["format"]) == (f"{name.partition('.')[0]}.json", "api")
    assert "1.width" in {parameter["key"] for parameter in shown["parameters"]}


async def test_a_picture_without_a_workflow_is_refused(gateway: RunningGateway) -> None:
    answer = await upload(gateway, "a.png", b"\x89PNG\r\n\x1a\n")
    assert (answer.status_code, answer.json()["code"]) == (422, "workflow_format")
    assert "no workflow in this picture" in answer.json()["detail"]


async def test_an_entry_of_comfyuis_history_is_kept_and_run(gateway: RunningGateway) -> None:
    graph, history = model_free(), {"prompt": [1, "id", model_free(), {}, []], "outputs": {}}
    answer = await upload(gateway, "a.json", json.dumps({"id": history}).encode())
    assert answer.json()["workflow"] == graph
    for body in ({"id": history}, history, history["prompt"], {"workflow": {"prompt": graph}}):
        answer = await gateway.http.post("/api/workflow/submit?wait=60", json=body)
        assert answer.json()["status"] == "succeeded", answer.text


async def test_comfyuis_whole_body_is_taken(gateway: RunningGateway) -> None:
    extra = {"extra_pnginfo": {"workflow": {"nodes": []}}}
    body = {"prompt": model_free(), "client_id": "x", "extra_data": extra}
    answer = await gateway.http.post("/api/workflow/submit?wait=60", json=body)
    assert answer.json()["status"] == "succeeded", answer.text


async def test_conversion_of_a_prompt_is_the_prompt(gateway: RunningGateway) -> None:
    answer = await gateway.http.post("/api/workflow/convert", json={"workflow": model_free()})
    assert answer.json() == {"workflow": model_free(), "warnings": []}
    assert (await gateway.http.get("/api/workflows")).json()["workflows"] == []
    assert (await gateway.http.get("/api/tasks")).json()["tasks"] == []


async def test_conversion_from_the_ui_format(gateway: RunningGateway) -> None:
    for body in (ui_format(), {"workflow": ui_format()}, {"prompt": ui_format()}):
        converted = (await gateway.http.post("/api/workflow/convert", json=body)).json()
        assert converted["warnings"] == []
        assert converted["workflow"]["1"]["inputs"]["width"] == 16
        assert converted["workflow"]["2"]["inputs"]["images"] == ["1", 0]
    assert (await gateway.http.get("/api/tasks")).json()["tasks"] == []


# -- who changed what ---------------------------------------------------------------------------


async def test_the_etag_tells_one_content_from_another(gateway: RunningGateway) -> None:
    first = await save(gateway, color=1)
    assert first.headers["etag"] == f'"{first.json()["version"]}"'
    shown = await gateway.http.get("/api/workflow/a")
    assert shown.headers["etag"] == first.headers["etag"]
    second = await save(gateway, color=2)
    assert second.headers["etag"] != first.headers["etag"]
    assert (await save(gateway, color=1)).headers["etag"] == first.headers["etag"]


async def test_what_is_known_is_not_sent_again(gateway: RunningGateway) -> None:
    tag = (await save(gateway)).headers["etag"]
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = await gateway.http.get("/api/workflow/a", headers={"if-none-match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
    answer = await gateway.http.get("/api/workflow/a", headers={"if-none-match": '"x"'})
    assert answer.status_code == 200


async def test_a_change_of_what_has_changed_is_refused(gateway: RunningGateway) -> None:
    old = (await save(gateway, color=1)).headers["etag"]
    new = (await save(gateway, color=2)).headers["etag"]
    change = {"filename": "a", "params": {"1.color": 3}}
    for tag in (old, f"W/{new}", "x", ""):
        headers = {"if-match": tag}
        for answer in (
            await gateway.http.post("/api/workflow/update", json=change, headers=headers),
            await gateway.http.delete("/api/workflow/a", headers=headers),
        ):
            problem = answer.json()
            assert (answer.status_code, problem["code"]) == (412, "workflow_changed")
            assert problem["hint"]
            assert f'"{problem["version"]}"' == new
    assert color_of((await gateway.http.get("/api/workflow/a")).json()) == 2

    headers = {"if-match": new}
    answer = await gateway.http.post("/api/workflow/update", json=change, headers=headers)
    assert (answer.status_code, color_of(answer.json())) == (200, 3)
    headers = {"if-match": f"{old}, {answer.headers['etag']}"}
    answer = await gateway.http.delete("/api/workflow/a", headers=headers)
    assert answer.status_code == 204


async def test_no_update_is_lost(gateway: RunningGateway) -> None:
    await save(gateway)
    changes = [{"1.width": 32}, {"1.height": 48}, {"1.batch_size": 2}, {"1.color": 7}]
    answers = await asyncio.gather(
        *(
            gateway.http.post("/api/workflow/update", json={"filename": "a", "params": params})
            for params in changes
        )
    )
    assert {answer.status_code for answer in answers} == {200}
    shown = (await gateway.http.get("/api/workflow/a")).json()
    expected = {"width": 32, "height": 48, "batch_size": 2, "color": 7}
    assert shown["workflow"]["1"]["inputs"] == expected


async def test_only_one_of_two_conditional_updates_wins(gateway: RunningGateway) -> None:
    headers = {"if-match": (await save(gateway)).headers["etag"]}
    answers = await asyncio.gather(
        *(
            gateway.http.post(
                "/api/workflow/update",
                json={"filename": "a", "params": {"1.color": color}},
                headers=headers,
            )
            for color in range(5)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412]


async def test_former_versions_can_be_seen_and_restored(gateway: RunningGateway) -> None:
    for color in (1, 2, 3):
        await save(gateway, "My flow.json", color)
    listed = (await gateway.http.get("/api/workflow/My flow/versions")).json()["versions"]
    assert [set(entry) for entry in listed] == [{"version", "saved_at", "size_bytes"}] * 2
    address = f"/api/workflow/My flow/versions/{listed[1]['version']}"
    assert color_of((await gateway.http.get(address)).json()) == 1

    assert (await gateway.http.delete("/api/workflow/My flow")).status_code == 204
    body = {"version": listed[1]["version"]}
    answer = await gateway.http.post("/api/workflow/my FLOW/restore", json=body)
    assert (answer.status_code, answer.json()["filename"]) == (200, "My flow.json")
    assert color_of((await gateway.http.get("/api/workflow/My flow")).json()) == 1
    listed = (await gateway.http.get("/api/workflow/My flow/versions")).json()["versions"]
    assert len(listed) == 3
    assert len((await gateway.http.get("/api/workflows")).json()["workflows"]) == 1


async def test_versions_that_are_not_there(gateway: RunningGateway) -> None:
    answer = await gateway.http.get("/api/workflow/a/versions")
    assert (answer.status_code, answer.json()["code"]) == (404, "workflow_not_found")
    await save(gateway)
    assert (await gateway.http.get("/api/workflow/a/versions")).json() == {"versions": []}
    for answer in (
        await gateway.http.get("/api/workflow/a/versions/x"),
        await gateway.http.post("/api/workflow/a/restore", json={"version": "../../x"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "version_not_found")
    answer = await gateway.http.post("/api/workflow/a/restore", json={})
    assert answer.status_code == 422


# -- run, and tell how --------------------------------------------------------------------------


async def test_a_saved_workflow_is_run_by_its_name(gateway: RunningGateway) -> None:
    await save(gateway)
    answer = await gateway.http.post("/api/workflow/a/run?wait=60")
    task = answer.json()
    assert (answer.status_code, task["status"], task["workflow"]) == (200, "succeeded", "a.json")
    assert answer.headers["location"] == f"/api/task/{task['task_id']}"
    body = {"params": {"1.color": 5}, "metadata": {"mine": 1}, "priority": 3, "timeout": 9}
    answer = await gateway.http.post("/api/workflow/A.json/run", json=body)
    task = answer.json()
    assert (answer.status_code, task["priority"], task["timeout"]) == (202, 3, 9)
    assert (task["params"], task["metadata"]) == ({"1.color": 5}, {"mine": 1})


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        ("b", {}, 404, "workflow_not_found"),
        ("a", {"params": {"1.widht": 1}}, 422, "invalid_parameter"),
        ("a", {"parms": {}}, 422, "invalid_input"),
        ("a", {"filename": "b"}, 422, "invalid_input"),
        ("a", [], 422, "invalid_input"),
        ("a", {"server": "nowhere:1"}, 404, "server_not_found"),
        ("con", {}, 422, "invalid_input"),
    ],
)
async def test_a_bad_run(
    gateway: RunningGateway, name: str, body: Any, status: int, code: str
) -> None:
    await save(gateway)
    answer = await gateway.http.post(f"/api/workflow/{name}/run", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert (await gateway.http.get("/api/tasks")).json()["tasks"] == []


async def test_the_openapi_of_a_workflow(gateway: RunningGateway) -> None:
    await save(gateway, "My flow.json")
    found = (await gateway.http.get("/api/workflow/My flow/openapi.json")).json()
    OpenAPIV31SpecValidator(found).validate()
    (path,) = found["paths"]
    schema = found["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    params = schema["properties"]["params"]["properties"]
    width = params["1.width"]
    assert (width["type"], width["minimum"], width["default"]) == ("integer", 1, 16)
    values = {key: value["default"] for key, value in params.items() if "." in key}
    answer = await gateway.http.post(f"{path}?wait=60", json={"params": values})
    assert answer.json()["status"] == "succeeded", answer.text


# -- names that lead elsewhere ------------------------------------------------------------------

OUTSIDE = [
    *("..", ".", "../secret", "../../etc/passwd", "/etc/passwd", "a/../../secret", "..\\secret"),
    *("%2e%2e%2fsecret", "....//secret", "C:\\a", "\\\\host\\a", ".versions", ".versions/a.json"),
    *("a\0", "a\n", "CON", "nul.json", "COM1", "x" * 300, "\u202ea", "$HOME", "~", "secret.txt"),
]


@pytest.mark.parametrize("name", OUTSIDE)
async def test_no_route_leaves_the_folder(
    gateway: RunningGateway, tmp_path: Path, name: str
) -> None:
    (tmp_path / "secret.json").write_text(json.dumps(model_free()), encoding="utf-8")
    await save(gateway)
    before = {path for path in tmp_path.rglob("*.json*") if path.is_file()}
    encoded = quote(name, safe="").replace(".", "%2E")  # httpx would resolve "." and ".."
    there = f"/api/workflow/{encoded}"
    body = {"version": name}
    content = json.dumps({"not": "a workflow"}).encode()
    answers = [
        await gateway.http.get(there),
        await gateway.http.delete(there),
        await gateway.http.post(f"{there}/run"),
        await gateway.http.get(f"{there}/openapi.json"),
        await gateway.http.get(f"{there}/versions"),
        await gateway.http.get(f"{there}/versions/{encoded}"),
        await gateway.http.get(f"/api/workflow/a/versions/{encoded}"),
        await gateway.http.post(f"{there}/restore", json=body),
        await gateway.http.post("/api/workflow/a/restore", json=body),
        await gateway.http.post("/api/workflow/submit", json={"filename": name}),
        await gateway.http.post("/api/workflow/parameters", json={"filename": name}),
        await gateway.http.post("/api/workflow/convert", json={"filename": name}),
        await gateway.http.post("/api/workflow/update", json={"filename": name, "params": {}}),
        await upload(gateway, "x.json", content, filename=name),
    ]
    for answer in answers:
        assert answer.status_code in (400, 404, 405, 422), (str(answer.request.url), answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    assert {path for path in tmp_path.rglob("*.json*") if path.is_file()} == before
