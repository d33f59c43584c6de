"""What a node's `ui` output means: files on the server, or text. Pure."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from app import lengths
from app.comfyui.cleaning import cut, name_of

FOLDER_TYPES = ("output", "temp", "input")
MAX_LOOSE_TEXT = 100_000  # characters; longer strings under strange keys are data, not texts
MOST_ITEMS = 256  # single characters that may be a list; more are a text
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
    copy: int = 0  # how often the same list names it before

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.type, self.subfolder, self.filename


@dataclass(frozen=True, slots=True)
class TextResult:
    node_id: str
    key: str
    text: str = field(repr=False)
    copy: int = 0  # how many equal ones of the node are before it
    is_item: bool = False  # of a list of single characters, whose joined text is before it


@dataclass(frozen=True, slots=True)
class LostResult:
    """A file that cannot be had by the name that the node gave it, with the beginning of that."""

    node_id: str
    key: str
    filename: str
    reason: str
    copy: int = 0


Result = FileResult | TextResult | LostResult


def results_of(node_id: str, output: dict[str, Any] | None) -> list[Result]:
    """The results in one node's output, whatever keys it used, in order, equal ones too: the third
    text belongs to the third picture.

    Values are lists by convention only. An object with a `filename` is a file and a string is a
    text, under any key; numbers, flags and other objects are the page's own business.
    """
    node_id = name_of(node_id)
    found: list[Result] = []
    texts: Counter[str] = Counter()  # of the node so far
    for key, value in (output or {}).items():
        items = value if isinstance(value, list) else [value]
        if key == "result":
            found.extend(_named_models(node_id, key, items))
        else:
            found.extend(_texts(node_id, key, items, texts))
        found.extend(_numbered(_files(node_id, key, items)))
    return found


def _texts(node_id: str, key: str, items: list[Any], before: Counter[str]) -> Iterator[TextResult]:
    for text, is_item in _told(key, items):
        kept = cut(text, lengths.TEXT)
        yield TextResult(node_id, key, kept, before[kept], is_item)
        before[kept] += 1


def _told(key: str, items: list[Any]) -> Iterator[tuple[str, bool]]:
    """The texts among these, and which of them are items of what may be a split text."""
    may_be_split = _may_be_split(items)
    if may_be_split:
        yield "".join(items), False
    if may_be_split and (len(items) > MOST_ITEMS or any(item.isspace() for item in items)):
        return
    # An empty one keeps its place in a list of texts.
    keeps_empty = key == "text" or any(item and isinstance(item, str) for item in items)
    for item in items:
        if key == "text" and isinstance(item, int | float):
            item = json.dumps(item)
        if not isinstance(item, str) or not (item or keeps_empty):
            continue
        if key == "text" or len(item) <= MAX_LOOSE_TEXT:
            yield item, may_be_split


def _may_be_split(items: list[Any]) -> bool:
    """A node that returns a string in place of a list has it split into characters by ComfyUI.
    What came of it looks like a list of single characters, and cannot be told from one."""
    return len(items) > 1 and all(isinstance(item, str) and len(item) == 1 for item in items)


def _numbered(files: Iterable[FileResult | LostResult]) -> Iterator[FileResult | LostResult]:
    """Those that the list names again count as copies."""
    before: Counter[FileResult | LostResult] = Counter()
    for file in files:
        yield replace(file, copy=before[file])
        before[file] += 1


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
