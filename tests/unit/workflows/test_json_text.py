"""JSON of clients."""

import json
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidJson
from app.workflows.json_text import parse_json, parse_leniently
from tests.unit.workflows.saved.test_library import ANYTHING


@given(st.binary() | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_arbitrary_bytes_are_json_or_our_error(body: bytes) -> None:
    for parse in (parse_json, parse_leniently):
        with suppress(InvalidJson):
            json.dumps(parse(body)).encode()
    with suppress(InvalidJson):
        json.dumps(parse_leniently(body), allow_nan=False)
