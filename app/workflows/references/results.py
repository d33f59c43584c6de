"""References to results of tasks in inputs that name files. Pure.

A value may be `{"task_id": ..., "filename": ...}`, the `url` of a result, an asset or an upload,
relative or absolute, or `name [output]` in ComfyUI's own notation, whose first folder may be the
id of the task.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from app.errors import InvalidParameter
from app.files.staged_names import LONGEST, folder_named
from app.limits.json_types import Json
from app.workflows.parameters.model import names_file
from app.workflows.references.ids import as_stored, is_id

_FIELDS = {"task_id", "filename", "subfolder", "type", "node_id"}  # all optional except filename
_PATH = re.compile(r"/api/(?:image/([^/]+)|v2/assets/([^/]+)/content)$")
_VIEW = {"width", "height", "format", "quality", "metadata"}


@dataclass(frozen=True, slots=True)
class ResultRef:
    """A reference to a file of the gateway; unspecified fields are None.

    `host` and `below`, the path before that of the route, are of a URL, which may belong to another
    gateway or service. `asset_id` replaces all other fields. `is_name`: ComfyUI's notation, which
    may be a file that only a server knows.
    """

    filename: str = ""
    task_id: str | None = None
    subfolder: str | None = None
    type: str | None = None
    node_id: str | None = None
    asset_id: str | None = None
    host: str | None = None
    below: str = ""
    is_name: bool = False

    @property
    def is_by_id(self) -> bool:
        """Whether no other gateway has a file that is called the same."""
        return self.asset_id is not None or (self.task_id is not None and self.type != "input")


@dataclass(frozen=True, slots=True)
class OwnAddress:
    """Where the client of a request reaches the gateway: HOST:PORT, and the path below it."""

    host: str | None = None
    base_path: str = ""

    def has(self, ref: ResultRef) -> bool:
        """Return whether the reference leads here; one that is no URL does."""
        return ref.host in (None, self.host) and ref.below in ("", self.base_path)


ANYWHERE = OwnAddress()  # no client is known: only paths and ids are understood


def result_ref(value: Any) -> ResultRef | None:
    """Return the reference in a value; None if it is none.

    Raises InvalidParameter for a reference that is invalid.
    """
    if isinstance(value, dict):
        return _in_object(value)
    if not isinstance(value, str) or len(value) > LONGEST:
        return None
    if "/api/" in value and value.lower().startswith(("/", "http://", "https://")):
        return _in_url(value)
    if (folder := folder_named(value)) is None:
        return None
    subfolder, _, name = value[: value.rindex("[")].rstrip().replace("\\", "/").rpartition("/")
    first, _, rest = subfolder.partition("/")
    if is_id(first) and folder != "input":  # as clients of ComfyUI's own protocol are told files
        return ResultRef(name, as_stored(first), rest, folder, is_name=True)
    return ResultRef(name, subfolder=subfolder, type=folder, is_name=True)


def spellings(subfolder: str | None) -> Iterator[str | None]:
    """Yield a subfolder, and as servers on Windows tell it."""
    yield subfolder
    if subfolder and "/" in subfolder:
        yield subfolder.replace("/", "\\")


def _in_object(value: Json) -> ResultRef | None:
    if "filename" not in value or {"base64", "upload"} & value.keys():
        return None
    if isinstance(url := value.get("url"), str):  # a result in the format of task answers
        return result_ref(url)
    if value.keys() - _FIELDS or not all(isinstance(text, str | None) for text in value.values()):
        raise InvalidParameter(
            "This is no result: it has other fields, or values that are no texts.",
            hint='Write {"task_id": ..., "filename": ...}, with "subfolder", "type" or "node_id" '
            "where a task has several files of that name.",
        )
    task_id = value.get("task_id")
    return ResultRef(**{**value, "task_id": task_id and as_stored(task_id)})


def _in_url(value: str) -> ResultRef | None:
    try:
        parts = urlsplit(value)
        query = {name: texts[0] for name, texts in parse_qs(parts.query, max_num_fields=20).items()}
    except ValueError:
        return None
    found = _PATH.search(parts.path)
    if found is None or "server" in query:
        return None
    is_path = not (parts.scheme or parts.netloc)
    host, below = None if is_path else parts.netloc.lower(), parts.path[: found.start()]
    if found[2]:
        return ResultRef(asset_id=as_stored(unquote(found[2])), host=host, below=below)
    if _VIEW & query.keys():
        if parts.scheme:
            return None  # fetched like any other URL
        raise InvalidParameter(
            "A view of a result cannot be an input.",
            hint="Leave width, height, format and the like out of the URL.",
        )
    task_id, subfolder, type_ = (query.get(name) for name in ("task_id", "subfolder", "type"))
    task_id = task_id and as_stored(task_id)
    return ResultRef(unquote(found[1]), task_id, subfolder, type_, host=host, below=below)


def named_in(workflow: Any) -> bool:
    """Return whether any value in a workflow's JSON may be a reference."""
    stack = [workflow]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if len(item) <= LONGEST and (item.endswith("]") or "/api/" in item):
                return True
        elif isinstance(item, dict):
            if "filename" in item:
                return True
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return False


def results_in(
    prompt: Json, set_already: Collection[tuple[str, str]], object_info: Mapping[str, Json]
) -> Iterator[tuple[str, Any]]:
    """Yield the key and value of each file input with a reference that is not in `set_already`."""
    for node_id, node in prompt.items():
        for name, value in node["inputs"].items():
            if (
                isinstance(value, str | dict)
                and (node_id, name) not in set_already
                and names_file(node, name, object_info)
                and is_result(value)
            ):
                yield f"{node_id}.{name}", value


def is_result(value: Any) -> bool:
    """Return whether the value is a reference, valid or not."""
    try:
        return result_ref(value) is not None
    except InvalidParameter:  # reported later with the parameter's name
        return True
