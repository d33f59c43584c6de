"""Refusal of file names that are impossible on any file system, before a prompt is queued. Pure."""

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from app.errors import InvalidParameter, InvalidWorkflow
from app.limits.json_types import Json
from app.limits.quoting import quoted
from app.workflows.checks.prompt import MAX_FAULTS, fault, needed_by_outputs
from app.workflows.parameters.model import names_file
from app.workflows.references.assets import is_reference

MAX_COMPONENT = 255  # bytes of a path component, on all common file systems
MAX_PATH = 4096  # bytes of a path
FORMS = (
    'A file input takes the name of a file or an upload, {"upload": NAME}, an http(s) URL, a data: '
    'URI, {"base64": ..., "filename": ...}, or a result: {"task_id": ..., "filename": ...}.'
)
PREFIX = "filename_prefix"  # input with the prefix of result names
_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_SEPARATORS = re.compile(r"[/\\]")


def fault_of(name: str) -> str | None:
    """Return why no file can have this path; None if one can."""
    if len(name) > MAX_PATH or (size := len(name.encode(errors="replace"))) > MAX_PATH:
        return f"has {len(name)} characters: the name of a file has {MAX_PATH} bytes at most"
    if _CONTROL.search(name):
        return "holds control characters, or half of a character: no file is named so"
    if size > MAX_COMPONENT:
        longest = max(len(part.encode()) for part in _SEPARATORS.split(name))
        if longest > MAX_COMPONENT:
            return f"has {longest} bytes: the name of a file has {MAX_COMPONENT} at most"
    return None


def check_name(label: str, value: str) -> None:
    """Raise InvalidParameter for an impossible file name; `label` names the parameter."""
    if why := fault_of(value):
        raise InvalidParameter(
            f"Parameter {quoted(label)} names a file, and {quoted(value)} {why}.",
            hint=FORMS,
            parameter=label,
        )


def check_names(prompt: Json, object_info: Mapping[str, Json]) -> list[str]:
    """Raise InvalidWorkflow, with node_errors, for impossible file names in a checked prompt.

    Returns warnings for nodes that no output needs, as ComfyUI does not run these.
    """
    errors: Json = {}
    unused: list[str] = []
    found_names = _unusable(prompt, object_info)
    if (first := next(found_names, None)) is None:
        return unused
    needed = needed_by_outputs(prompt, object_info)
    for node_id, name, message in chain([first], found_names):
        if node_id in needed and len(errors) < MAX_FAULTS:
            class_type = prompt[node_id]["class_type"]
            found = errors.setdefault(node_id, {"class_type": class_type, "errors": []})
            found["errors"].append(fault("unusable_file_name", message, name))
        elif node_id not in needed and len(unused) < MAX_FAULTS:
            unused.append(f"Node {quoted(node_id)}: {message} No output needs the node.")
    for node_id, found in errors.items():
        detail = f"Node {quoted(node_id)}: {found['errors'][0]['message']}"
        raise InvalidWorkflow(detail, hint=FORMS, node_errors=errors)
    return unused


def _unusable(prompt: Json, object_info: Mapping[str, Json]) -> Iterator[tuple[str, str, str]]:
    """Yield (node id, input, message) for each impossible name."""
    for node_id, node in prompt.items():
        for name, value in node["inputs"].items():
            if name == PREFIX and isinstance(value, str) and (why := _fault_of_prefix(value)):
                yield node_id, name, f"Input {quoted(name)}: {quoted(value)} {why}."
            elif (why := _fault_of_value(value)) and names_file(node, name, object_info):
                yield node_id, name, f"Input {quoted(name)} names a file, and {why}."


def _fault_of_value(value: Any) -> str | None:
    # "__value__" is ComfyUI's wrapping of a list.
    if isinstance(value, dict) and "__value__" not in value and not is_reference(value):
        return "the object there is none of the forms in which one can be given"
    why = fault_of(value) if isinstance(value, str) else None
    return why and f"{quoted(value)} {why}"


def _fault_of_prefix(text: str) -> str | None:
    """Return why no name can start with this prefix; what the server fills in may shorten it."""
    if "\0" in text:
        return "holds a NUL character: no file is named so"
    return fault_of(text) if len(text.encode(errors="replace")) > MAX_PATH else None
