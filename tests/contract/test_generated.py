"""Files that are made out of the code are what the code makes now."""

import pytest

from app.settings import Settings
from scripts.docs.files import GENERATED, ROOT
from scripts.docs.postman import Collection
from scripts.docs.reference import page as reference_page
from scripts.docs.settings import page as settings_page


@pytest.mark.parametrize("name", GENERATED)
def test_it_is_what_the_code_makes(name: str) -> None:
    written = (ROOT / name).read_text(encoding="utf-8")
    assert written == GENERATED[name](), f"{name}: run .venv/bin/python -m scripts.docs"


def test_each_setting_is_a_row_with_what_it_means() -> None:
    rows = settings_page().splitlines()
    for name, field in Settings.model_fields.items():
        [row] = [row for row in rows if row.startswith(f"| `COMFYUI_{name.upper()}` |")]
        assert str(field.description) in row


def test_a_route_without_an_example_gets_a_request() -> None:
    known = {"GET /api/x/{id}": {"description": "An x.", "parameters": []}}
    [folder] = Collection({"collection": {}, "folders": []}, known).made()["item"]
    [item] = folder["item"]
    assert item["request"]["url"]["raw"] == "{{base_url}}/api/x/{{id}}"
    assert "pm.test(" in item["event"][0]["script"]["exec"][0]


def test_the_reference_has_a_row_for_each_parameter_and_field() -> None:
    parameter = {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 9}}
    answer = {
        "description": "OK",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/X"}}},
    }
    operation = {
        "tags": ["x"],
        "description": "All | of it.",
        "x-scope": "read",
        "parameters": [{**parameter, "description": "Of <these> or `<those>`, a|b."}],
        "responses": {"200": answer, "404": {"description": "Gone (`x_not_found`)."}},
    }
    field = {"type": "array", "items": {"type": "string"}, "description": "Names."}
    schemas = {"X": {"properties": {"names": field}, "required": ["names"]}}
    text = reference_page({"paths": {"/x": {"get": operation}}, "components": {"schemas": schemas}})
    assert "### `GET /x`\n\nAll | of it.\n\nScope: `read`.\n" in text
    row = "| `limit` | query | integer (9 at most) | Of &lt;these> or `<those>`, a\\|b. |"
    assert row in text
    assert "- 200: [X](#x). OK\n- Errors: 404 `x_not_found`.\n" in text
    assert "### `X`\n\n| field | type | meaning |\n|---|---|---|\n| **`names`** |" in text
