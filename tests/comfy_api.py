"""Comfy API v2 as its clients see it: every answer is held against the contract."""

import json
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from tests.conftest import ROOT

Json = dict[str, Any]

FACTS: Json = json.loads((ROOT / "tests/fixtures/comfy_api_v2.json").read_text(encoding="utf-8"))
ALWAYS = (405, 413)  # not in the contract; they can happen anywhere


def check(name: str, value: Any) -> None:
    """Raises ValidationError unless the value is what the contract calls by that name."""
    schema = {"$ref": f"#/schemas/{name}", "schemas": FACTS["schemas"]}
    Draft202012Validator(schema).validate(value)


class Client:
    """Speaks to /api/v2."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def call(self, operation: str, /, **options: Any) -> httpx.Response:
        """`operation` is like "GET /api/v2/jobs/{id}"; path fields and what httpx takes."""
        method, template = operation.split(" ")
        names = [name for name in ("id", "hash") if f"{{{name}}}" in template]
        path = template.format(**{name: options.pop(name) for name in names})
        answer = await self.http.request(method, path, **options)
        check_answer(operation, answer)
        return answer

    async def json(self, operation: str, /, **options: Any) -> Any:
        return (await self.call(operation, **options)).json()


def check_answer(operation: str, answer: httpx.Response) -> None:
    facts = FACTS["operations"][operation]
    assert answer.headers["x-comfy-request-id"]
    if str(answer.status_code) in facts["success"]:
        name = facts["success"][str(answer.status_code)]
        if name == "events":
            for event, data in events_of(answer.text):
                check(FACTS["events"][event], data)
        elif name:
            check(name, answer.json())
        return
    assert answer.status_code in (*facts["errors"], *ALWAYS), answer.text
    if answer.status_code == 429:
        assert int(answer.headers["retry-after"]) > 0
    if answer.status_code != 416 and answer.request.method != "HEAD":
        check("Error", answer.json())
        assert answer.json()["error"]["code"] in FACTS["codes"][str(answer.status_code)]


def events_of(text: str) -> list[tuple[str, Json]]:
    """The server-sent events in a stream that has ended; none may have an id."""
    found = []
    for frame in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in frame.splitlines() if line[:1] != ":")
        if lines:
            assert set(lines) == {"event", "data"}
            found.append((lines["event"], json.loads(lines["data"])))
    return found
