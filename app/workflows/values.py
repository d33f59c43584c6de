"""Whether a value fits a parameter, and what ComfyUI makes of it. Pure."""

import math
from typing import Any

from app.errors import InvalidParameter
from app.quoting import quoted, quoted_list
from app.workflows.model_files import is_model_file
from app.workflows.near import Guesses
from app.workflows.parameters import Parameter
from app.workflows.seeds import is_random, names_seed


def check_value(
    parameter: Parameter, value: Any, *, any_file: bool = False, guesses: Guesses | None = None
) -> Any:
    """The value as ComfyUI wants it. Raises InvalidParameter if it does not fit."""
    if is_random(value) and names_seed(parameter.input) and not (parameter.min or 0) < 0:
        return value
    match parameter.type:
        case "int" | "float":
            return _check_number(parameter, value)
        case "string" if not isinstance(value, str):
            raise _wrong_type(parameter, "a string", value)
        case "boolean" if not isinstance(value, bool):
            raise _wrong_type(parameter, "true or false", value)
        case "choice" if not (any_file and is_model_file(value)):
            _check_choice(parameter, value, guesses or Guesses())
    return value


def _check_number(parameter: Parameter, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(parameter, "a number", value)
    if isinstance(value, float) and not math.isfinite(value):
        raise _wrong_type(parameter, "a finite number", value)
    if parameter.type == "int" and value != int(value):
        raise _wrong_type(parameter, "a whole number", value)
    for limit, breaks, word in (
        (parameter.min, parameter.min is not None and value < parameter.min, "at least"),
        (parameter.max, parameter.max is not None and value > parameter.max, "at most"),
    ):
        if breaks:
            raise InvalidParameter(
                f"Parameter {quoted(parameter.label)} must be {word} {limit}; "
                f"{quoted(value)} was given.",
                parameter=parameter.label,
            )
    return int(value) if parameter.type == "int" else value


def _check_choice(parameter: Parameter, value: Any, guesses: Guesses) -> None:
    choices = parameter.choices or []
    if value in choices or (parameter.upload and isinstance(value, str)):
        return
    near = guesses.near(value if isinstance(value, str) else quoted(value), choices, most=3)
    shown = quoted_list(near or choices[:10])
    more = "" if near or len(choices) <= 10 else " ..."
    what = "the nearest are" if near else "they are"
    raise InvalidParameter(
        f"Parameter {quoted(parameter.label)}: {quoted(value)} is not among its "
        f"{len(choices)} choices; {what} {shown}{more}.",
        parameter=parameter.label,
    )


def _wrong_type(parameter: Parameter, wanted: str, value: Any) -> InvalidParameter:
    return InvalidParameter(
        f"Parameter {quoted(parameter.label)} must be {wanted}; {quoted(value)} "
        f"({type(value).__name__}) was given.",
        parameter=parameter.label,
    )
