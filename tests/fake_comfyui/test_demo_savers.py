"""Node types of newer servers: what they tell of what they saved, and what they make."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from fake_comfyui import DemoServer
from fake_comfyui.catalogue import BUILT_IN
from fake_comfyui.own_types import OWN_TYPES
from tests.fake_comfyui.demo_client import Prompts

MATCH = "COMFY_MATCHTYPE_V3"
NAMED = {"filename_prefix": ["STRING", {"default": "ComfyUI"}]}


def declared(inputs: dict[str, Any], outputs: list[str], *, saves: bool = False) -> dict[str, Any]:
    return {"input": {"required": inputs}, "output": outputs, "output_node": saves}


def saver(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return declared({name: [kind, {}], **NAMED, **more}, [kind], saves=True)


def choice(key: str, **inputs: Any) -> dict[str, Any]:
    return {"key": key, "inputs": {"required": {name: [kind] for name, kind in inputs.items()}}}


WAYS = [
    choice("scale dimensions", width="INT", height="INT", crop="STRING"),
    choice("scale by multiplier", multiplier="FLOAT"),
    choice("scale longer dimension", longer_size="INT"),
    choice("scale shorter dimension", shorter_size="INT"),
    choice("scale width", width="INT"),
    choice("scale total pixels", megapixels="FLOAT"),
    choice("match size", match="IMAGE,MASK"),
    choice("scale to multiple", multiple="INT"),
]
FPS = {"fps": ["FLOAT", {"default": 8.0}]}
GROWING = {"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 1, "max": 50}
EITHER = {"template": {"template_id": "t", "allowed_types": "IMAGE,MASK"}}
NEWER: dict[str, Any] = {
    "SaveVideo": saver("VIDEO", "video"),
    "SaveAudio": saver("AUDIO", "audio"),
    "SaveAudioMP3": saver("AUDIO", "audio"),
    "PreviewAudio": declared({"audio": ["AUDIO", {}]}, ["AUDIO"], saves=True),
    "MaskPreview": declared({"mask": ["MASK", {}]}, ["MASK"], saves=True),
    "SaveWEBM": saver("IMAGE", "images", **FPS),
    "SaveAnimatedPNG": saver("IMAGE", "images", **FPS),
    "SaveGLB": saver("MESH", "mesh"),
    "CheckpointSave": saver("MODEL", "model"),
    "SomebodysVideoSaver": saver("VIDEO", "clip"),
    "CreateVideo": declared({"images": ["IMAGE", {}], **FPS}, ["VIDEO"]),
    "EmptyAudio": declared({}, ["AUDIO"]),
    "EmptyMesh": declared({}, ["MESH"]),
    "EmptyModel": declared({}, ["MODEL"]),
    "BatchImagesNode": declared(
        {"images": ["COMFY_AUTOGROW_V3", {"template": GROWING}]}, ["IMAGE"]
    ),
    "ResizeImageMaskNode": declared(
        {
            "input": [MATCH, EITHER],
            "resize_type": ["COMFY_DYNAMICCOMBO_V3", {"options": WAYS}],
            "scale_method": ["COMBO", {"options": ["area", "lanczos"]}],
        },
        [MATCH],
    ),
    "SomebodysPassage": declared({"value": [MATCH, EITHER]}, [MATCH]),
}
OUTPUT, TEMP = "output", "temp"


@pytest.fixture
async def newer(tmp_path: Path) -> AsyncIterator[Prompts]:
    """A server with these node types, too."""
    types = {**json.loads(BUILT_IN.read_bytes()), **OWN_TYPES}
    types |= {name: {"name": name, **info} for name, info in NEWER.items()}
    file = tmp_path / "types.json.gz"
    file.write_bytes(gzip.compress(json.dumps(types).encode()))
    async with (
        DemoServer(step_seconds=0, object_info=file) as server,
        httpx.AsyncClient(base_url=f"http://{server.address}") as http,
    ):
        yield Prompts(http)


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


FRAMES = {
    "i": node("EmptyImage", width=16, height=8, batch_size=3, color=255),
    "m": node("SolidMask", value=1.0, width=16, height=8),
    "v": node("CreateVideo", images=["i", 0], fps=8.0),
    "a": node("EmptyAudio"),
    "g": node("EmptyMesh"),
    "c": node("EmptyModel"),
}


@pytest.mark.parametrize(
    ("saving", "key", "names", "kind", "animated"),
    [
        (node("SaveVideo", video=["v", 0]), "images", ["n_00001_.mp4"], OUTPUT, [True]),
        (node("SomebodysVideoSaver", clip=["v", 0]), "images", ["n_00001_.mp4"], OUTPUT, [True]),
        (node("SaveWEBM", images=["i", 0], fps=8.0), "images", ["n_00001_.webm"], OUTPUT, [True]),
        (
            node("SaveAnimatedPNG", images=["i", 0], fps=8.0),
            "images",
            ["n_00001_.png"],
            OUTPUT,
            [True],
        ),
        (node("SaveAudio", audio=["a", 0]), "audio", ["n_00001.flac"], OUTPUT, None),
        (node("SaveAudioMP3", audio=["a", 0]), "audio", ["n_00001.mp3"], OUTPUT, None),
        (node("PreviewAudio", audio=["a", 0]), "audio", ["ComfyUI_temp_.00001.flac"], TEMP, None),
        (node("MaskPreview", mask=["m", 0]), "images", ["ComfyUI_temp_.00001_.png"], TEMP, None),
        (node("SaveGLB", mesh=["g", 0]), "3d", ["n_00001_.glb"], OUTPUT, None),
    ],
    ids=lambda value: value["class_type"] if isinstance(value, dict) else "",
)
async def test_what_savers_tell(
    saving: dict[str, Any],
    key: str,
    names: list[str],
    kind: str,
    animated: list[bool] | None,
    newer: Prompts,
) -> None:
    """The shapes are those that were recorded from a real server."""
    if kind == OUTPUT:
        saving = node(saving["class_type"], filename_prefix="sub/n", **saving["inputs"])
    entry = await newer.ended(await newer.post({**FRAMES, "s": saving}))
    told = entry["outputs"]["s"]
    assert set(told) == ({key} if animated is None else {key, "animated"})
    assert told.get("animated") == animated
    found = [file["filename"] for file in told[key]]
    assert [_without_chance(name) for name in found] == names
    for file in told[key]:
        assert (file["type"], file["subfolder"]) == (kind, "sub" if kind == OUTPUT else "")
        assert (await newer.http.get("/view", params=file)).content


def _without_chance(name: str) -> str:
    if not name.startswith("ComfyUI_temp_"):
        return name
    return f"ComfyUI_temp_.{name.removeprefix('ComfyUI_temp_')[6:]}"


async def test_an_animated_png_is_one_file_of_all_pictures(newer: Prompts) -> None:
    graph = {**FRAMES, "j": node("ImageInvert", image=["i", 0])}
    graph["k"] = node("ImageBatch", image1=["i", 0], image2=["j", 0])
    graph["s"] = node("SaveAnimatedPNG", images=["k", 0], fps=8.0, filename_prefix="n")
    entry = await newer.ended(await newer.post(graph))
    (file,) = entry["outputs"]["s"]["images"]
    content = (await newer.http.get("/view", params=file)).content
    with Image.open(io.BytesIO(content)) as picture:
        assert getattr(picture, "n_frames", 1) > 1


async def test_savers_of_models_tell_nothing(newer: Prompts) -> None:
    saving = node("CheckpointSave", model=["c", 0], filename_prefix="m")
    entry = await newer.ended(await newer.post({**FRAMES, "s": saving}))
    assert (entry["outputs"], entry["status"]["status_str"]) == ({}, "success")


@pytest.mark.parametrize(
    ("way", "values", "size"),
    [
        ("scale dimensions", {"width": 40, "height": 0, "crop": "disabled"}, (40, 20)),
        ("scale dimensions", {"width": 10, "height": 10, "crop": "center"}, (10, 10)),
        ("scale by multiplier", {"multiplier": 0.5}, (8, 4)),
        ("scale longer dimension", {"longer_size": 64}, (64, 32)),
        ("scale shorter dimension", {"shorter_size": 64}, (128, 64)),
        ("scale width", {"width": 4}, (4, 2)),
        ("scale total pixels", {"megapixels": 0.0078125}, (128, 64)),
        ("match size", {"match": ["b", 0]}, (30, 20)),
        ("scale to multiple", {"multiple": 5}, (15, 5)),
    ],
)
@pytest.mark.parametrize("of", ["i", "m"])
async def test_resizing_of_pictures_and_masks(
    of: str, way: str, values: dict[str, Any], size: tuple[int, int], newer: Prompts
) -> None:
    inputs = {f"resize_type.{name}": value for name, value in values.items()}
    inputs |= {"input": [of, 0], "resize_type": way, "scale_method": "area"}
    graph = {**FRAMES, "r": node("ResizeImageMaskNode", **inputs)}
    graph["b"] = node("EmptyImage", width=30, height=20, batch_size=1, color=0)
    graph["p"] = node("SomebodysPassage", value=["r", 0])
    graph["s"] = node("MaskPreview", mask=["p", 0])
    if of == "i":
        graph["s"] = node("PreviewImage", images=["p", 0])
    entry = await newer.ended(await newer.post(graph))
    assert entry["status"]["status_str"] == "success", entry["status"]
    files = entry["outputs"]["s"]["images"]
    assert len(files) == (3 if of == "i" else 1)
    content = (await newer.http.get("/view", params=files[0])).content
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.size == size


async def test_a_growing_batch_has_all_pictures(newer: Prompts) -> None:
    graph = {**FRAMES, "b": node("EmptyImage", width=30, height=20, batch_size=2, color=0)}
    graph["n"] = node("BatchImagesNode", **{"images.image0": ["i", 0], "images.image1": ["b", 0]})
    graph["s"] = node("PreviewImage", images=["n", 0])
    entry = await newer.ended(await newer.post(graph))
    assert len(entry["outputs"]["s"]["images"]) == 5
