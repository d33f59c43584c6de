"""Where a request carries its key."""

from typing import Any

import pytest

from app.api.middleware.credentials import key_text
from app.errors import Unauthorized

Json = dict[str, Any]


# -- where a key stands in a request ------------------------------------------------------------
@pytest.mark.parametrize(
    ("headers", "protocols", "found"),
    [
        ({}, [], None),
        ({"authorization": "Bearer abc"}, [], "abc"),
        ({"authorization": "bearer  abc "}, [], "abc"),
        ({"x-api-key": "abc"}, [], "abc"),
        ({"authorization": "Bearer abc", "x-api-key": "abc"}, [], "abc"),
        ({"authorization": "Basic YTpiYw=="}, [], None),
        ({}, ["comfyui-gateway", "key.abc"], "abc"),
        ({}, ["comfyui-gateway"], None),
    ],
)
def test_where_a_key_may_stand(headers: Json, protocols: list[str], found: str | None) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "websocket", "headers": raw, "subprotocols": protocols}
    assert key_text(scope) == found
    if protocols:  # not of a WebSocket
        assert key_text({"type": "http", "headers": raw}) is None


def test_two_different_keys_are_refused() -> None:
    raw = [(b"authorization", b"Bearer abc"), (b"x-api-key", b"abd")]
    with pytest.raises(Unauthorized, match="two"):
        key_text({"type": "http", "headers": raw})
