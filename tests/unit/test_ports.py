"""Ports that tests give to servers are theirs until these listen."""

import re
import socket
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.ports import FIRST, LAST, SHARE, free_port

LET_GO = re.compile(r"with socket\.socket\(\) as (\w+):\n\s+\1\.bind\(\([^)]*, 0\)\)")


@pytest.mark.parametrize("folder", ["tests", "benchmarks", "scripts"])
def test_no_port_is_let_go_that_the_system_gives_to_others(folder: str) -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / folder).rglob("*.py")}
    assert not [path for path, text in texts.items() if LET_GO.search(text)]


def test_the_system_gives_none_of_them() -> None:
    told = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if told.is_file():
        assert int(told.read_text(encoding="utf-8").split()[0]) >= LAST
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not FIRST <= server.getsockname()[1] < LAST


def test_one_that_is_taken_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        taken = server.getsockname()[1]
        assert taken not in {free_port() for _ in range(SHARE)}
