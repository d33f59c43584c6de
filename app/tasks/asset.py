"""Assets: files by id, as in Comfy API v2. Pure.

Uploads have records. Results of tasks have none: their ids are derived from the task and output.
"""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from blake3 import blake3

if TYPE_CHECKING:
    from app.tasks.model import Output

TEXT_TYPE = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file and the location of its bytes: `upload`, `key` or `text`.

    Times are Unix timestamps; `expires_at` None: never. `hash` is "blake3:<hex>".
    """

    asset_id: str
    hash: str | None
    size_bytes: int
    content_type: str
    file_path: str | None
    created_at: float
    expires_at: float | None = None
    job_id: str | None = None  # the task that it is a result of
    upload: str | None = None  # name in the uploads of `owner`
    key: str | None = None  # key in the store of results
    text: str | None = field(default=None, repr=False)  # the content itself
    owner: str | None = None  # the API key that created it

    @property
    def filename(self) -> str:
        return (self.file_path or self.upload or self.asset_id).rsplit("/", 1)[-1]


def output_id(task_id: str, output: "Output") -> str:
    """Return the asset id of a task's result, which is deterministic."""
    copy = (output.copy,) if output.copy else ()
    said = json.dumps([task_id, *output.identity, *copy])
    return str(uuid5(NAMESPACE_URL, f"comfyui-gateway:{said}"))


def text_hash(text: str) -> str:
    return f"blake3:{blake3(encoded(text)).hexdigest()}"


def encoded(text: str) -> bytes:
    """Encode a text; lone surrogates, which JSON may contain, become question marks."""
    return text.encode("utf-8", "replace")


def text_name(node_id: str) -> str:
    return f"node{node_id}.txt"
