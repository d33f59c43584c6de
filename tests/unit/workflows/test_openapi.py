"""A workflow's own OpenAPI document: valid, and true to its parameters."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.workflows.openapi import MAX_CHOICES, document, schema_of
from app.workflows.parameters.model import Parameter, list_parameters
from tests.conftest import model_free

Json = dict[str, Any]
PATH = "/api/workflow/My%20flow.json/run"


def parameter(**fields: Any) -> Parameter:
    values = {"key": "3.x", "name": None, "role": None, "type": "any", "value": None}
    node_id, _, name = str(fields.get("key", "3.x")).partition(".")
    place = {"node_id": node_id, "input": name, "class_type": "Node"}
    return Parameter(**{**values, **place, **fields})


def params_of(found: Json) -> Json:
    operation = found["paths"][PATH]["post"]
    schema: Json = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["additionalProperties"] is False
    params: Json = schema["properties"]["params"]
    assert params["additionalProperties"] is False
    return params["properties"]


def test_the_document_of_a_workflow_is_valid() -> None:
    found = document("My flow.json", "abc", PATH, list_parameters(model_free(), {}))
    OpenAPIV31SpecValidator(found).validate()
    assert found["info"] == {"title": "My flow", "version": "abc"}
    assert params_of(found)["1.width"] == {
        "title": "EmptyImage: width",
        "type": "number",
        "default": 16,
    }


def test_a_parameter_stands_under_its_key_and_its_name() -> None:
    found = [parameter(key="6.text", name="prompt", type="string", value="a cat")]
    values = params_of(document("My flow.json", "1", PATH, found))
    assert values["6.text"] == {"title": "Node: text", "type": "string", "default": "a cat"}
    assert values["prompt"] == {
        **values["6.text"],
        "description": "The same as 6.text; give one of the two.",
    }


@pytest.mark.parametrize(
    ("fields", "schema"),
    [
        (
            {"type": "int", "value": 5, "min": 1, "max": 9},
            {"type": "integer", "minimum": 1, "maximum": 9, "default": 5},
        ),
        ({"type": "int", "value": 99, "max": 9}, {"type": "integer", "maximum": 9}),
        ({"type": "int", "value": 1.5}, {"type": "integer"}),
        ({"type": "float", "value": True}, {"type": "number"}),
        ({"type": "float", "value": 7}, {"type": "number", "default": 7}),
        ({"type": "boolean", "value": False}, {"type": "boolean", "default": False}),
        ({"type": "string", "value": 5}, {"type": "string"}),
        ({"type": "any", "value": {"a": 1}}, {"default": {"a": 1}}),
        ({"type": "any", "value": None}, {}),
        (
            {"type": "choice", "value": "b", "choices": ["a", "b", "a"]},
            {"enum": ["a", "b"], "default": "b"},
        ),
        ({"type": "choice", "value": "gone", "choices": ["a"]}, {"enum": ["a"]}),
        ({"type": "choice", "value": "x", "choices": []}, {"default": "x"}),
        (
            {"type": "choice", "value": "mine.png", "choices": ["a.png"], "upload": "image"},
            {
                "type": "string",
                "description": "The name of an uploaded file (POST /api/image/upload), "
                "an http(s) URL or a data: URI.",
                "default": "mine.png",
            },
        ),
        (
            {"key": "3.seed", "type": "int", "value": -1, "min": 0, "max": 9},
            {
                "type": "integer",
                "minimum": -1,
                "maximum": 9,
                "description": "-1 draws a random one.",
                "default": -1,
            },
        ),
    ],
)
def test_the_schema_of_a_parameter(fields: Json, schema: Json) -> None:
    found = schema_of(parameter(**fields))
    title = found.pop("title")
    assert title == f"Node: {fields.get('key', '3.x')[2:]}"
    assert found == schema


def test_a_long_list_of_choices_is_only_described() -> None:
    choices = [f"model-{number}" for number in range(MAX_CHOICES + 1)]
    found = schema_of(parameter(type="choice", value="model-7", choices=choices))
    assert "enum" not in found
    assert found["description"].startswith("One of 201 choices, such as model-0, model-1")
    assert found["default"] == "model-7"
    assert len(schema_of(parameter(type="choice", choices=choices[1:]))["enum"]) == MAX_CHOICES


NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.none() | st.booleans() | NUMBERS | st.text(max_size=5) | st.lists(st.text(), max_size=2)


@given(
    st.lists(
        st.builds(
            lambda type, value, low, high, choices, title: parameter(
                type=type, value=value, min=low, max=high, choices=choices, title=title
            ),
            st.sampled_from(["int", "float", "string", "boolean", "choice", "any"]),
            VALUES,
            st.none() | NUMBERS,
            st.none() | NUMBERS,
            st.none() | st.lists(st.text(max_size=5), max_size=5),
            st.none() | st.text(max_size=5),
        ),
        max_size=3,
    )
)
def test_any_parameters_make_a_valid_document(parameters: list[Parameter]) -> None:
    numbered = [
        replace(found, key=f"{number}.x", name=f"x_{number}")
        for number, found in enumerate(parameters)
    ]
    OpenAPIV31SpecValidator(document("a.json", "1", PATH, numbered)).validate()
