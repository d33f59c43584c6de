"""ComfyUI_API.postman_collection.json, out of OpenAPI and the examples in postman.yaml.

OpenAPI has the routes, their parameters and what these mean. The examples have what it cannot hold:
an order that works, values, and tests in JavaScript. A route without an example gets a request of
its own, by its tag.
"""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from scripts.docs.reference import document, operations

Json = dict[str, Any]
SOURCE = Path(__file__).with_name("postman.yaml")
BODY = "const body = pm.response.json();"
# A request of a script by itself, with the key: pm.sendRequest knows nothing of the collection's.
ASK = """\
const ask = (method, path, then = () => {}) => {
  const key = pm.variables.get("api_key");
  const header = key ? { Authorization: `Bearer ${key}` } : {};
  pm.sendRequest({ url: pm.variables.get("base_url") + path, method, header }, then);
};"""


def page() -> str:
    source = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    return json.dumps(Collection(source, dict(operations(document()))).made(), indent=2) + "\n"


class Collection:
    """Requests as Postman has them. `source`: postman.yaml; `known`: operations by route."""

    def __init__(self, source: Json, known: dict[str, Json]) -> None:
        self._source, self._known = source, known

    def made(self) -> Json:
        folders = [
            {
                "name": folder["name"],
                "description": folder["description"],
                "item": [self._request(example) for example in folder["requests"]],
            }
            for folder in self._source["folders"]
        ]
        return {**self._source["collection"], "item": [*folders, *self._others()]}

    def _others(self) -> list[Json]:
        """A folder of the routes that no example shows."""
        shown = {each["route"] for folder in self._source["folders"] for each in folder["requests"]}
        items = [
            self._request({"name": route, "route": route}) for route in self._known.keys() - shown
        ]
        return [{"name": "Others", "item": sorted(items, key=_name)}] if items else []

    def _request(self, example: Json) -> Json:
        operation = self._known[example["route"]]
        method = example["route"].partition(" ")[0]
        body, headers = _body(example)
        request: Json = {
            "method": method,
            "header": [
                *headers,
                *(
                    {"key": name, "value": value}
                    for name, value in example.get("headers", {}).items()
                ),
            ],
            "url": _url(example, operation),
            "description": example.get("about") or operation.get("description", ""),
        }
        if body:
            request["body"] = body
        return {
            "name": example["name"],
            "event": _events(example),
            "request": request,
            "response": [],
        }


def _name(item: Json) -> str:
    return str(item["name"])


def _url(example: Json, operation: Json) -> Json:
    values = example.get("path", {})
    path = re.sub(
        r"\{(\w+)\}",
        lambda match: values.get(match[1], f"{{{{{match[1]}}}}}"),
        example["route"].partition(" ")[2],
    )
    given = example.get("query", {})
    query = [
        {
            "key": parameter["name"],
            "value": str(given.get(parameter["name"], "")),
            "description": parameter.get("description", ""),
            **({} if parameter["name"] in given else {"disabled": True}),
        }
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query"
    ]
    sent = "&".join(
        f"{entry['key']}={entry['value']}" for entry in query if "disabled" not in entry
    )
    return {
        "raw": f"{{{{base_url}}}}{path}{f'?{sent}' if sent else ''}",
        "host": ["{{base_url}}"],
        "path": path.strip("/").split("/"),
        **({"query": query} if query else {}),
    }


def _body(example: Json) -> tuple[Json | None, list[Json]]:
    """The body and its header."""
    if (value := example.get("json")) is not None:
        raw = json.dumps(value, indent=2)
        options = {"raw": {"language": "json"}}
        header = {"key": "Content-Type", "value": "application/json"}
        return {"mode": "raw", "raw": raw, "options": options}, [header]
    if (parts := example.get("form")) is not None:
        return {"mode": "formdata", "formdata": parts}, []
    if (raw := example.get("raw")) is not None:
        return {"mode": "raw", "raw": raw}, []
    return None, []


def _events(example: Json) -> list[Json]:
    """Its scripts: before it is sent, and the tests of the answer."""
    tests = example.get("tests", "").splitlines()
    uses_body = any(re.search(r"\bbody\b", line) for line in tests)
    lines = [_status_test(example.get("status")), *([BODY] if uses_body else []), *tests]
    scripts = {"prerequest": example.get("before", "").splitlines(), "test": lines}
    return [
        {"listen": listen, "script": {"type": "text/javascript", "exec": _with_ask(script)}}
        for listen, script in scripts.items()
        if script
    ]


def _with_ask(script: list[str]) -> list[str]:
    return [*ASK.splitlines(), *script] if any("ask(" in line for line in script) else script


def _status_test(status: Any) -> str:
    if status is None:
        return 'pm.test("no fault", () => pm.expect(pm.response.code).to.be.below(500));'
    if isinstance(status, int):
        return f'pm.test("status {status}", () => pm.response.to.have.status({status}));'
    names = " or ".join(map(str, status))
    return f'pm.test("status {names}", () => pm.expect(pm.response.code).to.be.oneOf({status}));'
