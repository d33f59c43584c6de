"""Detection of workflow formats, and extraction of the graph from JSON. Pure."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, TypeGuard

from app.errors import WorkflowFormatUnsupported
from app.limits.json_types import Json

RUN_MARK = "_run"  # an input that app/runner/cache_marks.py adds before sending
_MARK = re.compile(r"[0-9a-f]{16}(-\d+)?")
MAX_WRAPPINGS = 4  # {"workflow": {<prompt id>: {"prompt": [1, "id", <graph>, ...]}}} has three


class Format(StrEnum):
    API = "api"
    UI = "ui"


def is_api(value: Any) -> TypeGuard[Json]:
    """Return whether the value is in API format, `{node_id: {"class_type", "inputs"}}`.

    One valid node is enough: errors of other nodes are reported per node.
    """
    return isinstance(value, dict) and any(
        isinstance(node, dict) and "class_type" in node for node in value.values()
    )


def is_ui(value: Any) -> TypeGuard[Json]:
    """Return whether the value is in UI format: `{"nodes": [...], "links": [...], ...}`."""
    return isinstance(value, dict) and isinstance(value.get("nodes"), list)


def unwrap(value: Any) -> tuple[Format, Json]:
    """Return the format and the graph of a file's or a body's JSON.

    Accepts both formats, and the wrappings of ComfyUI and its tools: `{"workflow": ...}`, the body
    `{"prompt": ...}`, items of the queue, and entries of the history. If both formats are found,
    the API format is used. Raises WorkflowFormatUnsupported, which describes the value.
    """
    ui: Json | None = None
    for candidate in _candidates(value, MAX_WRAPPINGS):
        if is_api(candidate):
            return Format.API, _unmarked(candidate)
        if ui is None and is_ui(candidate):
            ui = candidate
    if ui is not None:
        return Format.UI, ui
    raise WorkflowFormatUnsupported(
        f"This is not a ComfyUI workflow: {describe(value)}.",
        hint="Send the JSON that ComfyUI saves with Workflow > Export (API): an object of nodes, "
        'each with "class_type" and "inputs".',
    )


def _unmarked(prompt: Json) -> Json:
    """Return a prompt from an image or a history without the marks that the gateway added."""
    return prompt | {
        node_id: {**node, "inputs": {k: v for k, v in node["inputs"].items() if k != RUN_MARK}}
        for node_id, node in prompt.items()
        if isinstance(node, dict)
        and isinstance(inputs := node.get("inputs"), dict)
        and isinstance(mark := inputs.get(RUN_MARK), str)
        and _MARK.fullmatch(mark)
    }


def _candidates(value: Any, wrappings: int) -> Iterator[Any]:
    yield value
    if wrappings and not is_api(value) and not is_ui(value):
        for inner in _wrapped(value):
            yield from _candidates(inner, wrappings - 1)


def _wrapped(value: Any) -> Iterator[Any]:
    """Yield the values one level down that may be a workflow."""
    if isinstance(value, dict):
        yield value.get("prompt")
        yield value.get("workflow")
        yield _in_extra_data(value.get("extra_data"))
        if len(value) == 1 and _is_history(value):
            yield from value.values()
    elif isinstance(value, list) and len(value) >= 3 and isinstance(value[1], str):
        yield value[2]  # [number, prompt id, graph, extra data, outputs]
        yield _in_extra_data(value[3] if len(value) > 3 else None)


def _is_history(value: Json) -> bool:
    """Return whether the value is an answer of ComfyUI's GET /history.

    `{prompt_id: {"prompt": [...], "outputs": ..., "status": ...}}`
    """
    return bool(value) and all(
        isinstance(entry, dict) and isinstance(entry.get("prompt"), list)
        for entry in value.values()
    )


def _in_extra_data(extra_data: Any) -> Any:
    """Return the UI-format workflow in extra_data.extra_pnginfo.workflow, if any."""
    return picture_info(extra_data).get("workflow")


def picture_info(extra_data: Any) -> Json:
    """Return extra_data.extra_pnginfo, which ComfyUI writes into images besides the prompt."""
    info = extra_data.get("extra_pnginfo") if isinstance(extra_data, dict) else None
    return info if isinstance(info, dict) else {}


def page_file(value: Any) -> Json | None:
    """Return the UI-format workflow in a file's or a body's JSON, or next to it, or None."""
    return next(filter(is_ui, _candidates(value, MAX_WRAPPINGS)), None)


def with_page(prompt: Json, page: Json | None) -> Json:
    """Return an API-format graph with the UI-format file, as in the body of POST /prompt."""
    if page is None:
        return prompt
    return {"prompt": prompt, "extra_data": {"extra_pnginfo": {"workflow": page}}}


def describe(value: Any) -> str:
    """Describe a JSON value in a few words, for error messages."""
    if isinstance(value, dict):
        return _describe_object(value)
    if isinstance(value, list):
        return f"an array of {len(value)} items"
    names = {str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _describe_object(value: Json) -> str:
    if not value:
        return "an empty object"
    if len(value) > 1 and _is_history(value):
        return f"a history of {len(value)} prompts, where one is wanted"
    keys = ", ".join(repr(str(key)[:30]) for key in list(value)[:5])
    return f"an object with the keys {keys}" + (" ..." if len(value) > 5 else "")
