"""Savers of animations, videos, sound, drawings and meshes. Of what Pillow cannot write there is
no more than a head, by which one tells what it is."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fake_comfyui.background import compute
from fake_comfyui.nodes.call import Call, Implementation, Result
from fake_comfyui.nodes.saving import next_file, saved, temporary
from fake_comfyui.nodes.values import Mask, Opaque, Pictures

_FLAC_INFO = b"\x10\x00\x10\x00" + bytes(6) + b"\x0a\xc4\x42\xf0" + bytes(20)
_MP3_FRAME = b"\xff\xfb\x90\x00" + bytes(413)  # silence
_OPUS_HEAD = b"OpusHead\x01\x02\x00\x00\x80\xbb\x00\x00\x00\x00\x00"


def _mesh() -> bytes:
    content = json.dumps({"asset": {"version": "2.0"}}).encode()
    content += b" " * (-len(content) % 4)
    chunk = struct.pack("<I4s", len(content), b"JSON") + content
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunk)) + chunk


_HEADS: Mapping[str, bytes] = MappingProxyType(
    {
        "mp4": b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41",
        "webm": b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm",
        "flac": b"fLaC\x80\x00\x00\x22" + _FLAC_INFO,
        "mp3": _MP3_FRAME * 38,
        "opus": b"OggS\x00\x02" + bytes(20) + b"\x01\x13" + _OPUS_HEAD,
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>',
        "glb": _mesh(),
    }
)


def _written(
    call: Call, extension: str, *, kind: str = "output", size: tuple[int, int] = (0, 0)
) -> list[dict[str, str]]:
    prefix = temporary() if kind == "temp" else _prefix(call)
    path, entry = next_file(call, kind, prefix, extension, size)
    path.write_bytes(_HEADS[extension])
    return [entry]


def _prefix(call: Call) -> str:
    prefix = call.inputs.get("filename_prefix")
    return prefix if isinstance(prefix, str) and prefix else "ComfyUI"


async def save_animated_png(call: Call) -> Result:
    """One file of all pictures."""
    pictures = call.pictures("images")
    width, height = pictures.size
    path, entry = next_file(call, "output", _prefix(call), "png", pictures.size)
    duration = int(1000 / call.get("fps", float))

    def write() -> None:
        first, *others = pictures.frames
        first.save(path, "PNG", save_all=True, append_images=others, duration=duration)

    await compute(width * height * len(pictures.frames), write)
    return Result((pictures,), {"images": [entry], "animated": [True]})


def save_webm(call: Call) -> Result:
    pictures = call.pictures("images")
    return Result((pictures,), _animated(call, "webm", pictures.size))


def _animated(call: Call, extension: str, size: tuple[int, int] = (0, 0)) -> dict[str, Any]:
    return {"images": _written(call, extension, size=size), "animated": [True]}


def create_video(call: Call) -> Result:
    return Result((Opaque("VIDEO", call.pictures("images")),))


def _sound(extension: str, kind: str = "output") -> Implementation:
    def save(call: Call) -> Result:
        return Result((call.inputs["audio"],), {"audio": _written(call, extension, kind=kind)})

    return save


def save_sound(call: Call) -> Result:
    """The format is the caller's."""
    extension = call.inputs.get("format")
    extension = extension if extension in ("mp3", "opus") else "flac"
    return Result((call.inputs["audio"],), {"audio": _written(call, extension)})


async def compare(call: Call) -> Result:
    """Either picture may be missing."""
    ui: dict[str, Any] = {"a_images": [], "b_images": []}
    for letter in "ab":
        if f"image_{letter}" in call.inputs:
            pictures = call.pictures(f"image_{letter}")
            ui[f"{letter}_images"] = await saved(call, pictures, "temp", temporary())
    return Result((), ui)


async def shown(call: Call) -> dict[str, Any] | None:
    """The `ui` of an output node that is not known, by what it is given; None if that is nothing
    that ComfyUI tells of: models, latents, data sets."""
    kind = "temp" if "preview" in call.class_type.lower() else "output"
    for value in call.inputs.values():
        if isinstance(value, Pictures | Mask):
            pictures = Pictures(tuple(frame.convert("RGB") for frame in value.frames))
            prefix = temporary() if kind == "temp" else _prefix(call)
            return {"images": await saved(call, pictures, kind, prefix)}
        key, extension = _FILES.get(value.kind, ("", "")) if isinstance(value, Opaque) else ("", "")
        if key:
            animated = {"animated": [True]} if extension == "mp4" else {}
            return {key: _written(call, extension, kind=kind), **animated}
    return None


# Under which key `ui` lists what becomes of a kind of value, and its extension.
_FILES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "VIDEO": ("images", "mp4"),
        "AUDIO": ("audio", "flac"),
        "SVG": ("images", "svg"),
        "MESH": ("3d", "glb"),
        "FILE_3D": ("3d", "glb"),
        "FILE_3D_GLB": ("3d", "glb"),
    }
)

MEDIA: Mapping[str, Implementation] = MappingProxyType(
    {
        "SaveAnimatedPNG": save_animated_png,
        "SaveWEBM": save_webm,
        "CreateVideo": create_video,
        "SaveAudio": _sound("flac"),
        "SaveAudioMP3": _sound("mp3"),
        "SaveAudioOpus": _sound("opus"),
        "SaveAudioAdvanced": save_sound,
        "PreviewAudio": _sound("flac", "temp"),
        "ImageCompare": compare,
    }
)
