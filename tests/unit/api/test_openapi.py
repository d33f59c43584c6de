"""The OpenAPI document tells errors as they are sent, and has no component that nothing uses."""

import json
from typing import Any

import pytest

from app.main import create_app
from app.settings import Settings

WITHOUT_BODY = {"304", "416"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings(_env_file=None)).openapi()


def test_each_error_is_a_problem_document(document: dict[str, Any]) -> None:
    found = {
        f"{method} {path} {status}": answer.get("content")
        for path, operations in document["paths"].items()
        if not path.startswith("/api/v2/")
        for method, operation in operations.items()
        for status, answer in operation["responses"].items()
        if not status.startswith("2") and status not in WITHOUT_BODY
    }
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    assert len(found) > 200
    assert {k: v for k, v in found.items() if v != {"application/problem+json": problem}} == {}
    schema = document["components"]["schemas"]["Problem"]
    assert schema["required"] == ["type", "title", "status", "detail", "code"]


def test_each_component_is_referred_to(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    names = document["components"]["schemas"]
    assert [name for name in names if f'"#/components/schemas/{name}"' not in text] == []
