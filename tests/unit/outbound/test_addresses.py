"""Which addresses are public."""

from ipaddress import ip_address

import pytest

from app.errors import UrlNotAllowed
from app.outbound.addresses import is_public
from app.outbound.guard import Guard
from tests.unit.outbound.test_guard import PRIVATE

PUBLIC = ["93.184.215.14", "8.8.8.8", "1.1.1.1", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize("text", PRIVATE)
def test_addresses_that_are_not_public(text: str) -> None:
    assert not is_public(ip_address(text))
    literal = f"[{text}]" if ":" in text else text
    with pytest.raises(UrlNotAllowed):
        Guard().check(f"http://{literal}/")
