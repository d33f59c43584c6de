"""Numbers of JSON bodies are numbers: pydantic would take true for 1 and "5" for 5."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from app.api import v2  # noqa: F401  its models are subclasses of Strict, too
from app.api.requests import RunRequest, Strict

MODELS = Strict.__subclasses__() + RunRequest.__subclasses__()


def _numbers() -> Iterator[tuple[type[Strict], str]]:
    """Each field of a body that is a number."""
    for model in MODELS:
        for name, field in model.model_json_schema()["properties"].items():
            kinds = {one.get("type") for one in field.get("anyOf", [field])}
            if kinds & {"integer", "number"}:
                yield model, name


NUMBERS = list(_numbers())
OPTIONAL = [
    (model, name)
    for model in MODELS
    for name, field in model.model_fields.items()
    if not field.is_required()
]


@pytest.mark.parametrize(("model", "name"), NUMBERS)
@pytest.mark.parametrize("value", [True, False, "60", "", b"60"])
def test_a_number_is_no_text_and_no_boolean(model: type[Strict], name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        model.model_validate({name: value})
    assert (name,) in [fault["loc"] for fault in refused.value.errors()]


def test_all_of_them_are_tried() -> None:
    names = {name for _, name in NUMBERS}
    assert {"timeout", "priority", "slots", "expires_in"} <= names


def test_a_whole_number_may_be_written_as_a_float_and_the_other_way_round() -> None:
    found = RunRequest.model_validate({"timeout": 5, "priority": 5.0})
    assert (found.timeout, found.priority) == (5.0, 5)


@pytest.mark.parametrize(("model", "name"), OPTIONAL)
def test_an_optional_field_may_be_null_and_the_schema_says_so(
    model: type[Strict], name: str
) -> None:
    assert {"type": "null"} in model.model_json_schema()["properties"][name]["anyOf"]
    assert model._without_nulls({name: None}) == {}, "it counts as absent"
