"""The address to listen on: taken by the sockets that serve, or refused in one line."""

import errno
import os
import socket

import pytest

from app import listening as module
from app.errors import BadSettings, CannotStart
from app.listening import MAIN, listening, refused, running_on, url_of
from tests.ports import free_port


@pytest.mark.parametrize("host", ["192.0.2.1", "a" * 80, "::zz"])
def test_an_address_of_another_machine_is_told_by_its_setting(host: str) -> None:
    with (
        pytest.raises(BadSettings, match=r"^Setting COMFYUI_HOST: .* is no address to listen on"),
        listening(host, 0),
    ):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost", ""])
def test_an_address_of_this_machine_is_taken(host: str) -> None:
    with listening(host, 0) as listeners:
        port = listeners[0].getsockname()[1]
        assert url_of(host, listeners[0]) == f"http://{host or '0.0.0.0'}:{port}"
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", port)), "nobody serves yet"


def test_what_others_listen_on_is_refused_under_each_of_its_names() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for host in ("127.0.0.1", "localhost", "0.0.0.0", ""):
            with pytest.raises(CannotStart, match=r"the port is taken"), listening(host, port):
                pass


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_address_of_ipv6_stands_in_brackets() -> None:
    try:
        other = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with other:
        port = other.getsockname()[1]
        with (
            pytest.raises(CannotStart, match=rf"listen on \[::1\]:{port}: "),
            listening("::1", port),
        ):
            pass


def test_what_was_bound_is_let_go_when_another_address_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = ("127.0.0.2", free_port())
        both = [(socket.AF_INET, address), (socket.AF_INET, other.getsockname())]
        monkeypatch.setattr(module, "_addresses", lambda *_: both)
        with pytest.raises(CannotStart), listening("", 0):
            pass
        socket.create_server(address).close()


def test_of_a_name_the_addresses_that_are_not_here_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = [(socket.AF_INET, ("192.0.2.1", 0)), (socket.AF_INET, ("127.0.0.1", 0))]
    monkeypatch.setattr(module, "_addresses", lambda *_: both)
    with listening("", 0) as listeners:
        assert [one.getsockname()[0] for one in listeners] == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("number", "port", "words"),
    [
        (errno.EADDRINUSE, 8001, "127.0.0.1:8001: the port is taken, perhaps by another gateway."),
        (
            errno.EADDRINUSE,
            8000,
            "127.0.0.1:8000: the port is taken, perhaps by another gateway or ",
        ),
        (errno.EADDRINUSE, 8188, "127.0.0.1:8188: the port is taken, perhaps by ComfyUI,"),
        (errno.EACCES, 8001, "127.0.0.1:8001: the port is taken, perhaps by another gateway."),
        (errno.EACCES, 80, "127.0.0.1:80: this user may not"),
        (errno.ENOMEM, 8000, f"127.0.0.1:8000: {os.strerror(errno.ENOMEM)}."),
    ],
)
def test_the_line_names_address_reason_and_remedy(number: int, port: int, words: str) -> None:
    said = str(refused(("127.0.0.1", port), OSError(number, os.strerror(number)), MAIN))
    assert said.startswith(f"Cannot listen on {words}")
    assert said.endswith("choose another port with --port or COMFYUI_PORT.")
    assert "\n" not in said


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_all_addresses_are_told_with_one_that_a_browser_opens(host: str) -> None:
    with listening(host, 0) as listeners:
        said = running_on(host, listeners[0])
        port = listeners[0].getsockname()[1]
    assert said.startswith(f"running on http://{host}:{port}")
    assert (f"http://localhost:{port} " in said) is (host == "0.0.0.0")
