"""What goes to ComfyUI along with a prompt: extra_data, and the page's own workflow."""

import io
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import text

from app.db.engine.database import Database
from app.settings import Settings
from app.workflows.extra_data import parted
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, wait_until

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]
SUBMIT = "/api/workflow/submit?wait=60"
SECRET = "comfyui-0123456789abcdef"


def page(color: int = 255, prefix: str = "a", note: str = "mine") -> Json:
    """EmptyImage -> SaveImage as the page saves it, with a note."""
    link = [1, 1, 0, 2, 0, "IMAGE"]
    return {
        "version": 0.4,
        "nodes": [
            {
                "id": 1,
                "type": "EmptyImage",
                "mode": 0,
                "inputs": [],
                "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}],
                "widgets_values": [16, 16, 1, color],
            },
            {
                "id": 2,
                "type": "SaveImage",
                "mode": 0,
                "outputs": [],
                "inputs": [{"name": "images", "type": "IMAGE", "link": 1}],
                "widgets_values": [prefix],
            },
            {"id": 3, "type": "Note", "widgets_values": [note]},
        ],
        "links": [link],
    }


def widgets(file: Json) -> list[Any]:
    return [node["widgets_values"] for node in file["nodes"]]


async def chunks(gateway: RunningGateway, task: Json) -> Json:
    """The texts in the picture that a task has made, by their keys."""
    assert task["status"] == "succeeded", task["error"]
    content = (await gateway.http.get(task["outputs"][0]["url"])).content
    found = Image.open(io.BytesIO(content))
    return {key: json.loads(value) for key, value in found.info.items() if key != "dpi"}


@pytest.fixture
async def gateway(
    settings_for: MakeSettings, demo: DemoServer, url: str
) -> AsyncIterator[RunningGateway]:
    async with over(settings_for, demo, database_url=url) as running:
        yield running


async def posted(gateway: RunningGateway, body: Json, **more: Any) -> Json:
    answer = await gateway.http.post(SUBMIT, json=body, **more)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def test_a_file_of_the_page_comes_back_out_of_the_picture(gateway: RunningGateway) -> None:
    found = await chunks(gateway, await posted(gateway, page()))
    assert found["workflow"] == page()
    assert found["prompt"]["1"]["inputs"]["color"] == 255
    body = {"workflow": page(color=8), "embed_workflow": False}
    assert set(await chunks(gateway, await posted(gateway, body))) == {"prompt"}


async def test_it_shows_the_values_that_ran(gateway: RunningGateway) -> None:
    file = page(prefix="{one|two}")
    task = await posted(gateway, {"workflow": file, "params": {"1.color": 9}})
    found = await chunks(gateway, task)
    drawn = found["prompt"]["2"]["inputs"]["filename_prefix"]
    assert widgets(found["workflow"]) == [[16, 16, 1, 9], [drawn], ["mine"]]
    again = await gateway.http.post(f"/api/task/{task['task_id']}/retry")
    done = await gateway.until(again.json()["task_id"], "succeeded")
    assert (await chunks(gateway, done))["workflow"] == found["workflow"], "so does a second run"


async def rows_of(database: Database, table: str) -> int:
    query = text(f"SELECT count(*) FROM {table}")
    return await database.read(lambda connection: int(connection.scalar(query) or 0))


async def test_a_batch_stores_it_once_and_each_task_shows_its_own(gateway: RunningGateway) -> None:
    body = {"workflow": page(note="x" * 50_000), "batch": {"1.color": [1, 2, 3]}}
    batch = await posted(gateway, body)
    shown = [(await chunks(gateway, task))["workflow"] for task in batch["tasks"]]
    assert [widgets(file)[0][3] for file in shown] == [1, 2, 3]
    database = await gateway.database()
    assert await rows_of(database, "extras") == 1
    for task in batch["tasks"][:2]:
        assert (await gateway.http.delete(f"/api/task/{task['task_id']}")).status_code == 204
    assert await rows_of(database, "extras") == 1, "one task has it still"
    await gateway.http.delete(f"/api/task/{batch['tasks'][2]['task_id']}")
    assert await rows_of(database, "extras") == 0


async def test_the_body_of_comfyui_itself(gateway: RunningGateway, demo: DemoServer) -> None:
    info = {"workflow": page(), "mine": {"a": [1, None]}}
    extra = {"extra_pnginfo": info, "preview_method": "none", "client_id": "page"}
    body = {"prompt": model_free(), "client_id": "page", "extra_data": extra}
    found = await chunks(gateway, await posted(gateway, body))
    assert (found["workflow"], found["mine"]) == (info["workflow"], info["mine"])
    [entry] = (await demo_history(demo)).values()
    assert entry["prompt"][3]["preview_method"] == "none"
    assert entry["prompt"][3]["client_id"] != "page"
    body["params"] = {"1.color": 7}
    found = await chunks(gateway, await posted(gateway, body))
    assert widgets(found["workflow"])[0][3] == 7


async def demo_history(demo: DemoServer) -> Json:
    import httpx

    async with httpx.AsyncClient() as http:
        found: Json = (await http.get(f"http://{demo.address}/history")).json()
    return found


