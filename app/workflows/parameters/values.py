"""Validation and conversion of parameter values. Pure."""

import sys
from contextlib import suppress
from typing import Any

from app.comfyui.own_rules import own_rules
from app.errors import InvalidParameter
from app.limits.quoting import quoted, quoted_list
from app.workflows.checks.model_files import as_among, is_model_file
from app.workflows.checks.numbers import FINITE
from app.workflows.parameters.model import WRAPPED, Parameter, unwrapped
from app.workflows.parameters.seeds import is_random, names_seed
from app.workflows.parameters.suggestions import Guesses

LONGEST_NUMBER = 400  # characters; a float has 309 digits at most


def check_value(
    parameter: Parameter, value: Any, *, any_file: bool = False, guesses: Guesses | None = None
) -> Any:
    """Return the value as ComfyUI expects it. Raises InvalidParameter if it is invalid."""
    if is_random(value) and names_seed(parameter.input) and not (parameter.min or 0) < 0:
        return value
    guesses = guesses or Guesses()
    if parameter.multiselect:
        chosen = unwrapped(value)
        given = chosen if isinstance(chosen, list) else [chosen]
        return {WRAPPED: [_choice(parameter, one, any_file, guesses) for one in given]}
    match parameter.type:
        case "int" | "float":
            return _check_number(parameter, value)
        case "string" if not isinstance(value, str):
            raise _wrong_type(parameter, "a string", value)
        case "boolean" if not isinstance(value, bool):
            raise _wrong_type(parameter, "true or false", value)
        case "choice":
            return _choice(parameter, value, any_file, guesses)
    return value


def from_text(parameter: Parameter, value: Any) -> Any:
    """Convert a text to a number or boolean if the parameter has that type.

    Forms and automation tools send texts. Other values are returned unchanged.
    """
    if not isinstance(value, str) or len(value) > LONGEST_NUMBER:
        return value
    match parameter.type:
        case "int":
            return _parsed(value, int)
        case "float":  # integers stay exact, as the type may be a guess
            return _parsed(value, int, float)
        case "boolean":
            return {"true": True, "false": False}.get(value.strip().lower(), value)
    return value


def _parsed(text: str, *kinds: type[int] | type[float]) -> Any:
    """Parse a text like ComfyUI, which uses Python's conversions."""
    for kind in kinds:
        with suppress(ValueError):
            return kind(text)
    return text


def _check_number(parameter: Parameter, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(parameter, "a number", value)
    if not abs(value) <= sys.float_info.max:  # also False for NaN
        raise InvalidParameter(
            f"Parameter {quoted(parameter.label)} must be a finite number; "
            f"{quoted(value)} was given.",
            hint=FINITE,
            parameter=parameter.label,
        )
    if parameter.type == "int" and value != int(value):
        raise _wrong_type(parameter, "a whole number", value)
    if _sees_to(parameter):
        return int(value) if parameter.type == "int" else value
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


def _choice(parameter: Parameter, value: Any, any_file: bool, guesses: Guesses) -> Any:
    """Return the matching choice. Raises InvalidParameter."""
    choices = parameter.choices or []
    value = value if parameter.upload else as_among(value, choices)
    if value in choices:
        return value
    for choice in choices if isinstance(value, str) else ():
        if not isinstance(choice, str) and _says(value, choice):
            return choice
    if not choices or (parameter.upload and isinstance(value, str)) or _sees_to(parameter):
        return value
    if any_file and is_model_file(value):
        return value
    near = guesses.near(value if isinstance(value, str) else quoted(value), choices, most=3)
    shown = quoted_list(near or choices[:10])
    more = "" if near or len(choices) <= 10 else " ..."
    what = "the nearest are" if near else "they are"
    raise InvalidParameter(
        f"Parameter {quoted(parameter.label)}: {quoted(value)} is not among its "
        f"{len(choices)} choices; {what} {shown}{more}.",
        parameter=parameter.label,
    )


def _says(text: str, choice: Any) -> bool:
    """Return whether the text equals a choice that is a number or a boolean."""
    if isinstance(choice, bool):
        return text.strip().lower() == str(choice).lower()
    if not isinstance(choice, int | float) or len(text) > LONGEST_NUMBER:
        return False
    return bool(_parsed(text, int, float) == choice)


def _sees_to(parameter: Parameter) -> bool:
    """Return whether the node is known to validate this input itself."""
    return parameter.input in own_rules(parameter.class_type).names


def _wrong_type(parameter: Parameter, wanted: str, value: Any) -> InvalidParameter:
    return InvalidParameter(
        f"Parameter {quoted(parameter.label)} must be {wanted}; {quoted(value)} "
        f"({type(value).__name__}) was given.",
        parameter=parameter.label,
    )
