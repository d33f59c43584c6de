"""Tell what kind of workflow file a JSON value is, and get the graph out of it. Pure."""

from enum import StrEnum
from typing import Any, TypeGuard

from app.errors import WorkflowFormatUnsupported

Json = dict[str, Any]


class Format(StrEnum):
    API = "api"
    UI = "ui"


def is_api(value: Any) -> TypeGuard[Json]:
    """`{node_id: {"class_type", "inputs"}}`. One node that looks right is enough: what is wrong
    with the others is then said node by node."""
    return isinstance(value, dict) and any(
        isinstance(node, dict) and "class_type" in node for node in value.values()
    )


def is_ui(value: Any) -> TypeGuard[Json]:
    """What the ComfyUI page saves: `{"nodes": [...], "links": [...], ...}`."""
    return isinstance(value, dict) and isinstance(value.get("nodes"), list)


def unwrap(value: Any) -> tuple[Format, Json]:
    """The graph and its format, out of a file's or a body's JSON.

    Understands the two formats as they are, and ComfyUI's own `{"prompt": ...}` body around the
    API format. Raises WorkflowFormatUnsupported, saying what was seen instead.
    """
    for candidate in (value, value.get("prompt") if isinstance(value, dict) else None):
        if is_api(candidate):
            return Format.API, candidate
        if is_ui(candidate):
            return Format.UI, candidate
    raise WorkflowFormatUnsupported(
        f"This is not a ComfyUI workflow: {describe(value)}.",
        hint="Send the JSON that ComfyUI saves with Workflow > Export (API): an object of nodes, "
        'each with "class_type" and "inputs".',
    )


def describe(value: Any) -> str:
    """What a JSON value looks like, in a few words, for error messages."""
    if isinstance(value, dict):
        if not value:
            return "an empty object"
        keys = ", ".join(repr(str(key)[:30]) for key in list(value)[:5])
        return f"an object with the keys {keys}" + (" ..." if len(value) > 5 else "")
    if isinstance(value, list):
        return f"an array of {len(value)} items"
    names = {str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")
