"""Ports that are bound to API keys."""

import pytest

from app.auth.native_ports import NativePort, lines_about, ports_of
from app.errors import BadSettings

KEYS = "keys.json"


@pytest.mark.parametrize(
    ("entry", "host", "port", "key_name"),
    [
        ("8188:alice", "127.0.0.1", 8188, "alice"),
        ("8188:12", "127.0.0.1", 8188, "12"),
        ("0.0.0.0:8190:carol", "0.0.0.0", 8190, "carol"),
        ("localhost:8190:carol", "localhost", 8190, "carol"),
        ("[::1]:8190:carol", "::1", 8190, "carol"),
    ],
)
def test_with_keys(entry: str, host: str, port: int, key_name: str) -> None:
    assert ports_of([entry], main_port=8000, keys=KEYS) == [NativePort(host, port, key_name)]


@pytest.mark.parametrize(
    ("entry", "host", "port"),
    [("8188", "127.0.0.1", 8188), ("0.0.0.0:8190", "0.0.0.0", 8190), ("[::]:8190", "::", 8190)],
)
def test_without_keys(entry: str, host: str, port: int) -> None:
    assert ports_of([entry], main_port=8000, keys="") == [NativePort(host, port, None)]


@pytest.mark.parametrize(
    ("entries", "keys", "said"),
    [
        (["alice"], KEYS, "'alice' is no port"),
        (["0:alice"], KEYS, "is no port"),
        (["65536:alice"], KEYS, "is no port"),
        (["8188:Alice"], KEYS, "'Alice' cannot be the name"),
        (["8188:"], KEYS, "'' cannot be the name"),
        (["8188:a:b"], KEYS, "'a:b' cannot be the name"),
        (["::1:8190:carol"], KEYS, "is no port"),
        (["a b:8190:carol"], KEYS, "is no name of a host"),
        (["8188"], KEYS, "127.0.0.1:8188 has no API key. Write whose it is: 8188:NAME"),
        (["8188:alice"], "", "bound to the API key 'alice', but none are in use"),
        (["8000:alice"], KEYS, r"8000 is the gateway's own \(COMFYUI_PORT\)"),
        (["8188:alice", "0.0.0.0:8188:bob"], KEYS, "8188 is there twice"),
    ],
)
def test_what_cannot_be_used_is_told_by_its_setting(
    entries: list[str], keys: str, said: str
) -> None:
    with pytest.raises(BadSettings, match=f"^Setting COMFYUI_NATIVE_PORTS: .*{said}"):
        ports_of(entries, main_port=8000, keys=keys)


def test_where_they_are_is_told() -> None:
    ports = [NativePort("::1", 8188, "alice"), NativePort("127.0.0.1", 8189, None)]
    assert lines_about(ports) == [
        "ComfyUI's own protocol on http://[::1]:8188 as 'alice'",
        "ComfyUI's own protocol on http://127.0.0.1:8189",
    ]
    assert [each.is_for_all for each in ports] == [False, False]
    assert NativePort("0.0.0.0", 1, None).is_for_all
