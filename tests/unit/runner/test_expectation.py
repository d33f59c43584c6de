"""How long a server should take until it is free."""

from typing import cast

import pytest

from app.db.engine.database import Database
from app.db.run_times import RunTime, RunTimes
from app.runner.expectation import unknown_on, wait_on
from app.servers.pool import Pool

ADDRESS = "127.0.0.1:8188"
KNOWN = RunTime(10.0, {"1": 2.0, "2": 6.0, "3": 2.0})


@pytest.fixture
def estimates() -> RunTimes:
    found = RunTimes(cast(Database, None))
    found.learn("shape", ADDRESS, KNOWN)
    return found


def test_strangers_are_counted_only_while_the_server_tells_of_them(estimates: RunTimes) -> None:
    (server,) = Pool([ADDRESS], slots=1)
    server.queue_length, server.connected = 2, True
    assert wait_on(server, [], estimates) == 20
    assert unknown_on(server, [], 1, estimates)
    server.held_beside = 1  # by another process of ours
    assert unknown_on(server, [], 1, estimates) is None
    server.connected, server.held_beside = False, 0
    assert unknown_on(server, [], 0, estimates) is None
    assert wait_on(server, [], estimates) == 0
