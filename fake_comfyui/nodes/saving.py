"""Output nodes: files, previews, and pictures over the WebSocket."""

from __future__ import annotations

import json
import random
import string
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from PIL.PngImagePlugin import PngInfo

from fake_comfyui.background import compute
from fake_comfyui.folders import OutsideFolder
from fake_comfyui.nodes.call import Call, Implementation, NodeFailure, Result
from fake_comfyui.nodes.values import Latent, Picture, Pictures
from fake_comfyui.pictures import encoded


async def save_image(call: Call) -> Result:
    pictures = call.pictures("images")
    images = await saved(call, pictures, "output", call.get("filename_prefix", str, "ComfyUI"))
    return Result((pictures,), {"images": images})


async def preview_image(call: Call) -> Result:
    pictures = call.pictures("images")
    return Result((pictures,), {"images": await saved(call, pictures, "temp", temporary())})


def temporary() -> str:
    """A prefix for files that are only looked at."""
    letters = "".join(random.choices(string.ascii_lowercase, k=5))
    return f"ComfyUI_temp_{letters}"


async def saved(call: Call, pictures: Pictures, kind: str, prefix: str) -> list[dict[str, str]]:
    """Write a batch of PNGs; how `ui` lists them."""
    width, height = pictures.size
    text = _png_text(call)
    files = []
    for place, frame in enumerate(pictures.frames):
        named = prefix.replace("%batch_num%", str(place))
        path, entry = next_file(call, kind, named, "png", (width, height))
        await compute(width * height, _write, frame, path, text)
        files.append(entry)
    return files


def _write(picture: Picture, path: Path, text: PngInfo) -> None:
    picture.save(path, "PNG", pnginfo=text, compress_level=1)


def _png_text(call: Call) -> PngInfo:
    """ComfyUI keeps the graph and every key of extra_pnginfo in the file."""
    info = PngInfo()
    info.add_text("prompt", json.dumps(call.graph))
    extra = call.extra_data.get("extra_pnginfo")
    for key, value in extra.items() if isinstance(extra, dict) else ():
        info.add_text(key, json.dumps(value))
    return info


def next_file(
    call: Call, kind: str, prefix: str, extension: str, size: tuple[int, int] = (0, 0)
) -> tuple[Path, dict[str, str]]:
    """Where a file goes, and how `ui` lists it."""
    for token, value in _tokens(size).items():
        prefix = prefix.replace(token, value)
    try:
        folder, stem, counter = call.folders.next_file(kind, prefix)
    except OutsideFolder as error:
        message = f"The prefix {prefix!r} leads outside of the {kind} folder"
        raise NodeFailure("Exception", message) from error
    unmarked = extension in _SOUNDS and call.version.jobs_api
    name = f"{stem}_{counter:05}{'' if unmarked else '_'}.{extension}"
    entry = {
        "filename": name,
        "subfolder": call.folders.subfolder(kind, folder),
        "type": kind,
    }
    return folder / name, entry


# Newer servers leave the last underscore out of their names.
_SOUNDS = ("flac", "mp3", "opus")


def _tokens(size: tuple[int, int]) -> dict[str, str]:
    now = time.localtime()
    parts = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "minute": "%M", "second": "%S"}
    tokens = {f"%{word}%": time.strftime(form, now) for word, form in parts.items()}
    return {**tokens, "%width%": str(size[0]), "%height%": str(size[1])}


async def send_images(call: Call) -> Result:
    """SaveImageWebsocket: the PNGs go out as binary frames, to nowhere else."""
    images = [encoded(frame, "PNG") for frame in call.pictures("images").frames]
    await call.report.results(call.node_id, images)
    return Result()


async def save_webp(call: Call) -> Result:
    pictures = call.pictures("images")
    prefix = call.get("filename_prefix", str)
    path, entry = next_file(call, "output", prefix, "webp", pictures.size)
    options = {
        "save_all": True,
        "append_images": pictures.frames[1:],
        "duration": int(1000 / call.get("fps", float)),
        "lossless": call.get("lossless", bool),
        "quality": call.get("quality", int),
        "method": 0,
    }
    width, height = pictures.size

    def write() -> None:
        pictures.frames[0].save(path, "WEBP", **options)

    await compute(width * height * len(pictures.frames), write)
    return Result((pictures,), {"images": [entry], "animated": [len(pictures.frames) != 1]})


def save_latent(call: Call) -> Result:
    """A safetensors file with nothing but metadata."""
    latent = call.get("samples", Latent)
    prefix = call.get("filename_prefix", str)
    path, entry = next_file(call, "output", prefix, "latent", (latent.width, latent.height))
    header = json.dumps({"__metadata__": {"prompt": json.dumps(call.graph)}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return Result((latent,), {"latents": [entry]})


def preview_any(call: Call) -> Result:
    text = as_text(call.inputs.get("source"))
    return Result((text,), {"text": (text,)})


def as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value)
    except TypeError:
        return f"{type(value).__name__}"


SAVING: Mapping[str, Implementation] = MappingProxyType(
    {
        "SaveImage": save_image,
        "PreviewImage": preview_image,
        "SaveImageWebsocket": send_images,
        "SaveAnimatedWEBP": save_webp,
        "SaveLatent": save_latent,
        "PreviewAny": preview_any,
    }
)
