"""Pictures and other files that hold a workflow in both formats: what is kept of them, and what the
results of their runs hold."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over
from tests.integration.test_extra_data import SECRET, SUBMIT, chunks, page, posted, widgets

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]


def picture(kind: str) -> bytes:
    """With a workflow in both formats."""
    texts = {"prompt": json.dumps(model_free()), "workflow": json.dumps(page())}
    info, exif, content = PngInfo(), Image.Exif(), io.BytesIO()
    for tag, (name, value) in zip((0x0110, 0x010F), texts.items(), strict=True):
        info.add_text(name, value)
        exif[tag] = f"{name}:{value}"
    more = {"pnginfo": info} if kind == "PNG" else {"exif": exif}
    Image.new("RGB", (8, 8)).save(content, kind, **more)
    return content.getvalue()


BODY = {
    "prompt": model_free(),
    "extra_data": {"extra_pnginfo": {"workflow": page()}, "api_key_comfy_org": SECRET},
}
KEPT_WITH_BOTH = {
    "a.png": picture("PNG"),
    "a.webp": picture("WEBP"),
    "a.jpg": picture("JPEG"),
    "a.json": json.dumps(BODY).encode(),
    "b.json": json.dumps([1, "id", BODY["prompt"], BODY["extra_data"], ["3"]]).encode(),
}


@pytest.mark.parametrize("name", KEPT_WITH_BOTH)
async def test_what_is_kept_in_both_formats_runs_with_both(
    settings_for: MakeSettings, demo: DemoServer, tmp_path: Path, name: str
) -> None:
    async with over(settings_for, demo) as gateway:
        file, saved = {"file": (name, KEPT_WITH_BOTH[name])}, f"{name[0]}.json"
        shown = (await gateway.http.post("/api/workflow/upload", files=file)).json()
        assert (shown["filename"], shown["format"]) == (saved, "api"), shown
        assert shown["workflow"] == model_free(), "what is shown is the graph that runs"
        assert SECRET not in (tmp_path / "workflows" / saved).read_text(encoding="utf-8")
        run = f"/api/workflow/{saved}/run?wait=60"
        found = await chunks(gateway, (await gateway.http.post(run)).json())
        assert (found["workflow"], found["prompt"]["3"]["class_type"]) == (page(), "SaveImage")
        again = {"filename": saved, "params": {"1.color": 5}}  # another one: not from the cache
        found = await chunks(gateway, await posted(gateway, again))
        assert widgets(found["workflow"])[0][3] == 5
        without = {"embed_workflow": False, "params": {"1.color": 6}}
        task = (await gateway.http.post(run, json=without)).json()
        assert set(await chunks(gateway, task)) == {"prompt"}

        change = {"filename": saved, "params": {"1.color": 7}}
        await gateway.http.post("/api/workflow/update", json=change)
        task = (await gateway.http.post(run, json={"params": {"1.width": 32}})).json()
        file = (await chunks(gateway, task))["workflow"]
        assert widgets(file)[0] == [32, 16, 1, 7], "as saved, and as run"
        change = {"filename": saved, "workflow": model_free()}
        await gateway.http.post("/api/workflow/update", json=change)
        task = (await gateway.http.post(run, json={"params": {"1.color": 8}})).json()
        assert set(await chunks(gateway, task)) == {"prompt"}, "it is not another graph's"


async def test_a_picture_with_both_formats(gateway: RunningGateway) -> None:
    answer = await gateway.http.post(SUBMIT, files={"workflow": ("a.png", picture("PNG"))})
    found = await chunks(gateway, answer.json())
    assert found["workflow"] == page()
    assert set(found["prompt"]) == {"1", "2", "3"}, "and it is the API format that runs"
