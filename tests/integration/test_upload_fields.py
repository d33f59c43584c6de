"""The fields of uploads have effect, or are refused: no part of a form is dropped."""

import io
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.api.strict_route import StrictRoute
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free
from tests.keyholders import Guarded, guarded

Json = dict[str, Any]
UPLOAD, MASK = "/api/image/upload", "/api/image/upload/mask"


def png(color: str = "blue", mode: str = "RGB") -> bytes:
    content = io.BytesIO()
    Image.new(mode, (8, 8), color).save(content, "png")
    return content.getvalue()


def load(name: str) -> Json:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }


async def upload(http: Any, content: bytes = png(), name: str = "cat.png", **fields: Any) -> Json:
    answer = await http.post(UPLOAD, files={"image": (name, content)}, data=fields)
    assert answer.status_code == 201, answer.text
    found: Json = answer.json()
    return found


async def color_of(http: Any, name: str) -> Any:
    answer = await http.post("/api/workflow/submit?wait=60", json={"workflow": load(name)})
    task = answer.json()
    assert task["status"] == "succeeded", answer.text
    content = (await http.get(task["outputs"][0]["url"])).content
    return Image.open(io.BytesIO(content)).convert("RGB").getpixel((3, 3))


@pytest.mark.parametrize("subfolder", ["jobs/42", "jobs\\42", "/jobs//42/"])
async def test_a_subfolder(gateway: RunningGateway, subfolder: str) -> None:
    found = await upload(gateway.http, subfolder=subfolder, type="input")
    assert (found["name"], found["subfolder"]) == ("cat.png", "jobs/42")
    assert (await gateway.http.get(found["url"])).content == png()
    assert await color_of(gateway.http, "jobs/42/cat.png") == (0, 0, 255)
    other = await upload(gateway.http, png("red"))
    assert other["name"] == "cat.png", "that of another folder is another one"
    assert await color_of(gateway.http, "cat.png") == (255, 0, 0)
    for name in ("jobs", "42", ".in-jobs", "keys"):
        assert (await upload(gateway.http, png("red"), name))["subfolder"] == ""
    third = await upload(gateway.http, png("red"), subfolder="jobs/42")
    assert (third["name"], third["subfolder"]) == ("cat (1).png", "jobs/42")
    asset = (await gateway.http.get(f"{found['url']}&width=4")).status_code
    assert asset == 200, "views of it, too"


@pytest.mark.parametrize(
    "subfolder",
    ["..", "a/../b", "../../etc", ".keys/bob", ".in-a", "a/./b", "c:", "a\0b", "x" * 71, "a/" * 9],
)
async def test_a_subfolder_that_leads_out(gateway: RunningGateway, subfolder: str) -> None:
    for path, more in ((UPLOAD, {}), (MASK, {"original": (await upload(gateway.http))["name"]})):
        files = {"image": ("cat.png", png("blue", "RGBA"))}
        data = {"subfolder": subfolder, **more}
        answer = await gateway.http.post(path, files=files, data=data)
        assert answer.status_code == 422, answer.text
        assert answer.json()["field"] == "subfolder"


async def test_one_takes_the_place_of_another(gateway: RunningGateway) -> None:
    first = await upload(gateway.http)
    view = f"{first['url']}&width=4"
    before = (await gateway.http.get(view)).content
    assert await color_of(gateway.http, "cat.png") == (0, 0, 255)
    second = await upload(gateway.http, png("red"), overwrite="true")
    assert (second["name"], second["hash"] == first["hash"]) == ("cat.png", False)
    assert await color_of(gateway.http, "cat.png") == (255, 0, 0)
    assert (await gateway.http.get(view)).content != before
    third = await upload(gateway.http, png("green"), overwrite="false")
    assert third["name"] == "cat (1).png"
    for wrong in ({"overwrite": "perhaps"}, {"type": "output"}, {"type": "temp"}):
        answer = await gateway.http.post(UPLOAD, files={"image": ("a.png", png())}, data=wrong)
        assert answer.status_code == 422, answer.text


@pytest.fixture
async def gate(
    settings_for: Callable[..., Settings], tmp_path: Path, demo: DemoServer
) -> AsyncIterator[Guarded]:
    keys: Json = {"alice": "run", "bob": "run"}
    async with guarded(settings_for, tmp_path, demo, keys=keys) as found:
        yield found


async def test_keys_have_folders_of_their_own(gate: Guarded) -> None:
    alice, bob = await gate.client("alice"), await gate.client("bob")
    await upload(alice, subfolder="a")
    await upload(bob, png("red"), subfolder="a", overwrite="true")
    assert await color_of(alice, "a/cat.png") == (0, 0, 255)
    assert await color_of(bob, "a/cat.png") == (255, 0, 0)
    await upload(alice, name="own.png", subfolder="a")
    answer = await bob.get("/api/image/own.png?type=input&subfolder=a")
    assert answer.status_code == 404


