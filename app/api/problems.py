"""Conversion of errors to application/problem+json (RFC 9457), and to the forms of other APIs."""

import logging
from http import HTTPStatus
from typing import Any, NotRequired

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, with_config
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope
from typing_extensions import TypedDict

from app.api import v2_errors
from app.api.native import errors as native_errors
from app.api.native.doors import door_of
from app.db.engine.errors import is_data_error, is_full
from app.errors import (
    DatabaseUnavailable,
    GatewayError,
    InvalidInput,
    InvalidRequest,
    PayloadTooLarge,
    StorageFull,
)
from app.limits.json_types import Json
from app.limits.quoting import LONGEST, MAX_ENTRIES, bounded, cut

log = logging.getLogger(__name__)

_HTTP_CODES = {413: PayloadTooLarge.code}
MEDIA_TYPE = "application/problem+json"
CONTENT: Json = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}  # for OpenAPI


@with_config(ConfigDict(extra="allow"))
class Problem(TypedDict):
    """The shape of every error."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: NotRequired[str | None]
    node_errors: NotRequired[dict[str, Any] | None]


def document(error: GatewayError) -> Json:
    """Return the problem document of an error."""
    problem: Problem = {
        "type": f"urn:comfyui-gateway:{error.code}",
        "title": error.title(),
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
    }
    if error.hint:
        problem["hint"] = error.hint
    return {**problem, **error.extra}


def install(app: FastAPI) -> None:
    app.add_exception_handler(GatewayError, _ours)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(SQLAlchemyError, _database)
    app.add_exception_handler(Exception, _unexpected)


def responses(*errors: type[GatewayError]) -> dict[int | str, Json]:
    """Return the `responses=` of a route that may raise these errors."""
    found: dict[int | str, Json] = {}
    for error in errors:
        text = f"{error.title()} (`{error.code}`)."
        known = found.get(error.status)
        found[error.status] = {
            "content": CONTENT,  # with "model" FastAPI would add it as application/json
            "description": f"{known['description']} {text}" if known else text,
        }
    return found


def answer(scope: Scope, problem: Json, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the response: a problem document, or the format of ComfyUI or Comfy API v2.

    Long values are truncated, so that the answer repeats little of the request.
    """
    problem = bounded(problem)
    if door_of(scope):
        return native_errors.response(problem, headers)
    if v2_errors.is_v2(scope):
        return v2_errors.response(scope, problem, headers)
    return JSONResponse(problem, problem["status"], headers, media_type=MEDIA_TYPE)


def refusal(scope: Scope, error: GatewayError) -> JSONResponse:
    """Return the response for an error, also for a refused WebSocket handshake."""
    headers = {}
    if seconds := error.extra.get("retry_after"):
        headers["Retry-After"] = str(seconds)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return answer(scope, document(error), headers)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, GatewayError)
    return refusal(request.scope, error)


async def _gone(request: Request, error: Exception) -> JSONResponse:
    """Answer a client that disconnected: nobody reads it, but it is no failure of the gateway."""
    return answer(request.scope, document(InvalidRequest("The body ended before it was complete.")))


async def _database(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SQLAlchemyError)
    if is_data_error(error):
        log.warning("a value cannot be stored", exc_info=error)
        text = "There is a value that cannot be stored, such as a number that is too large."
        return answer(request.scope, document(InvalidInput(text)))
    log.error("the database failed", exc_info=error)
    found: GatewayError = DatabaseUnavailable(
        "The database does not answer as it should.", hint="Try again; the log has the reason."
    )
    if is_full(error):
        found = StorageFull("There is no room left in the database.", hint="Make room on its disk.")
    return answer(request.scope, document(found))


async def _validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problem = validation_problem([dict(fault) for fault in error.errors()])
    return answer(request.scope, problem)


def validation_problem(faults: list[Json]) -> Json:
    """Return the problem document for pydantic's errors, with the first few in `errors`."""
    errors = [
        {"field": field_of(fault), "message": _message(fault)} for fault in faults[:MAX_ENTRIES]
    ]
    first = errors[0]
    more = {"omitted": {"errors": len(faults) - MAX_ENTRIES}} if len(faults) > MAX_ENTRIES else {}
    place = "" if first["field"] == "body" else f"{first['field']}: "
    problem: Problem = {
        "type": "urn:comfyui-gateway:invalid_input",
        "title": "A field has a value that cannot be used",
        "status": 422,
        "detail": f"{cut(place, LONGEST)}{first['message']}",
        "code": "invalid_input",
    }
    return {**problem, "errors": errors, **more}


def _message(fault: Json) -> str:
    if fault.get("type") == "extra_forbidden":
        return "there is no such field"
    return str(fault.get("msg", "")).removeprefix("Value error, ")


def field_of(fault: Json) -> str:
    """Return the path of a field: "timeout", "query.limit"."""
    place = [str(part) for part in fault.get("loc", ())]
    return ".".join(place[1:] if place[:1] == ["body"] and len(place) > 1 else place) or "body"


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    problem: Problem = {
        "type": "about:blank",
        "title": phrase,
        "status": error.status_code,
        "detail": str(error.detail),
        "code": _HTTP_CODES.get(error.status_code) or phrase.lower().replace(" ", "_"),
    }
    return answer(request.scope, {**problem}, dict(error.headers) if error.headers else None)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    request_id = v2_errors.request_id(request.scope)
    log.error("request %s failed", request_id, exc_info=error)
    problem: Problem = {
        "type": "urn:comfyui-gateway:internal_error",
        "title": "Something went wrong in the gateway",
        "status": 500,
        "detail": "The gateway failed; its log has the reason.",
        "code": "internal_error",
    }
    return answer(request.scope, {**problem, "request_id": request_id})
