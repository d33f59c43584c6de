"""What a node's `ui` output means: files on the server, or text. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

FOLDER_TYPES = ("output", "temp", "input")


@dataclass(frozen=True, slots=True)
class FileResult:
    """A file as `GET /view` wants it named."""

    node_id: str
    key: str  # where the node put it: images, audio, gifs, ... (videos stand under images too)
    filename: str
    subfolder: str
    type: str

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.type, self.subfolder, self.filename


@dataclass(frozen=True, slots=True)
class TextResult:
    node_id: str
    key: str
    text: str


Result = FileResult | TextResult


def results_of(node_id: str, output: dict[str, Any] | None) -> list[Result]:
    """The results in one node's output, whatever keys it used, in order.

    Values are lists by convention only, and elements need not be files: what is neither a file
    nor text is left out.
    """
    found: list[Result] = []
    for key, value in (output or {}).items():
        if key == "text":
            found.extend(_texts(node_id, key, value))
        else:
            found.extend(_files(node_id, key, value))
    return found


def _texts(node_id: str, key: str, value: Any) -> Iterator[TextResult]:
    values = value if isinstance(value, list) else [value]
    texts = [item for item in values if isinstance(item, str)]
    if len(texts) > 1 and all(len(text) <= 1 for text in texts):
        # A node returned a string instead of a list: ComfyUI split it into characters.
        texts = ["".join(texts)]
    for text in texts:
        yield TextResult(node_id, key, text)


def _files(node_id: str, key: str, value: Any) -> Iterator[FileResult]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict) and isinstance(item.get("filename"), str) and item["filename"]:
            folder = item.get("type")
            yield FileResult(
                node_id,
                key,
                item["filename"],
                str(item.get("subfolder") or ""),
                folder if folder in FOLDER_TYPES else "output",
            )
