"""The workflows that come along: each runs as it is, and its inputs have their friendly names."""

import io
import json
import re
import shutil
from collections.abc import AsyncIterator, Callable

import pytest
from PIL import Image

from app.settings import Settings
from app.workflows.checks.model_files import is_model_file
from fake_comfyui.server import DemoServer
from tests.conftest import ROOT, RunningGateway, over

TEXT_TO_IMAGE = {"prompt", "seed", "steps", "width", "height", "batch_size", "sampler", "model"}
NAMES = {
    "sd15_text_to_image.json": TEXT_TO_IMAGE | {"negative_prompt", "cfg"},
    "sdxl_text_to_image.json": TEXT_TO_IMAGE | {"negative_prompt", "cfg"},
    "flux_text_to_image.json": TEXT_TO_IMAGE | {"guidance"},
    "qwen_t2i_distill.json": TEXT_TO_IMAGE | {"negative_prompt", "cfg"},
    "image_to_image.json": {"image", "prompt", "negative_prompt", "seed", "denoise", "width"},
    "upscale.json": {"image"},
}


@pytest.fixture
async def shipped(
    demo: DemoServer, settings_for: Callable[..., Settings]
) -> AsyncIterator[RunningGateway]:
    shutil.copytree(ROOT / "workflows", settings_for().workflows_dir)
    async with over(settings_for, demo) as gateway:
        yield gateway


async def test_all_are_known_here_and_both_formats_are_among_them(shipped: RunningGateway) -> None:
    listed = (await shipped.http.get("/api/workflows")).json()["workflows"]
    assert {entry["filename"] for entry in listed} == set(NAMES)
    assert {entry["format"] for entry in listed} == {"api", "ui"}


@pytest.mark.parametrize("filename", NAMES)
async def test_it_runs_as_it_is_and_its_inputs_have_names(
    shipped: RunningGateway, filename: str
) -> None:
    found = (await shipped.http.get(f"/api/workflow/{filename}")).json()
    assert found["warnings"] == []
    assert {parameter["name"] for parameter in found["parameters"]} >= NAMES[filename]

    params = {"width": 192, "height": 128, "steps": 3, "seed": 7, "prompt": "a red fox"}
    used = {name: value for name, value in params.items() if name in NAMES[filename]}
    answer = await shipped.http.post(f"/api/workflow/{filename}/run?wait=60", json={"params": used})
    task = answer.json()
    assert task["status"] == "succeeded", task
    [output] = task["outputs"]
    picture = Image.open(io.BytesIO((await shipped.http.get(output["url"])).content))
    if "width" in used:
        assert picture.width == 192
    assert len(picture.convert("RGB").resize((32, 32)).getcolors(1024) or ()) > 20  # no blank


def test_the_documentation_names_the_models_that_each_needs() -> None:
    text = (ROOT / "docs/workflows.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+\.json)` \|(.*)\|$", text, re.MULTILINE))
    assert set(rows) == set(NAMES)
    for filename, row in rows.items():
        text = (ROOT / "workflows" / filename).read_text(encoding="utf-8")
        needed = {value for value in texts(json.loads(text)) if is_model_file(value)}
        assert needed == {word for word in re.findall(r"`([^`]+)`", row) if is_model_file(word)}


def texts(value: object) -> list[str]:
    """All strings in the JSON."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []
