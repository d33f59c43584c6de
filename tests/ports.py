"""Ports for servers that have to be told theirs before they listen."""

import os
import random
import socket
from contextlib import suppress
from itertools import count

# Below those that Linux and Windows give to outgoing connections and to listeners on port 0: such a
# one may be taken by another test before the server listens.
FIRST, LAST = 12_000, 28_000
SHARE = 1_000  # of each of a run's processes

_part = FIRST + SHARE * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
assert _part + SHARE <= LAST, "more processes than ports are shared out to"
_counted = count(random.randrange(SHARE))


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens, never the same one twice in a row."""
    return next(port for number in _counted if _is_free(port := _part + number % SHARE))


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False
