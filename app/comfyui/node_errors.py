"""Normalization of `node_errors` in ComfyUI's answers. Pure."""

import re
from typing import Any

from app.comfyui import wire
from app.comfyui.cleaning import cut, fitting, name_of
from app.errors import PromptRejected
from app.limits import text_lengths
from app.limits.json_types import Json

ROOM = 200_000  # characters of node_errors that are kept
DETAIL = 500  # characters of one error in a sentence
_NOT_THERE = re.compile(r"Cannot execute because node (.+) does not exist\.")


def sound_errors(value: Any) -> Json:
    """Return the errors by node, in a fixed shape and limited in size.

    The shape is {"class_type": text, "errors": [{"message": text, "details": text, ...}]}.
    """
    nodes = value if isinstance(value, dict) else {}
    found: Json = {}
    for node_id, node in nodes.items():
        if isinstance(node, dict):
            faults = node.get("errors")
            faults = faults if isinstance(faults, list) else []
            kept = [fault for fault in faults if isinstance(fault, dict)]
            found[name_of(node_id)] = {**node, "errors": kept}
    sound = fitting(found, ROOM)
    return {
        node_id: {"errors": [], **node} for node_id, node in sound.items() if isinstance(node, dict)
    }


def rejection(body: bytes, address: str) -> PromptRejected:
    """Return the exception for ComfyUI's refusal of a prompt.

    The reason is taken from node_errors, as `details` of the error itself is often empty.
    """
    try:
        answer = wire.loads(body)
        error = answer.get("error") or {}
        error = {"message": error} if isinstance(error, str) else error
        node_errors = sound_errors(answer.get("node_errors"))
        said = "; ".join([str(error.get("message") or "no reason given"), *_faults(node_errors)])
        kind = str(error.get("type") or "")
    except (ValueError, AttributeError):
        said, node_errors, kind, error = body.decode(errors="replace")[:DETAIL], {}, "", {}
    said = cut(f"ComfyUI at {address} refused the prompt: {said}", text_lengths.MESSAGE)
    refusal = PromptRejected(
        said, node_errors=node_errors, reason=cut(kind, text_lengths.CLASS_TYPE)
    )
    refusal.class_type = _missing_type(error)
    return refusal


def _missing_type(error: Json) -> str | None:
    """Return the missing node type named in an error of ComfyUI, before or since 0.4."""
    about = error.get("extra_info")
    named = about.get("class_type") if isinstance(about, dict) else None
    if isinstance(named, str):
        return named if error.get("type") == "missing_node_type" else None
    found = _NOT_THERE.fullmatch(str(error.get("message")))
    return found[1] if found else None


def _faults(node_errors: Json) -> list[str]:
    """Return the first error of each of the first three nodes as text."""
    said = []
    for node_id, node in list(node_errors.items())[:3]:
        fault = (node.get("errors") or [{}])[0]
        text = f"{fault.get('message')} ({fault.get('details')})"
        said.append(f"node {node_id} ({node.get('class_type')}): {text}")
    return said
