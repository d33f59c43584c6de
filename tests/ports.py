"""Ports for servers that have to be told theirs before they listen."""

import os
import random
import socket
from itertools import count

# Below those that Linux and Windows give to outgoing connections and to listeners on port 0: such a
# one may be taken by another test before the server listens.
FIRST, LAST = 12_000, 28_000
SHARE = 1_000  # of each of a run's processes

_part = FIRST + SHARE * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_counted = count(random.randrange(SHARE))


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens, never the same one twice in a row."""
    for number in _counted:
        port = _part + number % SHARE
        assert port < LAST, "more processes than ports are shared out to"
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("unreachable: the count has no end")
