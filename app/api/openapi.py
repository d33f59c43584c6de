"""What OpenAPI says of the gate: which key an operation needs, and how it is refused."""

from typing import Any

from app.api import v2_errors
from app.api.middleware.scopes import NEEDED
from app.api.problems import MEDIA_TYPE
from app.auth.model import AccessLevel

Json = dict[str, Any]

_SCHEMES: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer KEY"},
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_EITHER: list[Json] = [{"bearer": []}, {"api_key": []}]
_REFUSED = {
    "401": "An API key is needed (`unauthorized`).",
    "403": "The API key, the host or the page's origin does not allow it (`forbidden`, "
    "`host_not_allowed`, `origin_not_allowed`).",
    "429": "The API key was used too often (`rate_limited`).",
}


def with_access(document: Json) -> Json:
    """The OpenAPI document with it. Changes the document."""
    document.setdefault("components", {})["securitySchemes"] = _SCHEMES
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _describe(operation, f"{method.upper()} {path}")
    return document


def _describe(operation: Json, name: str) -> None:
    scope = next(NEEDED[known] for known in (name, name.replace("}", ":path}")) if known in NEEDED)
    if scope is not AccessLevel.OPEN:
        operation["security"] = _EITHER
        operation["x-scope"] = scope.word
    answers = operation["responses"]
    for status, text in _REFUSED.items():
        known = answers.get(status)
        if known is None:
            answers[status] = {"description": text, "content": _content(name)}
        elif text not in known["description"]:
            known["description"] = f"{known['description']} {text}"


def _content(name: str) -> Json:
    is_v2 = name.partition(" ")[2].startswith(v2_errors.PREFIX)
    model, media_type = ("ErrorEnvelope", "application/json") if is_v2 else ("Problem", MEDIA_TYPE)
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{model}"}}}
