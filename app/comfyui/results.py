"""What a node's `ui` output means: files on the server, or text. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from app import lengths
from app.comfyui.cleaning import cut, name_of

FOLDER_TYPES = ("output", "temp", "input")
MAX_LOOSE_TEXT = 100_000  # characters; longer strings under strange keys are data, not texts
# The core's 3D previews name their file as a string under `result`, below the output folder.
_MODEL_PATH = re.compile(r"[^\x00-\x1f:]{1,500}\.(glb|gltf|obj|fbx|stl|ply|usdz|splat|spz|ksplat)")


@dataclass(frozen=True, slots=True)
class FileResult:
    """A file as `GET /view` wants it named."""

    node_id: str
    key: str  # where the node put it: images, audio, gifs, ... (videos stand under images too)
    filename: str
    subfolder: str
    type: str
    optional: bool = False  # a guess: no fault if there is no such file

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.type, self.subfolder, self.filename


@dataclass(frozen=True, slots=True)
class TextResult:
    node_id: str
    key: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LostResult:
    """A file that cannot be had by the name that the node gave it, with the beginning of that."""

    node_id: str
    key: str
    filename: str
    reason: str


Result = FileResult | TextResult | LostResult


def results_of(node_id: str, output: dict[str, Any] | None) -> list[Result]:
    """The results in one node's output, whatever keys it used, in order.

    Values are lists by convention only. An object with a `filename` is a file and a string is a
    text, under any key; numbers, flags and other objects are the page's own business.
    """
    node_id = name_of(node_id)
    found: list[Result] = []
    for key, value in (output or {}).items():
        items = _items(value)
        if key == "result":
            found.extend(_named_models(node_id, key, items))
        else:
            found.extend(_texts(node_id, key, items))
        found.extend(_files(node_id, key, items))
    return found


def _items(value: Any) -> list[Any]:
    items = value if isinstance(value, list) else [value]
    if len(items) > 1 and all(isinstance(item, str) and len(item) <= 1 for item in items):
        # A node returned a string instead of a list: ComfyUI split it into characters.
        return ["".join(items)]
    return items


def _texts(node_id: str, key: str, items: list[Any]) -> Iterator[TextResult]:
    for item in items:
        if isinstance(item, str) and (key == "text" or 0 < len(item) <= MAX_LOOSE_TEXT):
            yield TextResult(node_id, key, cut(item, lengths.TEXT))


def _named_models(node_id: str, key: str, items: list[Any]) -> Iterator[FileResult]:
    for item in items:
        if not isinstance(item, str) or not _MODEL_PATH.fullmatch(item):
            continue
        subfolder, _, filename = item.replace("\\", "/").rpartition("/")
        if not subfolder.startswith("/") and ".." not in subfolder.split("/"):
            yield FileResult(node_id, key, filename, subfolder, "output", optional=True)


def _files(node_id: str, key: str, items: list[Any]) -> Iterator[FileResult | LostResult]:
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("filename"), str):
            continue
        name, subfolder, folder = item["filename"], item.get("subfolder") or "", item.get("type")
        if fault := _fault(name, subfolder):
            yield LostResult(node_id, key, cut(name, lengths.FILENAME), fault)
        elif name:
            folder = folder if folder in FOLDER_TYPES else "output"
            yield FileResult(node_id, key, name, subfolder, folder)


def _fault(name: str, subfolder: Any) -> str | None:
    """Why a file of this name cannot be had, if it cannot."""
    if not isinstance(subfolder, str):
        return "ComfyUI names no folder that it is in."
    for text, what, most in (
        (name, "name", lengths.FILENAME),
        (subfolder, "subfolder", lengths.SUBFOLDER),
    ):
        if len(text) > most:
            return f"Its {what} has {len(text)} characters; {most} can be kept."
    return None
