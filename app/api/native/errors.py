"""Errors in the form of ComfyUI: {"error": {...}, "node_errors": {}}. Pure.

They are derived from the problem documents of the other routes. ComfyUI has this form for refused
prompts (execution.py, `validate_prompt`); clients show what they find there, so it is that of each
error, whatever its status.
"""

from typing import Any

from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from app.api.native.replies import MEDIA_TYPE
from app.errors import InvalidRequest
from app.limits.json_types import Json

# ComfyUI's words. Other errors have the gateway's code.
OUTPUTS_FAILED = "prompt_outputs_failed_validation"
_FAULTY = ("invalid_workflow", "invalid_parameter")
_REFUSAL = 400  # what ComfyUI has in place of 422


class ErrorJson(TypedDict):
    type: str
    message: str
    details: str
    extra_info: Json


class ErrorEnvelope(TypedDict):
    """Every error of ComfyUI's own routes."""

    error: ErrorJson
    node_errors: Json


def refused(word: str, message: str, details: str = "", **extra_info: Any) -> InvalidRequest:
    """Return an error with ComfyUI's own word for it, such as "no_prompt", and status 400."""
    return InvalidRequest(message, hint=details, word=word, extra_info=extra_info)


def response(problem: Json, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the answer for a problem document.

    It has no WWW-Authenticate: without a challenge browsers never keep a password, and clients
    that need Basic send it unasked.
    """
    status: int = problem["status"]
    sent = {name: value for name, value in (headers or {}).items() if name != "WWW-Authenticate"}
    if problem.get("request_id"):
        sent["X-Request-Id"] = str(problem["request_id"])
    code = _REFUSAL if status == 422 else status
    return JSONResponse(envelope(problem), code, sent, media_type=MEDIA_TYPE)


def envelope(problem: Json) -> ErrorEnvelope:
    """Return a problem document as ComfyUI's error."""
    nodes = {node_id: _node(node) for node_id, node in (problem.get("node_errors") or {}).items()}
    code = str(problem["code"])
    word = OUTPUTS_FAILED if nodes and code in _FAULTY else code
    return {
        "error": {
            "type": str(problem.get("word") or word),
            "message": str(problem["detail"]),
            "details": str(problem.get("hint") or ""),
            "extra_info": dict(problem.get("extra_info") or {}),
        },
        "node_errors": nodes,
    }


def _node(node: Json) -> Json:
    """Return the errors of a node with all members that ComfyUI tells."""
    return {
        "errors": [_fault(fault) for fault in node.get("errors", ())],
        "dependent_outputs": list(node.get("dependent_outputs", ())),
        "class_type": str(node.get("class_type", "")),
    }


def _fault(fault: Json) -> Json:
    texts = {name: str(fault.get(name) or "") for name in ("type", "message", "details")}
    return {**texts, "extra_info": fault.get("extra_info") or {}}
