"""Which hosts and origins may use the gateway without keys."""

import pytest

from app.auth.origins import check_host, check_origin, checked_origin, host_name, is_loopback
from app.errors import HostNotAllowed, InvalidInput, OriginNotAllowed


# -- hosts and origins --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("host", "name", "local"),
    [
        ("localhost", "localhost", True),
        ("LOCALHOST:8000", "localhost", True),
        ("app.localhost:1", "app.localhost", True),
        ("127.0.0.1:8000", "127.0.0.1", True),
        ("127.9.9.9", "127.9.9.9", True),
        ("[::1]:8000", "[::1]", True),
        ("evil.example:8000", "evil.example", False),
        ("127.0.0.1.evil.example", "127.0.0.1.evil.example", False),
        ("localhost.evil.example", "localhost.evil.example", False),
        ("192.168.0.2", "192.168.0.2", False),
        ("localhost@evil.example", "localhost@evil.example", False),
        ("", "", False),
    ],
)
def test_which_hosts_are_this_machine(host: str, name: str, local: bool) -> None:
    assert host_name(host) == name
    assert is_loopback(host_name(host)) is local
    if local:
        check_host(host, [])
    else:
        with pytest.raises(HostNotAllowed):
            check_host(host, [])


def test_a_host_in_the_list_is_allowed() -> None:
    check_host("Gateway.example:443", ["gateway.example"])
    with pytest.raises(HostNotAllowed, match=r"other\.example"):
        check_host("other.example", ["gateway.example"])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gpu-box"])
def test_addresses_that_others_can_reach(host: str) -> None:
    assert not is_loopback(host)


PAGE = "http://box:8000"


@pytest.mark.parametrize(
    ("method", "origin", "site", "allowed", "passes"),
    [
        ("POST", None, None, [], True),  # curl
        ("POST", PAGE, "same-origin", [], True),
        ("POST", "https://box:8000", None, [], True),  # TLS ends before us
        ("POST", "http://evil.example", "cross-site", [], False),
        ("DELETE", "http://box:9000", "same-site", [], False),
        ("POST", "null", "cross-site", [], False),
        ("POST", None, "cross-site", [], False),
        ("POST", None, "same-site", [], False),
        ("POST", None, "none", [], True),  # typed in
        ("WEBSOCKET", "http://evil.example", None, [], False),
        ("WEBSOCKET", PAGE, None, [], True),
        ("WEBSOCKET", None, None, [], True),
        ("GET", "http://evil.example", "cross-site", [], True),  # it cannot read the answer
        ("POST", "https://app.example", "cross-site", ["https://app.example"], True),
        ("POST", "https://app.example.evil", None, ["https://app.example"], False),
        ("POST", "http://evil.example", None, ["*"], True),
    ],
)
def test_which_pages_may_change_something(
    method: str, origin: str | None, site: str | None, allowed: list[str], passes: bool
) -> None:
    def check() -> None:
        check_origin(method, host="box:8000", origin=origin, fetch_site=site, allowed=allowed)

    if passes:
        check()
    else:
        with pytest.raises(OriginNotAllowed):
            check()


def test_default_ports_go_without_saying() -> None:
    for origin in ("http://box", "http://box:80", "https://box:443"):
        check_origin("POST", host="box", origin=origin, fetch_site=None, allowed=[])


def test_origins_of_the_setting() -> None:
    assert checked_origin("HTTPS://App.example/") == "https://app.example"
    for wrong in ("app.example", "https://", "https://a/b", "https://u@a"):
        with pytest.raises(InvalidInput):
            checked_origin(wrong)
