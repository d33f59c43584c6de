"""JSON from outside, in a form that can be kept, compared and sent again. Pure."""

import json
import re
from typing import Any, NoReturn

from app.comfyui.wire import finite
from app.errors import InvalidJson

MAX_DEPTH = 100  # of nested arrays and objects; workflows have about ten

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_json(body: bytes) -> Any:
    """Strict JSON: UTF-8, no NaN, no lone surrogates, not too deep. Raises InvalidJson."""
    if not body.strip():
        raise InvalidJson("The body is empty.", hint="Send JSON: curl -d @workflow.json ...")
    return _parse(body, parse_constant=_refuse_constant)


def parse_leniently(body: bytes) -> Any:
    """The same, but NaN, Infinity and floats out of range become None: ComfyUI writes them."""
    return _parse(body, parse_constant=lambda _: None, parse_float=finite)


def _parse(body: bytes, **options: Any) -> Any:
    try:
        value = json.loads(body.decode(), **options)
        if _SURROGATE.search(body):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise _not_json(error) from error
    if _depth_exceeds(value, MAX_DEPTH):
        raise _too_deep()
    return value


def _not_json(error: ValueError) -> InvalidJson:
    match error:
        case UnicodeDecodeError():
            return InvalidJson(
                f"This is not UTF-8 (byte {error.start}).", hint="Save the file as UTF-8."
            )
        case UnicodeEncodeError():
            return InvalidJson("There is half of a surrogate pair (\\uD800-\\uDFFF) in the JSON.")
        case json.JSONDecodeError():
            place = f"line {error.lineno}, column {error.colno}"
            return InvalidJson(
                f"This is not valid JSON: {error.msg} in {place}.",
                hint="With curl, send a file with -d @FILE, and inline JSON in single quotes.",
            )
        case _:  # a number with thousands of digits
            return InvalidJson(f"This is not valid JSON: {error}.")


def _too_deep() -> InvalidJson:
    return InvalidJson(f"The JSON is nested more than {MAX_DEPTH} levels deep.")


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidJson(
        f"{name} is not valid JSON.", hint="Use a finite number, or null where one is missing."
    )


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True