@pytest.mark.parametrize("shared", [False, True])
async def test_no_asset_is_made_of_bytes_that_were_replaced(
    settings_for: Callable[..., Settings], tmp_path: Path, demo: DemoServer, shared: bool
) -> None:
    keys: Json = {"alice": "run", "bob": "run"}
    async with guarded(settings_for, tmp_path, demo, keys=keys, shared_tasks=shared) as gate:
        alice, bob = await gate.client("alice"), await gate.client("bob")
        first = await upload(alice)
        by_hash = f"/api/v2/assets/by-hash/{first['hash']}"
        assert (await alice.head(by_hash)).status_code == 200
        await upload(bob, png("red"), overwrite="true")
        assert (await alice.head(by_hash)).status_code == (404 if shared else 200)
        await upload(alice, png("green"), overwrite="true")
        assert (await alice.head(by_hash)).status_code == 404
        await upload(alice, overwrite="true")
        assert (await alice.head(by_hash)).status_code == 200


async def test_a_mask_with_the_fields_of_comfyui(gateway: RunningGateway) -> None:
    await upload(gateway.http, subfolder="a")
    files = {"image": ("mask.png", png("#00000000", "RGBA"))}
    ref = json.dumps({"filename": "cat.png", "subfolder": "a", "type": "input"})
    data = {"original_ref": ref, "subfolder": "clipspace", "type": "input", "overwrite": "true"}
    answer = await gateway.http.post(MASK, files=files, data=data)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["name"], answer.json()["subfolder"]) == ("masked-cat.png", "clipspace")
    for wrong in (
        {"original_ref": json.dumps({"filename": "cat.png", "type": "output"})},
        {"original_ref": json.dumps(["cat.png"])},
        {"original_ref": json.dumps({"filename": "cat.png", "subfolder": 5})},
        {"original_ref": json.dumps({"filename": "cat.png", "subfolder": ["a"]})},
        {"original_ref": ref, "original": "a/cat.png"},
        {},
    ):
        answer = await gateway.http.post(MASK, files=files, data=wrong)
        assert answer.status_code == 422, answer.text
        assert "original" in answer.json()["detail"]


FORMS: dict[str, Json] = {
    UPLOAD: {"image": png()},
    MASK: {"image": png("#00000000", "RGBA"), "original": "cat.png"},
    "/api/workflow/upload": {"file": json.dumps(model_free()).encode()},
    "/api/workflow/submit": {"workflow": json.dumps(load("cat.png")).encode(), "1.image": png()},
    "/api/workflow/{filename}/run": {"1.image": png()},
    "/api/v2/assets": {"file": png(), "content_type": "image/png", "file_path": "a.png"},
}


def parts(form: Json, **others: Any) -> list[tuple[str, Any]]:
    given = {**form, **others}.items()
    return [(name, ("a.json", v) if isinstance(v, bytes) else (None, v)) for name, v in given]


async def test_every_form(gateway: RunningGateway) -> None:
    """No part is dropped without a word: one that is unknown, or twice there, or empty."""
    app = gateway.server.config.app
    found = {route.path for route in app.routes if isinstance(route, StrictRoute)}
    forms = {
        path
        for path, methods in (await gateway.http.get("/openapi.json")).json()["paths"].items()
        for about in methods.values()
        if "multipart/form-data" in about.get("requestBody", {}).get("content", {})
    }
    assert set(FORMS) == forms <= found
    await upload(gateway.http)
    text = json.dumps(load("cat.png"))
    await gateway.http.post("/api/workflow/upload", files={"file": ("w.json", text)})
    for path, form in FORMS.items():
        url = path.replace("{filename}", "w.json")
        answer = await gateway.http.post(url, files=parts(form))
        assert answer.status_code in (200, 201, 202), (url, answer.text)
        answer = await gateway.http.post(url, files=parts(form, surprise="x"))
        assert answer.status_code == 422, (url, answer.text)
        assert "surprise" in answer.text
        for name, value in form.items():
            twice = [*parts(form), *parts({name: value})]
            answer = await gateway.http.post(url, files=twice)
            assert answer.status_code == 422, (url, name, answer.text)
            assert name in answer.text
            if isinstance(value, bytes):
                answer = await gateway.http.post(url, files=parts(form, **{name: b""}))
                assert answer.status_code == 422, (url, name, answer.text)
                assert "empty" in answer.text
                assert name in answer.text


@pytest.mark.parametrize(
    "path",
    ["/home/x/y.png", "C:\\x\\y.png", "c:/y.png", "~/y.png", "file:///y.png", "\\\\nas\\y.png"],
)
async def test_a_path_on_a_servers_disk(gateway: RunningGateway, path: str) -> None:
    for body in ({"workflow": load(path)}, {"workflow": load("a.png"), "params": {"image": path}}):
        answer = await gateway.http.post("/api/workflow/submit", json=body)
        assert answer.status_code == 422, answer.text
        assert "disk" in answer.json()["detail"]
        assert "upload" in answer.json()["hint"]
    text = {"4": {"class_type": "PreviewAny", "inputs": {"source": path}}}
    body = {"workflow": model_free() | text}
    answer = await gateway.http.post("/api/workflow/submit?wait=60", json=body)
    assert answer.json()["status"] == "succeeded", "in other inputs it is a text"
