"""Parsing of JSON from clients and files, such that it can be stored, compared and sent. Pure."""

import json
import re
from itertools import islice
from typing import Any, NoReturn

from app.comfyui.wire import finite
from app.errors import InvalidInput, InvalidJson, PayloadTooLarge

_BLANK = b" \t\r\n\0\xef\xbb\xbf\xff\xfe"  # bytes of white space in the encodings of JSON
MAX_DEPTH = 100  # of nested arrays and objects; workflows have about ten
MAX_VALUES = 250_000  # in one JSON text; the largest official workflow has 12,000

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# Matches up to the next byte that starts a value or separates two, or to the end; skips strings.
# Possessive quantifiers avoid backtracking, so the time is linear for any text.
_TO_NEXT = re.compile(
    rb"""(?: [^"\[{,]++ | "[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z) )*+ (?: [\[{,] | \Z )""",
    re.DOTALL | re.VERBOSE,
)


def parse_json(body: bytes) -> Any:
    """Parse strict JSON in UTF-8, UTF-16 or UTF-32.

    No NaN, no lone surrogates, at most MAX_DEPTH levels. Raises InvalidJson, InvalidInput for a
    number that is infinite as a float (1e999), and PayloadTooLarge for more than MAX_VALUES values.
    """
    if is_blank(body):
        raise InvalidJson("The body is empty.", hint="Send JSON: curl -d @workflow.json ...")
    return _parse(body, _STRICT)


def is_blank(body: bytes) -> bool:
    """Return whether a body counts as empty: white space, with or without a byte order mark."""
    if body.strip(_BLANK):
        return False
    try:
        return not body.decode(json.detect_encoding(body)).strip(" \t\r\n\ufeff")
    except ValueError:
        return False


def parse_leniently(body: bytes) -> Any:
    """Parse JSON like `parse_json`, but NaN, Infinity and floats out of range become None.

    ComfyUI writes such numbers.
    """
    return _parse(body, _LENIENT)


def check_values(text: bytes, most: int = MAX_VALUES) -> None:
    """Raise PayloadTooLarge if the JSON text has more than `most` values.

    To be called before parsing: a value of three bytes takes sixty bytes or more as an object.
    """
    if sum(map(text.count, (b",", b"[", b"{"))) <= most:
        return  # an upper bound, which counts inside strings too
    found = sum(1 for _ in islice(_TO_NEXT.finditer(text), most + 2))
    if found > most + 1:  # the last match is the end
        raise PayloadTooLarge(
            f"The JSON holds more than the {most} values that are allowed.",
            hint="Arrays and objects count as well as what is in them. Send data as a file: "
            "POST /api/image/upload.",
        )


def as_utf8(text: bytes) -> bytes:
    """Return a JSON text as UTF-8 without a byte order mark. Raises InvalidJson.

    Windows programs write the mark, and PowerShell's `>` writes UTF-16.
    """
    encoding = json.detect_encoding(text)  # by the mark, or by the positions of zero bytes
    if encoding == "utf-8":
        return text
    try:
        return text.decode(encoding).encode()
    except ValueError as error:
        raise _not_json(error) from error


def _parse(body: bytes, decoder: json.JSONDecoder) -> Any:
    body = as_utf8(body)
    check_values(body)
    try:
        value = decoder.decode(body.decode())
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
                f"This is not {error.encoding.upper()} (byte {error.start}).",
                hint="Save the file as UTF-8.",
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


def _in_range(text: str) -> float:
    number = finite(text)
    if number is None:  # no JSON answer could contain it
        raise InvalidInput(f"The number {text[:40]} is not finite: floats end at about 1.8e308.")
    return number


# Kept, as json.loads with options makes one for each call
_STRICT = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_in_range)
_LENIENT = json.JSONDecoder(parse_constant=lambda _: None, parse_float=finite)


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
