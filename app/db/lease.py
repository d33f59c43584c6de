"""Leases on tasks: the name of the gateway process that drives one, and until when it is its."""

import os
import socket
import time
from dataclasses import dataclass
from uuid import uuid4


def new_runner_id() -> str:
    """A name for this process. Host and pid tell after a crash that it is gone for good."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:12]}"


def is_dead(runner_id: str) -> bool:
    """True if `runner_id` was a process on this host that no longer runs."""
    host, pid, _ = runner_id.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    if int(pid) == os.getpid():
        return True  # not us, but it had our pid: a container's pids start at 1 each time
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


@dataclass(frozen=True, slots=True)
class Lease:
    """Who drives tasks, and for how long without renewing it."""

    runner_id: str
    seconds: float

    def until(self) -> float:
        return time.time() + self.seconds
