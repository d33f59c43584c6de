"""Whoever asks without a key is told apart by network."""

import pytest

from app.api.middleware import auth


@pytest.mark.parametrize(
    ("client", "name"),
    [
        (("192.0.2.1", 4000), "address 192.0.2.1"),
        (("::ffff:192.0.2.1", 4000), "address 192.0.2.1"),
        (("2001:db8::1", 4000), "address 2001:db8::/64"),
        (("2001:db8::ffff:2", 4001), "address 2001:db8::/64"),
        (("socket of a proxy", None), "address socket of a proxy"),
        (None, "address "),
    ],
)
async def test_whoever_has_a_network_is_one_caller(client: object, name: str) -> None:
    assert auth._name_of(None, {"type": "http", "client": client}) == name
