"""Errors in the format of Comfy API v2: `{"error": {"code", "message", "details"}}`.

They are derived from the problem documents of the other routes.
"""

from uuid import uuid4

from fastapi.responses import JSONResponse
from starlette.types import Scope
from typing_extensions import TypedDict

from app.limits.json_types import Json

PREFIX = "/api/v2"
V2_REQUEST_ID = "X-Comfy-Request-Id"
NOT_READY = 5  # seconds; Retry-After while no server is available
_STATE = "request_id"

# Codes of v2 itself; other errors get the code of their status.
_KEPT = frozenset(
    {
        *("blob_not_found", "hash_mismatch", "asset_in_use", "missing_asset", "metadata_invalid"),
        *("queue_full", "invalid_cursor", "invalid_metadata_filter"),
    }
)
_CODES = {
    "idempotency_key_reused": "idempotency_key_reuse",
    "invalid_workflow": "invalid_workflow",
    "workflow_format": "invalid_workflow",
    "invalid_parameter": "invalid_workflow",
    "not_runnable": "invalid_workflow",
}
_BUSY = {
    "no_server": "deployment_not_ready",
    "too_many_connections": "too_many_streams",
    "live_updates_unavailable": "too_many_streams",
    "key_queue_full": "queue_full",
}
_BY_STATUS = {
    400: (422, "invalid_request"),
    401: (401, "unauthorized"),
    403: (403, "forbidden"),
    404: (404, "not_found"),
    405: (405, "method_not_allowed"),
    410: (404, "not_found"),
    413: (413, "payload_too_large"),
    429: (429, "rate_limited"),
}
_NO_HINT = "not_runnable"  # its hint names a field that v2 does not have
_COMMON = ("type", "title", "status", "detail", "code", "node_errors", "request_id")


class ErrorJson(TypedDict):
    code: str
    message: str
    details: Json | None


class ErrorEnvelope(TypedDict):
    """Every error under /api/v2."""

    error: ErrorJson


def path_of(scope: Scope) -> str:
    """Return the path in the routes' terms, without a proxy's prefix."""
    return str(scope.get("path", "")).removeprefix(scope.get("root_path", ""))


def is_v2(scope: Scope) -> bool:
    path = path_of(scope)
    return path.startswith(PREFIX) and (path == PREFIX or path[len(PREFIX)] == "/")


def keep_request_id(scope: Scope, request_id: str) -> None:
    scope[_STATE] = request_id


def request_id(scope: Scope) -> str:
    """Return the id of the request, which is also in its log line."""
    return str(scope.get(_STATE) or uuid4().hex)


def meaning(status: int, code: str) -> tuple[int, str]:
    """Return v2's status and code for an error."""
    if code in _KEPT:
        return status, code
    if code in _BUSY:
        return 429, _BUSY[code]
    if code in _CODES:
        return 422, _CODES[code]
    if status >= 500:
        return 500, "upstream_error"
    return _BY_STATUS.get(status, (status, "invalid_request"))


def response(scope: Scope, problem: Json, headers: dict[str, str] | None = None) -> JSONResponse:
    status, code = meaning(problem["status"], problem["code"])
    sent = {**(headers or {}), V2_REQUEST_ID: request_id(scope)}
    if code == "deployment_not_ready":
        sent["Retry-After"] = str(NOT_READY)
    message, details = str(problem["detail"]), _details(problem)
    if status >= 500:  # internal details are not disclosed
        message, details = "The gateway cannot do this now; its log has the reason.", None
    answer: ErrorEnvelope = {"error": {"code": code, "message": message, "details": details}}
    return JSONResponse(answer, status, sent)


def _details(problem: Json) -> Json | None:
    """Return further details: hints, errors by node."""
    details = {name: value for name, value in problem.items() if name not in _COMMON}
    if problem["code"] == _NO_HINT:
        details.pop("hint", None)
    if node_errors := problem.get("node_errors"):
        details["node_errors"] = {
            node_id: [_fault(fault) for fault in node.get("errors", ())]
            for node_id, node in node_errors.items()
        }
    return details or None


def _fault(fault: Json) -> Json:
    return {
        "field": (fault.get("extra_info") or {}).get("input_name"),
        "reason": fault.get("type"),
        "message": fault.get("message"),
    }
