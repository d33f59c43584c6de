"""Interpretation of a node's `ui` output: files on the server, or texts. Pure."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from app.comfyui.cleaning import cut, name_of
from app.limits import text_lengths

# Keys that hold files only
FILES = ("images", "animated", "audio", "video", "gifs", "3d", "latents")
FOLDER_TYPES = ("output", "temp", "input")
MAX_LOOSE_TEXT = 100_000  # characters; longer strings under unknown keys are data, not texts
MOST_ITEMS = 256  # more single characters than this are a split text, not a list
# The core's 3D previews give their file as a string under `result`, relative to the output folder.
_MODEL = re.compile(r"\.(glb|gltf|obj|fbx|stl|ply|usdz|splat|spz|ksplat)\Z")
_MODEL_PATH = re.compile(rf"[^\x00-\x1f:]{{1,500}}{_MODEL.pattern}")


@dataclass(frozen=True, slots=True)
class FileResult:
    """A file, in the terms of `GET /view`."""

    node_id: str
    key: str  # the key in the output: images, audio, gifs, ... (videos may be under images)
    filename: str
    subfolder: str
    type: str
    optional: bool = False  # a guess: no error if the file does not exist
    copy: int = 0  # number of earlier occurrences in the same list

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.type, self.subfolder, self.filename


@dataclass(frozen=True, slots=True)
class TextResult:
    node_id: str
    key: str
    text: str = field(repr=False)
    copy: int = 0  # number of earlier equal texts of the node
    is_item: bool = False  # a single character of a list whose joined text precedes it


@dataclass(frozen=True, slots=True)
class LostResult:
    """A file whose name is unusable, with the beginning of that name."""

    node_id: str
    key: str
    filename: str
    reason: str
    copy: int = 0


Result = FileResult | TextResult | LostResult


def results_of(node_id: str, output: dict[str, Any] | None) -> list[Result]:
    """Return the results in a node's output in order, including equal ones.

    Equal texts are kept, so that the third text belongs to the third picture. Values are lists by
    convention only. Under any key, also in nested lists, an object with a `filename` is a file and
    a string is a text. Another object or list that contains a text becomes its JSON. Numbers, flags
    and empty values are meant for ComfyUI's page and left out, unless the node has no other result.
    """
    node_id, told = name_of(node_id), output or {}
    return list(_found(node_id, told)) or list(_found(node_id, told, plain=True))


def _found(node_id: str, output: dict[str, Any], *, plain: bool = False) -> Iterator[Result]:
    """`plain`: include numbers."""
    texts: Counter[str] = Counter()  # texts of the node so far
    for key, value in output.items():
        items = value if isinstance(value, list) else [value]
        if key == "result" and any(isinstance(i, str) and _MODEL.search(i) for i in items):
            yield from _named_models(node_id, key, items)
        else:
            yield from _texts(node_id, key, items, texts, plain=plain and key not in FILES)
        yield from _numbered(_files(node_id, key, items))


def _texts(
    node_id: str, key: str, items: list[Any], before: Counter[str], *, plain: bool
) -> Iterator[TextResult]:
    for text, is_item in _told(key, items, plain=plain or key == "text"):
        kept = cut(text, text_lengths.TEXT)
        yield TextResult(node_id, key, kept, before[kept], is_item)
        before[kept] += 1


def _told(key: str, items: list[Any], *, plain: bool) -> Iterator[tuple[str, bool]]:
    """Yield the texts, and whether each is an item of a possibly split text."""
    may_be_split = _may_be_split(items)
    if may_be_split:
        yield "".join(items), False
    if may_be_split and (len(items) > MOST_ITEMS or any(item.isspace() for item in items)):
        return
    texts = [text for item in items for text in _texts_in(item, plain=plain)]
    keeps_empty = key == "text" or any(texts)  # empty texts keep their place in a list
    for text in texts:
        if (text or keeps_empty) and (key == "text" or len(text) <= MAX_LOOSE_TEXT):
            yield text, may_be_split


def _texts_in(item: Any, *, plain: bool) -> list[str]:
    """Return the texts of an item; with `plain` also numbers."""
    if isinstance(item, str):
        return [item]
    leaves = list(_in_lists([item]))
    if (not item and item != 0) or any(_is_file(leaf) for leaf in leaves):
        return []
    if all(isinstance(leaf, str) for leaf in leaves):
        return leaves
    return _as_json(item) if plain or _holds_text(item) else []


def _as_json(value: Any) -> list[str]:
    try:
        return [json.dumps(value, ensure_ascii=False)]
    except RecursionError:  # too deeply nested
        return []


def _in_lists(items: list[Any]) -> Iterator[Any]:
    """Yield the items, with nested lists flattened in place."""
    open_lists = [iter(items)]
    while open_lists:
        for item in open_lists[-1]:
            if isinstance(item, list):
                open_lists.append(iter(item))
                break
            yield item
        else:
            open_lists.pop()


def _holds_text(value: Any) -> bool:
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str) and one:
            return True
        if isinstance(one, dict | list):
            left.extend(one.values() if isinstance(one, dict) else one)
    return False


def _is_file(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("filename"), str)


def _may_be_split(items: list[Any]) -> bool:
    """Return whether the items look like a string that ComfyUI split into characters.

    ComfyUI does so if a node returns a string in place of a list; a real list of single characters
    cannot be distinguished from it.
    """
    return len(items) > 1 and all(isinstance(item, str) and len(item) == 1 for item in items)


def _numbered(files: Iterable[FileResult | LostResult]) -> Iterator[FileResult | LostResult]:
    """Set `copy` of files that the list names repeatedly."""
    before: Counter[FileResult | LostResult] = Counter()
    for file in files:
        yield replace(file, copy=before[file]) if before[file] else file
        before[file] += 1


def _named_models(node_id: str, key: str, items: list[Any]) -> Iterator[FileResult]:
    for item in items:
        if path := model_path(item):
            yield FileResult(node_id, key, path[1], path[0], "output", optional=True)


def model_path(item: Any) -> tuple[str, str] | None:
    """Return (subfolder, filename) of a value under `result` that is the path of a 3D model."""
    if not isinstance(item, str) or not _MODEL_PATH.fullmatch(item):
        return None
    subfolder, _, filename = item.replace("\\", "/").rpartition("/")
    if subfolder.startswith("/") or ".." in subfolder.split("/"):
        return None
    return subfolder, filename


def _files(node_id: str, key: str, items: list[Any]) -> Iterator[FileResult | LostResult]:
    for item in filter(_is_file, _in_lists(items)):
        name, subfolder, folder = item["filename"], item.get("subfolder") or "", item.get("type")
        if fault := _fault(name, subfolder):
            yield LostResult(node_id, key, cut(name, text_lengths.FILENAME), fault)
        elif name:
            folder = folder if folder in FOLDER_TYPES else "output"
            yield FileResult(node_id, key, name, subfolder, folder)


def _fault(name: str, subfolder: Any) -> str | None:
    """Return why a file of this name cannot be fetched, or None."""
    if not isinstance(subfolder, str):
        return "ComfyUI names no folder that it is in."
    for text, what, most in (
        (name, "name", text_lengths.FILENAME),
        (subfolder, "subfolder", text_lengths.SUBFOLDER),
    ):
        if len(text) > most:
            return f"Its {what} has {len(text)} characters; {most} can be kept."
    return None
