"""JSON of clients."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidJson
from app.workflows.json_text import is_blank, parse_json, parse_leniently
from tests.unit.workflows.saved.test_library import ANYTHING


@given(st.binary() | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_arbitrary_bytes_are_json_or_our_error(body: bytes) -> None:
    for parse in (parse_json, parse_leniently):
        with suppress(InvalidJson):
            json.dumps(parse(body)).encode()
    with suppress(InvalidJson):
        json.dumps(parse_leniently(body), allow_nan=False)


@pytest.mark.parametrize(
    ("body", "blank"),
    [
        *((body, True) for body in (b"", b" \t\r\n", b"\xef\xbb\xbf \n", b" \0\n\0", b"\0 \0\n")),
        *((body, True) for body in (b"\xff\xfe", b"\xfe\xff\0 ", b"\xff\xfe\0\0 \0\0\0")),
        *((body, False) for body in (b"\xff", b"\xfe", b"\xef\xbb", b"\xbf", b"\0", b"\0\0\0")),
        *((body, False) for body in (b"\x0b", b" \xff", b"\xfe\xff\xff", b"1", b"{}")),
    ],
)
def test_a_body_is_blank_if_it_is_white_space_in_an_encoding_of_json(
    body: bytes, blank: bool
) -> None:
    assert is_blank(body) is blank