@pytest.mark.parametrize("name", ["api_key_comfy_org", "auth_token_comfy_org"])
async def test_secrets_go_along_and_are_kept_nowhere(
    gateway: RunningGateway, demo: DemoServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import fake_comfyui.submit as submit

    sent: list[Json] = []
    take = submit._extra_data

    def taken(body: Json) -> tuple[Json, Json]:
        sent.append(json.loads(json.dumps(body["extra_data"])))
        return take(body)

    monkeypatch.setattr(submit, "_extra_data", taken)
    task = await posted(gateway, {"prompt": model_free(), "extra_data": {name: SECRET, "mine": 1}})
    assert [{key: extra[key] for key in (name, "mine")} for extra in sent] == [
        {name: SECRET, "mine": 1}
    ]
    said = await gateway.http.get(f"/api/task/{task['task_id']}")
    assert SECRET not in said.text
    database = await gateway.database()
    for table in ("tasks", "prompts", "extras"):
        query = text(f"SELECT * FROM {table}")
        rows = await database.read(lambda c, query=query: repr(c.execute(query).all()))
        assert SECRET not in rows
    await wait_until(lambda: not gateway.gateway.submissions._parts.paid_node_keys._keys)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        *((name, True) for name in ("api_key", "apiKey", "X-API-Key", "key", "OPENAI_KEY")),
        *((name, True) for name in ("accessKey", "private-key", "auth_token_comfy_org", "Secret")),
        *((name, False) for name in ("monkey", "keyframes", "key_color", "preview")),
    ],
)
def test_what_is_called_a_secret_is_not_stored(name: str, is_one: bool) -> None:
    assert parted({name: SECRET}) == (({}, {name: SECRET}) if is_one else ({name: SECRET}, {}))


async def test_secrets_have_a_bound(settings_for: MakeSettings, demo: DemoServer) -> None:
    many = {f"token{number}": "sesame" for number in range(1000)}
    async with over(settings_for, demo) as gateway:
        for path, extra in (
            ("/api/workflow/submit", {"api_key_comfy_org": "sesame" * 2000}),
            ("/api/workflow/submit", many),
            ("/api/v2/jobs", {"api_key_comfy_org": "sesame" * 2000}),
        ):
            body = {"workflow": model_free(), "extra_data": extra}
            answer = await gateway.http.post(path, json=body)
            assert answer.status_code in (400, 422), answer.text
            assert "extra_data" in answer.text
            assert "sesame" not in answer.text
        assert (await gateway.http.get("/api/tasks")).json()["tasks"] == []


async def test_saved_workflows_and_jobs(gateway: RunningGateway) -> None:
    file = {"file": ("mine.json", json.dumps(page()))}
    assert (await gateway.http.post("/api/workflow/upload", files=file)).status_code == 201
    task = await posted(gateway, {"filename": "mine.json"})
    assert (await chunks(gateway, task))["workflow"] == page()
    job = (await gateway.http.post("/api/v2/jobs", json={"workflow": page()})).json()
    done = await gateway.until(job["id"], "succeeded")
    assert (await chunks(gateway, done))["workflow"] == page()


async def test_a_form_takes_the_body_of_comfyui(gateway: RunningGateway) -> None:
    body = {"prompt": model_free(), "extra_data": {"extra_pnginfo": {"workflow": page()}}}
    answer = await gateway.http.post(SUBMIT, files={"request": (None, json.dumps(body))})
    assert (await chunks(gateway, answer.json()))["workflow"] == page()


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"front": True}, "priority"),
        ({"number": -1}, "priority"),
        ({"partial_execution_targets": ["3"]}, "partial_execution_targets"),
        ({"extra_data": [1]}, "extra_data"),
        ({"extra_data": {"extra_pnginfo": [1]}}, "extra_pnginfo"),
        ({"extra_data": {"extra_pnginfo": {"workflow": "x"}}}, "workflow"),
        ({"extra_data": {"preview_method": 1}}, "preview_method"),
        ({"extra_data": {"api_key_comfy_org": ["x"]}}, "api_key_comfy_org"),
    ],
)
async def test_what_has_no_effect_is_refused(
    settings_for: MakeSettings, demo: DemoServer, change: Json, names: str
) -> None:
    async with over(settings_for, demo) as gateway:
        answer = await gateway.http.post(SUBMIT, json={"prompt": model_free(), **change})
        assert answer.status_code == 422, answer.text
        assert names in answer.text
        harmless = {"front": False, "number": None, "extra_data": None}
        answer = await gateway.http.post(SUBMIT, json={"prompt": model_free(), **harmless})
        assert answer.status_code == 200, answer.text


async def test_values_that_no_widget_holds_are_named(gateway: RunningGateway) -> None:
    body = {
        "prompt": model_free(),
        "params": {"3.filename_prefix": "z", "1.color": 3},
        "extra_data": {"extra_pnginfo": {"workflow": page()}},
    }
    task = await posted(gateway, body)
    assert [warning for warning in task["warnings"] if "'3.filename_prefix'" in warning]
    assert "1.color" not in "".join(task["warnings"])
    body["params"], body["batch"] = {}, {"3.filename_prefix": ["y", "z"]}
    for task in (await posted(gateway, body))["tasks"]:
        assert [warning for warning in task["warnings"] if "'3.filename_prefix'" in warning]
