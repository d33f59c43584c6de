"""The OpenAPI document: FastAPI's, completed with keys, errors and bodies."""

from collections.abc import Iterator, Sequence
from typing import get_type_hints

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute

from app.api import v2_errors
from app.api.access_levels import endpoints_of, requires
from app.api.bodies import BodySchema
from app.api.deps import base_path_of
from app.api.problems import CONTENT, Problem
from app.api.strict_route import StrictRoute
from app.auth.model import AccessLevel
from app.limits.json_types import Json

_REF = "#/components/schemas/{model}"
_V2_CONTENT = {"application/json": {"schema": {"$ref": _REF.format(model="ErrorEnvelope")}}}
_SCHEMES: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer KEY"},
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_UNUSED = ("HTTPValidationError", "ValidationError")  # FastAPI's own, of which no answer is
_EITHER: list[Json] = [{"bearer": []}, {"api_key": []}]
_REFUSED = {
    "401": "An API key is needed (`unauthorized`).",
    "403": "The API key, the host or the page's origin does not allow it (`forbidden`, "
    "`host_not_allowed`, `origin_not_allowed`).",
    "429": "The API key was used too often (`rate_limited`).",
}
_UNUSABLE = "A field has a value that cannot be used, or the workflow cannot be run."
_WORKFLOW = {"type": "object", "description": "A workflow as it is, in API or UI format."}
_TEXT = {"type": "string", "contentMediaType": "application/json"}
_FORM = {
    "type": "object",
    "properties": {
        "request": {**_TEXT, "description": "The envelope; or the next two."},
        "workflow": {"type": "string", "description": "A file: JSON, or a picture with it."},
        "params": {**_TEXT, "description": "New values, beside `workflow` or by themselves."},
    },
    "additionalProperties": {
        "type": "string",
        "format": "binary",
        "description": "A file for the parameter of that key or name.",
    },
}


def describe(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Complete `app.openapi`; `routes` are all routes of the application."""
    generate = app.openapi

    def openapi() -> Json:
        if app.openapi_schema is None:
            for route in routes:
                if isinstance(route, StrictRoute):
                    route.show_answer()
            _complete(generate(), routes)
        return generate()  # cached by FastAPI

    app.openapi = openapi  # type: ignore[method-assign]


@requires(AccessLevel.OPEN)
async def openapi_document(request: Request) -> JSONResponse:
    """Return the document of all routes, with the path below which the client reaches them."""
    return JSONResponse(served_below(request.app.openapi(), base_path_of(request)))


def served_below(document: Json, base_path: str) -> Json:
    """Return an OpenAPI document whose paths are below one; `document` stays as it is."""
    return {**document, "servers": [{"url": base_path}]} if base_path else document


def _complete(document: Json, routes: Sequence[BaseRoute]) -> None:
    levels = {each.name.replace(":path}", "}"): each.level for each in endpoints_of(routes)}
    schemas = document["components"]["schemas"]
    schemas["Problem"] = TypeAdapter(Problem).json_schema(ref_template=_REF)
    document["components"]["securitySchemes"] = _SCHEMES
    for path, method, operation in _operations(document):
        if not path.startswith(v2_errors.PREFIX):
            _add_problems(operation)
        _add_access(operation, path, levels[f"{method.upper()} {path}"])
    for route in routes:
        if isinstance(route, APIRoute) and (body := _body_schema(route)):
            for method in route.methods or ():
                operation = document["paths"][route.path_format][method.lower()]
                operation["requestBody"] = _request_body(body, schemas)
    for name in _UNUSED:
        schemas.pop(name, None)


def _operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation


def _add_problems(operation: Json) -> None:
    """Set the error responses, as FastAPI assumes its own format for validation errors."""
    answers = operation["responses"]
    own = answers.get("422", {}).get("description", "")
    has_codes = "`" in own
    answers["422"] = _refusal(own if has_codes else _UNUSABLE, is_v2=False)
    answers["default"] = _refusal("Any other error.", is_v2=False)


def _add_access(operation: Json, path: str, level: AccessLevel) -> None:
    """Set the required scope, and the refusals by the middleware."""
    if level is not AccessLevel.OPEN:
        operation["security"] = _EITHER
        operation["x-scope"] = level.word
    answers = operation["responses"]
    for status, text in _REFUSED.items():
        known = answers.get(status)
        if known is None:
            answers[status] = _refusal(text, is_v2=path.startswith(v2_errors.PREFIX))
        elif text not in known["description"]:
            known["description"] = f"{known['description']} {text}"


def _refusal(text: str, *, is_v2: bool) -> Json:
    return {"description": text, "content": _V2_CONTENT if is_v2 else CONTENT}


def _body_schema(route: APIRoute) -> BodySchema | None:
    """Return the BodySchema of the route's dependencies, if any."""
    hints = get_type_hints(route.endpoint, include_extras=True).values()
    marks = (mark for hint in hints for mark in getattr(hint, "__metadata__", ()))
    return next((mark for mark in marks if isinstance(mark, BodySchema)), None)


def _request_body(body: BodySchema, schemas: Json) -> Json:
    """Return the requestBody; the models that it refers to are added to `schemas`."""
    _, made = models_json_schema([(body.model, "validation")], ref_template=_REF)
    for name, component in made["$defs"].items():
        schemas.setdefault(name, component)
    schema: Json = {"$ref": _REF.format(model=body.model.__name__)}
    if body.or_workflow:
        schema = {"anyOf": [schema, _WORKFLOW]}
    content: Json = {"application/json": {"schema": schema}}
    if body.or_form:
        content["multipart/form-data"] = {"schema": _FORM}
    return {"required": body.required, "content": content}
