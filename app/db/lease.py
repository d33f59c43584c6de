"""Leases on tasks: the id of a gateway process, and the duration of its claims."""

import os
import socket
import time
from dataclasses import dataclass
from uuid import uuid4

from app.system.other_processes import is_running

# Lease renewals in the time of one lease, so that it survives ten seconds of a busy event loop. The
# renewals wait for nothing but the database.
RENEWALS = 6


def new_runner_id() -> str:
    """Return an id for this process; host and pid show after a crash that it is dead."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:12]}"


def is_dead(runner_id: str) -> bool:
    """Return whether `runner_id` was a process on this host that no longer runs."""
    host, pid, _ = runner_id.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    if int(pid) == os.getpid():
        return True  # a predecessor with our pid: pids of a container start at 1 each time
    return not is_running(int(pid))


@dataclass(frozen=True, slots=True)
class Lease:
    """The id of a process, and the seconds until its claims expire without renewal."""

    runner_id: str
    seconds: float

    def until(self) -> float:
        return time.time() + self.seconds
