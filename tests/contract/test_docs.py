"""The documentation tells what the code does: routes, settings, error codes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.api.requests import (
    DeleteRequest,
    FreeRequest,
    RestoreRequest,
    RunRequest,
    SubmitRequest,
    UpdateRequest,
    WebhookRequest,
)
from app.errors import GatewayError
from app.main import create_app
from app.settings import Settings
from scripts.docs.postman import ASK

ROOT = Path(__file__).parents[2]
METHODS = {"get", "head", "post", "put", "patch", "delete"}

Json = dict[str, Any]


@pytest.fixture(autouse=True)
def _defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings from outside."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"COMFYUI_{name.upper()}", raising=False)


@pytest.fixture
def operations(tmp_path: Path) -> dict[str, Json]:
    """ "GET /api/tasks" -> its description in OpenAPI."""
    settings = Settings(_env_file=None, database_url=f"sqlite:///{tmp_path}/gateway.db")
    paths = create_app(settings).openapi()["paths"]
    return {
        f"{method.upper()} {path}": operation
        for path, methods in paths.items()
        for method, operation in methods.items()
        if method in METHODS
    }


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# -- docs/reference.md --------------------------------------------------------------------------


@pytest.fixture
def sections() -> dict[str, str]:
    """The text of docs/reference.md by route: "GET /api/tasks" -> its section."""
    routes = read("docs/reference.md").partition("\n## Objects\n")[0]
    parts = re.split(r"^### `([A-Z]+ \S+)`$", routes, flags=re.MULTILINE)
    titles, texts = parts[1::2], parts[2::2]
    assert len(titles) == len(set(titles))
    return dict(zip(titles, texts, strict=True))


def rows(section: str) -> dict[str, str]:
    """What stands in the first column of its tables, and in the last one."""
    found = re.findall(r"^\| (?:\*\*)?`([^`]+)`(?:\*\*)? \|.*\| (.*) \|$", section, re.MULTILINE)
    return {name: meaning.strip() for name, meaning in found}


def test_every_route_has_its_section(operations: dict[str, Json], sections: dict[str, str]) -> None:
    assert set(sections) == set(operations)


def test_every_parameter_is_a_row_with_what_it_means(
    operations: dict[str, Json], sections: dict[str, str]
) -> None:
    for route, operation in operations.items():
        told = {name.lower(): meaning for name, meaning in rows(sections[route]).items()}
        for parameter in operation.get("parameters", ()):
            assert parameter["name"] in told, route
            assert told[parameter["name"]] or parameter["in"] == "path", (route, parameter["name"])


@pytest.mark.parametrize(
    ("route", "model"),
    [
        ("POST /api/workflow/submit", SubmitRequest),
        ("POST /api/workflow/update", UpdateRequest),
        ("POST /api/workflow/{filename}/run", RunRequest),
        ("POST /api/workflow/{filename}/restore", RestoreRequest),
        ("POST /api/history/delete", DeleteRequest),
        ("POST /api/system/free", FreeRequest),
    ],
)
def test_every_field_of_a_body_is_a_row_with_what_it_means(
    route: str, model: type[Any], sections: dict[str, str]
) -> None:
    told = rows(sections[route].partition("Body (`application/json`")[2].partition("\nBody (`")[0])
    fields = {name for name in told if "." not in name}
    assert fields == set(model.model_fields)
    assert [name for name in told if not told[name]] == []


def test_every_field_of_a_webhook_is_a_row(sections: dict[str, str]) -> None:
    told = rows(sections["POST /api/workflow/submit"])
    assert {f"webhook.{name}" for name in WebhookRequest.model_fields} <= set(told)


def test_every_route_tells_its_scope_and_its_errors(sections: dict[str, str]) -> None:
    for route, text in sections.items():
        assert re.search(r"^Scope: ", text, re.MULTILINE), route
        assert re.search(r"^- Errors: ", text, re.MULTILINE), route


def every_error(base: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    yield base
    for error in base.__subclasses__():
        yield from every_error(error)


def test_every_error_code_stands_in_the_table_with_its_status() -> None:
    text = read("docs/reference.md").partition("\n## Error codes\n")[2]
    table = set(re.findall(r"^\| `(\w+)` \| (\d+) \|", text, re.MULTILINE))
    codes = {
        (error.code, str(error.status))
        for error in every_error()
        if error.__module__.startswith("app.")
    }
    assert codes == table


# -- API_USAGE.md -------------------------------------------------------------------------------


def test_the_guides_table_has_every_route(operations: dict[str, Json]) -> None:
    table = read("API_USAGE.md").partition("\n## All routes\n")[2].partition("\n## ")[0]
    found = re.findall(r"^\| \[`([A-Z]+ \S+)`\]\((\S+)\)", table, re.MULTILINE)
    assert sorted(route for route, _ in found) == sorted({*operations, "WS /ws"})
    for route, link in found:
        where = "#live-updates" if route == "WS /ws" else f"docs/reference.md#{anchor(route)}"
        assert link == where


def anchor(route: str) -> str:
    return re.sub(r"[^\w\- ]", "", route.lower()).replace(" ", "-")


def test_the_guide_names_every_event_of_a_webhook() -> None:
    from app.tasks.webhook import EVENTS

    for page in ("API_USAGE.md", "docs/webhooks.md"):
        text = read(page)
        assert [name for name in WebhookRequest.model_fields if f'"{name}":' not in text] == []
        assert [event for event in EVENTS if f"`{event}`" not in text] == []


def test_every_task_status_and_output_kind_is_explained() -> None:
    from app.files.kinds import Kind
    from app.tasks.model import Status

    text = read("API_USAGE.md")
    for word in (*Status, *Kind):
        assert f"`{word.value}`" in text, word


# -- the Postman collection ---------------------------------------------------------------------


def requests_of(items: list[Json]) -> Iterator[Json]:
    for item in items:
        if "item" in item:
            yield from requests_of(item["item"])
        else:
            yield item


@pytest.fixture
def collection() -> Json:
    found: Json = json.loads(read("ComfyUI_API.postman_collection.json"))
    return found


def route_of(request: Json, routes: dict[str, Json]) -> str | None:
    """The route that the request goes to; one without parameters before one with."""
    path = "/" + "/".join(request["url"]["path"])
    for route in sorted(routes, key=lambda route: route.count("{")):
        method, template = route.split(" ")
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
        if method == request["method"] and re.fullmatch(pattern, path):
            return route
    return None


def test_the_collection_has_every_route_and_no_other(
    operations: dict[str, Json], collection: Json
) -> None:
    found = {
        item["name"]: route_of(item["request"], operations)
        for item in requests_of(collection["item"])
    }
    assert [name for name, route in found.items() if route is None] == []
    assert set(found.values()) == set(operations)


def test_scripts_of_the_collection_ask_with_the_key_and_wait(collection: Json) -> None:
    """pm.sendRequest sends no key by itself, and timers of the sandbox hand on no arguments."""
    asking = 0
    for item in requests_of(collection["item"]):
        for event in item["event"]:
            script = "\n".join(event["script"]["exec"])
            asked = script.removeprefix(ASK)
            assert "sendRequest" not in asked, f"{item['name']}: write ask(method, path, then)"
            assert len(re.findall(r"setTimeout\(\(\) =>", asked)) == asked.count("setTimeout")
            asking += script.startswith(ASK)
    assert asking >= 2


def test_the_collections_queries_are_parameters_of_the_routes(
    operations: dict[str, Json], collection: Json
) -> None:
    for item in requests_of(collection["item"]):
        operation = operations[route_of(item["request"], operations) or ""]
        known = {parameter["name"] for parameter in operation.get("parameters", ())}
        used = {entry["key"] for entry in item["request"]["url"].get("query", ())}
        assert used <= known, item["name"]


def test_every_request_of_the_collection_is_tested(collection: Json) -> None:
    assert "v2.1.0" in collection["info"]["schema"]
    for item in requests_of(collection["item"]):
        scripts = [event["script"] for event in item["event"] if event["listen"] == "test"]
        assert any("pm.test(" in line for script in scripts for line in script["exec"])


def test_the_collection_needs_no_file_or_variable_that_is_not_there(collection: Json) -> None:
    known = {variable["key"] for variable in collection["variable"]}
    assert set(re.findall(r"\{\{(\w+)\}\}", json.dumps(collection["item"]))) <= known
    for item in requests_of(collection["item"]):
        for field in item["request"].get("body", {}).get("formdata", ()):
            assert field["type"] != "file" or (ROOT / field["src"]).is_file()


def test_the_collection_begins_with_a_first_session(collection: Json) -> None:
    names = [item["name"] for item in collection["item"][0]["item"]]
    assert [name.partition(".")[0] for name in names] == [str(n + 1) for n in range(len(names))]
    assert {"3. Submit workflow", "4. Task status"} <= set(names)
    submit, status = (
        next(i for i in collection["item"][0]["item"] if i["name"] == name)
        for name in ("3. Submit workflow", "4. Task status")
    )
    assert 'set("task_id", body.task_id)' in json.dumps(submit["event"]).replace('\\"', '"')
    assert "{{task_id}}" in status["request"]["url"]["raw"]


def test_the_environment_has_variables_of_the_collection(collection: Json) -> None:
    known = {variable["key"]: variable["value"] for variable in collection["variable"]}
    values = json.loads(read("ComfyUI_API.postman_environment.json"))["values"]
    assert {value["key"]: value["value"] for value in values}.items() <= known.items()
    assert "base_url" in {value["key"] for value in values}


# -- settings -----------------------------------------------------------------------------------


def example_settings() -> dict[str, str]:
    return dict(re.findall(r"^# (COMFYUI_\w+)=(.*)$", read(".env.example"), re.MULTILINE))


def test_env_example_has_every_setting_with_its_description() -> None:
    text = read(".env.example")
    expected = [f"COMFYUI_{name.upper()}" for name in Settings.model_fields]
    assert re.findall(r"^# (COMFYUI_\w+)=", text, re.MULTILINE) == expected
    for name, field in Settings.model_fields.items():
        assert f"# {field.description}\n# COMFYUI_{name.upper()}=" in text


def test_env_example_has_the_defaults(tmp_path: Path) -> None:
    lines = [f"{name}={value}" for name, value in example_settings().items()]
    env_file = tmp_path / ".env"
    env_file.write_text("\n".join(lines), encoding="utf-8")
    assert Settings(_env_file=env_file) == Settings(_env_file=None)
