"""What a node's `ui` output means: files on the server, or text. Pure."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from app.comfyui.cleaning import cut, name_of
from app.limits import text_lengths

FILES = ("images", "animated", "audio", "video", "gifs", "3d", "latents")  # keys of files alone
FOLDER_TYPES = ("output", "temp", "input")
MAX_LOOSE_TEXT = 100_000  # characters; longer strings under strange keys are data, not texts
MOST_ITEMS = 256  # single characters that may be a list; more are a text
# The core's 3D previews name their file as a string under `result`, below the output folder.
_MODEL = re.compile(r"\.(glb|gltf|obj|fbx|stl|ply|usdz|splat|spz|ksplat)\Z")
_MODEL_PATH = re.compile(rf"[^\x00-\x1f:]{{1,500}}{_MODEL.pattern}")


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
    text, under any key; so are those in lists in these. Any other object or list with a text in it
    is its JSON. Numbers, flags and what holds nothing else are the page's own business, beside
    other results; of a node that has none they are what it has to show.
    """
    node_id, told = name_of(node_id), output or {}
    return list(_found(node_id, told)) or list(_found(node_id, told, plain=True))


def _found(node_id: str, output: dict[str, Any], *, plain: bool = False) -> Iterator[Result]:
    """`plain`: numbers count, too."""
    texts: Counter[str] = Counter()  # of the node so far
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
    """The texts among these, and which of them are items of what may be a split text."""
    may_be_split = _may_be_split(items)
    if may_be_split:
        yield "".join(items), False
    if may_be_split and (len(items) > MOST_ITEMS or any(item.isspace() for item in items)):
        return
    texts = [text for item in items for text in _texts_in(item, plain=plain)]
    keeps_empty = key == "text" or any(texts)  # an empty one keeps its place in a list of texts
    for text in texts:
        if (text or keeps_empty) and (key == "text" or len(text) <= MAX_LOOSE_TEXT):
            yield text, may_be_split


def _texts_in(item: Any, *, plain: bool) -> list[str]:
    """The texts that an item stands for; `plain`: numbers are, too."""
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
    except RecursionError:  # nested deeper than anybody would read
        return []


def _in_lists(items: list[Any]) -> Iterator[Any]:
    """The items, and those of lists among them in their places."""
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
    for item in filter(_is_file, _in_lists(items)):
        name, subfolder, folder = item["filename"], item.get("subfolder") or "", item.get("type")
        if fault := _fault(name, subfolder):
            yield LostResult(node_id, key, cut(name, text_lengths.FILENAME), fault)
        elif name:
            folder = folder if folder in FOLDER_TYPES else "output"
            yield FileResult(node_id, key, name, subfolder, folder)


def _fault(name: str, subfolder: Any) -> str | None:
    """Why a file of this name cannot be had, if it cannot."""
    if not isinstance(subfolder, str):
        return "ComfyUI names no folder that it is in."
    for text, what, most in (
        (name, "name", text_lengths.FILENAME),
        (subfolder, "subfolder", text_lengths.SUBFOLDER),
    ):
        if len(text) > most:
            return f"Its {what} has {len(text)} characters; {most} can be kept."
    return None
