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
        ({"authorization": "Bearer "}, [], None),
        ({"authorization": "Bearer ", "x-api-key": "abc"}, [], "abc"),
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


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("Basic YTpiYw==", "bc"),  # a:bc
        ("basic OmI6Yw==", "b:c"),  # :b:c
        ("Basic YTo=", None),  # a:
        ("Basic YQ==", None),  # a
        ("Basic", None),
        ("Basic !!!", None),
        ("Basic /w==", None),  # no UTF-8
    ],
)
def test_the_password_of_basic(value: str, found: str | None) -> None:
    scope = {"type": "http", "headers": [(b"authorization", value.encode())]}
    assert key_text(scope, basic=True) == found
    assert key_text(scope) is None


def test_two_different_keys_are_refused() -> None:
    raw = [(b"authorization", b"Bearer abc"), (b"x-api-key", b"abd")]
    with pytest.raises(Unauthorized, match="two"):
        key_text({"type": "http", "headers": raw})
