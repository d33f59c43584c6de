"""What one key's uploads and results are to another key: not in any list, and not to be loaded.

All routes that are found in the app are asked, and a gateway with a stand-in server whose folders
hold the files of both.
"""

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from PIL import Image

from app.api.access_levels import names as names_of_routes
from app.main import create_app
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import WAIT, over
from tests.keyholders import Guarded, guarded

Json = dict[str, Any]

MARKER = "marker-contract-scan"
KEYS = {"alice": "run", "bob": "run", "rita": "read", "boss": "manage"}


def png(colour: tuple[int, int, int] = (200, 10, 77)) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(content, "png")
    return content.getvalue()


def load(name: Any, class_type: str = "LoadImage", prefix: str = "ex") -> Json:
    return {
        "1": {"class_type": class_type, "inputs": {"image": name}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": prefix}},
    }


@pytest.fixture
async def gate(
    settings_for: Callable[..., Settings], tmp_path: Path, demo: DemoServer
) -> AsyncIterator[Guarded]:
    async with guarded(settings_for, tmp_path, demo, keys={**KEYS}) as found:
        yield found


def joined(name: str, through: str = "") -> Json:
    """A file's name that a node puts together, perhaps behind a switch."""
    parts = {"string_a": name[:4], "string_b": name[4:], "delimiter": ""}
    switch = {"switch": True, "on_true": ["7", 0], "on_false": ["8", 0]}
    graph = load(["9" if through else "7", 0]) | {
        "7": {"class_type": "StringConcatenate", "inputs": parts},
        "8": {"class_type": "PrimitiveString", "inputs": {"value": "a.png"}},
    }
    return graph | ({"9": {"class_type": through, "inputs": switch}} if through else {})


async def test_names_that_nodes_make(gate: Guarded, demo: DemoServer) -> None:
    bob = await gate.client("bob")
    boss = await gate.client("boss")
    for name in ("x_00001_.png [output]", "x_00001_.png"):
        graph = joined(name, "ComfySwitchNode")
        for path in ("/api/workflow/submit", "/api/v2/jobs"):
            answer = await bob.post(path, json={"workflow": graph})
            assert answer.status_code in (400, 422), answer.text
            assert "foreign_file" in answer.text
            assert "StringConcatenate" in answer.text
    assert not demo.records.prompts
    answer = await boss.post("/api/workflow/submit", json={"workflow": graph})
    assert answer.status_code == 202, "who sees all results may load them"


async def test_names_over_links_that_stand_in_the_prompt(gate: Guarded) -> None:
    bob = await gate.client("bob")
    sent = await bob.post("/api/image/upload", files={"image": ("mine.png", png())})
    graph = joined("x", "ComfySwitchNode")
    graph["8"]["inputs"]["value"] = sent.json()["name"]
    graph["9"]["inputs"] = {"switch": True, "on_true": ["8", 0], "on_false": ["8", 0]}
    answer = await bob.post("/api/workflow/submit", json={"workflow": graph})
    assert "foreign_file" not in answer.text


async def choices_there(demo: DemoServer) -> list[str]:
    """What the server itself lists for LoadImage."""
    async with httpx.AsyncClient(base_url=f"http://{demo.address}") as http:
        told = (await http.get("/object_info/LoadImage")).json()
    return list(told["LoadImage"]["input"]["required"]["image"][0])


async def run_with_upload(client: httpx.AsyncClient, name: str, content: bytes) -> Json:
    upload = await client.post("/api/image/upload", files={"image": (name, content)})
    assert upload.status_code == 201
    body = {"workflow": load(upload.json()["name"], prefix=MARKER)}
    task = (await client.post("/api/workflow/submit?wait=60", json=body)).json()
    assert task["status"] == "succeeded", task
    return dict(task)


async def placed_by(gate: Guarded, demo: DemoServer, key: str = "alice") -> tuple[str, Json]:
    """The name on the server of an upload that a task of the key has used, and the task."""
    before = set(await choices_there(demo))
    task = await run_with_upload(await gate.client(key), f"{MARKER}-{key}.png", png())
    [there] = set(await choices_there(demo)) - before
    await refreshed(gate)
    return there, task


async def refreshed(gate: Guarded) -> None:
    """With node types as the servers have them now, however lately they were asked."""
    for server in gate.gateway.pool:
        server._fetched_at = float("-inf")
    await gate.gateway.pool.refresh()


async def test_names_on_servers_tell_nothing(gate: Guarded, demo: DemoServer) -> None:
    there, _ = await placed_by(gate, demo)
    assert re.fullmatch(r"gw-[0-9a-f]{8}-[0-9a-f]{32}\.png", there)
    other, _ = await placed_by(gate, demo, "bob")
    assert other.split("-")[1:] != there.split("-")[1:], "the same bytes, another owner"
    assert MARKER not in " ".join(demo.records.uploads)


async def test_no_route_names_the_uploads_of_others(gate: Guarded, demo: DemoServer) -> None:
    there, task = await placed_by(gate, demo)
    boss = await gate.client("boss")
    saved = {"file": ("shared.json", json.dumps(load("example.png")).encode())}
    assert (await boss.post("/api/workflow/upload", files=saved)).status_code == 201
    asked = 0
    for key in ("rita", "bob"):
        client = await gate.client(key)
        await client.get("/api/nodes?class_type=LoadImage&refresh=true")
        for path, options in _requests():
            async with asyncio.timeout(WAIT):
                answer = await client.request(*path.split(" "), **options)
            assert MARKER not in answer.text, path
            assert there not in answer.text, path
            assert task["task_id"] not in answer.text, path
            asked += 1
        async with websockets.connect(
            f"ws://{gate.address}/ws",
            additional_headers={"Authorization": client.headers["Authorization"]},
        ) as socket:
            await socket.send(json.dumps({"type": "subscribe", "all": True}))
            assert MARKER not in str(await socket.recv())
    assert asked > 80


def _requests() -> list[tuple[str, Json]]:
    """Every route, with things that are nobody's; those that list choices, with many."""
    app = create_app(Settings(_env_file=None, database_url="sqlite:///:memory:"))  # type: ignore[call-arg]
    known = {"filename": "shared.json", "folder": "loras", "server_id": "1", "version": "0"}
    found: list[tuple[str, Json]] = []
    for name in names_of_routes(app.routes):
        method, route = name.split(" ")
        path = re.sub(r"\{(\w+)(?::path)?\}", lambda match: known.get(match[1], "none"), route)
        if method in ("GET", "POST") and "events" not in path and "/static" not in path:
            found.append((f"{method} {path}", {"json": {}} if method == "POST" else {}))
    for class_type in ("LoadImage", "LoadImageMask", "LoadImageOutput"):
        found.append((f"GET /api/nodes?class_type={class_type}", {}))
    bad = {"workflow": load("nothing.png"), "params": {"1.image": 7, "2.filename_prefix": 8}}
    for path in ("/api/workflow/parameters", "/api/workflow/convert", "/api/workflow/submit"):
        found += [(f"POST {path}", {"json": load("x.png")}), (f"POST {path}", {"json": bad})]
    found.append(("POST /api/workflow/submit?wait=60", {"json": load("no-such-file.png")}))
    return found


SPELLINGS = [
    *("{}", "{} [input]", "./{}", "x/../{}", "{}[input]", ".\\{}", "/tmp/input/{}", " {}"),
    *("sub/{}", "{} ", "{}/", "{}::$DATA", '{{"path": "{}"}}'),
]


@pytest.mark.slow
@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_spelling_loads_an_upload_of_others(
    gate: Guarded, demo: DemoServer, spelling: str
) -> None:
    there, _ = await placed_by(gate, demo)
    bob = await gate.client("bob")
    ran = len(demo.records.prompts)
    for name in (there, there.upper()):
        value = spelling.format(name)
        for body in (
            {"workflow": load(value)},
            {"workflow": load([value])},
            {"workflow": load({"a": {"b": [value]}})},
            {"workflow": load("example.png"), "params": {"1.image": value}},
            {"workflow": load("example.png"), "batch": {"1.image": ["example.png", value]}},
            {"workflow": load(value, "SomeLoaderOfTheirs"), "wait_for_server": True},
        ):
            answer = await bob.post("/api/workflow/submit?wait=60", json=body)
            assert answer.status_code == 422, (body, answer.text)
    answer = await bob.post("/api/v2/jobs", json={"workflow": load(spelling.format(there))})
    assert answer.status_code in (400, 422), answer.text
    assert len(demo.records.prompts) == ran


async def test_the_error_says_what_to_do(gate: Guarded, demo: DemoServer) -> None:
    there, _ = await placed_by(gate, demo)
    bob = await gate.client("bob")
    answer = (await bob.post("/api/workflow/submit", json={"workflow": load(there)})).json()
    assert answer["code"] == "invalid_workflow"
    assert "'image' names a file that is no upload of yours" in answer["detail"]
    assert "/api/image/upload" in answer["hint"]
    assert answer["node_errors"]["1"]["errors"][0]["type"] == "foreign_file"


async def test_its_owner_may_name_it_as_results_do(gate: Guarded, demo: DemoServer) -> None:
    """Results hold the prompt as the server got it: who sends that back has the name there."""
    there, _ = await placed_by(gate, demo)
    alice = await gate.client("alice")
    body = {"workflow": load(there)}
    task = (await alice.post("/api/workflow/submit?wait=60", json=body)).json()
    assert task["status"] == "succeeded"


LIKE_HASHES = ("5919206189929891_00001_.png", "deadbeefdeadbeef_x.png", "0123456789abcdef_2026.png")


@pytest.mark.parametrize("name", LIKE_HASHES)
async def test_names_that_look_like_a_hash_are_names(
    gate: Guarded, demo: DemoServer, name: str
) -> None:
    """As `%KSampler.seed%` makes them: of uploads and results, as prefixes, and in any text."""
    bob = await gate.client("bob")
    await bob.post("/api/image/upload", files={"image": (name, png())})
    async with httpx.AsyncClient(base_url=f"http://{demo.address}") as http:
        await http.post("/upload/image", files={"image": (f"by-hand-{name}", png())})
        await http.post("/upload/image", files={"image": (name[:18] + "y.png", png())})
    await refreshed(gate)
    assert name[:18] + "y.png" in (await bob.get("/api/nodes?class_type=LoadImage")).text
    for graph, params in (
        (load(name), {}),
        (load("x.png"), {"1.image": name}),
        (load(name[:18] + "y.png"), {}),
        (load(name, prefix=name), {}),
        (load(name) | text_node(f"order {name}"), {}),
    ):
        body = {"workflow": graph, "params": params}
        task = (await bob.post("/api/workflow/submit?wait=60", json=body)).json()
        assert task["status"] == "succeeded", (graph, task)
    result = task["outputs"][0]
    again = {"task_id": task["task_id"], "filename": result["filename"]}
    body = {"workflow": load("x.png"), "params": {"1.image": again}}
    task = (await bob.post("/api/workflow/submit?wait=60", json=body)).json()
    assert task["status"] == "succeeded", task


def text_node(text: str) -> Json:
    return {"9": {"class_type": "PrimitiveString", "inputs": {"value": text}}}


@pytest.mark.parametrize(
    "spelling", ["{} [output]", "{}[output]", "../output/{}", "..\\output\\{}", "x/../../output/{}"]
)
async def test_results_of_others_are_not_loaded(
    gate: Guarded, demo: DemoServer, spelling: str
) -> None:
    _, task = await placed_by(gate, demo)
    name = spelling.format(task["outputs"][0]["filename"])
    bob = await gate.client("bob")
    for class_type in ("LoadImage", "LoadImageOutput"):
        answer = await bob.post("/api/workflow/submit", json={"workflow": load(name, class_type)})
        assert answer.status_code == 422, answer.text
    boss = await gate.client("boss")  # who sees everything anyway
    if spelling == "{} [output]":
        body = {"workflow": load(name)}
        done = (await boss.post("/api/workflow/submit?wait=60", json=body)).json()
        assert done["status"] == "succeeded", done


async def test_texts_that_only_look_like_it_are_left_alone(gate: Guarded) -> None:
    bob = await gate.client("bob")
    for text in ("a fox [output]", "../up and /down", "deadbeefdeadbeef, 8k", "~1 girl", "gw-1"):
        prompt = {
            "1": {"class_type": "PreviewAny", "inputs": {"source": text}},
        }
        answer = await bob.post("/api/workflow/submit", json={"workflow": prompt})
        assert answer.status_code == 202, (text, answer.text)


async def test_a_server_that_lists_names_in_its_errors(gate: Guarded, demo: DemoServer) -> None:
    """ComfyUI repeats all choices of an input in the errors about it."""
    there, _ = await placed_by(gate, demo)
    listed = {
        "type": "value_not_in_list",
        "message": "Value not in list",
        "details": f"image: 'x.png' not in ['example.png', '{there}']",
        "extra_info": {"input_config": [["example.png", there], {"image_upload": True}]},
    }
    refused = {
        "error": {"type": "prompt_outputs_failed_validation", "message": f"no {there}"},
        "node_errors": {"1": {"class_type": "LoadImage", "errors": [listed]}},
    }
    demo.knobs.reject_with = (400, refused)
    bob = await gate.client("bob")
    body = {"workflow": load("example.png")}
    task = (await bob.post("/api/workflow/submit?wait=60", json=body)).json()
    assert task["status"] == "failed"
    assert there not in json.dumps(task)
    assert "(an upload)" in json.dumps(task)
    alice = await gate.client("alice")
    body = {"workflow": load(f"{MARKER}-alice.png")}
    task = (await alice.post("/api/workflow/submit?wait=60", json=body)).json()
    assert f"{MARKER}-alice.png" in json.dumps(task["error"]), "its own, by its own name"


async def test_deleted_uploads_leave_nothing_on_servers(gate: Guarded, demo: DemoServer) -> None:
    alice = await gate.client("alice")
    form = {"content_type": "image/png", "file_path": f"{MARKER}.png"}
    asset = (await alice.post("/api/v2/assets", data=form, files={"file": ("a", png())})).json()
    body = {"workflow": load(f"{MARKER}.png")}
    first = (await alice.post("/api/workflow/submit?wait=60", json=body)).json()
    assert first["status"] == "succeeded"
    [there] = [name for name in await choices_there(demo) if name.startswith("gw-")]
    assert (await alice.delete(f"/api/v2/assets/{asset['id']}")).status_code == 204
    async with httpx.AsyncClient(base_url=f"http://{demo.address}") as http:
        left = await http.get("/view", params={"filename": there, "type": "input"})
        assert left.content == b""
        # Kept anew: the same name there, with its bytes again, however it lies there now.
        for damage in (None, b"half"):
            if damage:
                form = {"overwrite": "true"}
                await http.post("/upload/image", files={"image": (there, damage)}, data=form)
            await run_with_upload(alice, f"{MARKER}.png", png())
            again = await http.get("/view", params={"filename": there, "type": "input"})
            assert again.content == png()
    assert [name for name in await choices_there(demo) if name.startswith("gw-")] == [there]


async def test_a_file_is_placed_once_by_many_tasks(
    settings_for: Callable[..., Settings], demo: DemoServer
) -> None:
    async with over(settings_for, demo) as running:
        files = {"image": ("a.png", png())}
        name = (await running.http.post("/api/image/upload", files=files)).json()["name"]
        body = {"workflow": load(name), "batch": {"2.filename_prefix": ["a", "b", "c", "d"]}}
        batch = await running.http.post("/api/workflow/submit?wait=60", json=body)
        assert {task["status"] for task in batch.json()["tasks"]} == {"succeeded"}
        assert len(demo.records.uploads) == 1


async def test_names_stay_over_a_restart_and_differ_between_installations(
    settings_for: Callable[..., Settings], demo: DemoServer, tmp_path: Path
) -> None:
    async def placed(**changes: Any) -> str:
        async with over(settings_for, demo, **changes) as running:
            before = set(await choices_there(demo))
            await run_with_upload(running.http, "a.png", png())
            return str(set(await choices_there(demo)) - before)

    assert await placed() != "set()"
    assert await placed() == "set()", "it is there, under the same name"
    assert await placed(uploads_dir=tmp_path / "elsewhere") != "set()"


async def test_views_go_with_their_upload(gate: Guarded, tmp_path: Path) -> None:
    alice = await gate.client("alice")
    form = {"content_type": "image/png", "file_path": "private.png"}
    asset = (await alice.post("/api/v2/assets", data=form, files={"file": ("a", png())})).json()
    masks = {"image": ("m.png", png())}
    masked = await alice.post(
        "/api/image/upload/mask", files=masks, data={"original": "private.png"}
    )
    for name in ("private.png", masked.json()["name"]):
        for width in (10, 20):
            path = f"/api/image/{name}?type=input&width={width}"
            assert (await alice.get(path)).status_code == 200
    hash = masked.json()["hash"]
    again = await alice.post(
        "/api/v2/assets/from-hash", json={"hash": hash, "file_path": masked.json()["name"]}
    )
    views = tmp_path / "outputs" / ".views"
    assert len([path for path in views.rglob("*") if path.is_file()]) == 4
    for one in (asset["id"], again.json()["id"]):
        assert (await alice.delete(f"/api/v2/assets/{one}")).status_code == 204
    assert [path for path in views.rglob("*") if path.is_file()] == []
