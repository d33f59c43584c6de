"""The name of a gateway process, by which others can tell that it is gone."""

import os
import socket
from uuid import uuid4


def new_owner() -> str:
    """A name for this process. Host and pid tell after a crash that it is gone for good."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:12]}"


def is_dead(owner: str) -> bool:
    """True if `owner` was a process on this host that no longer runs."""
    host, pid, _ = owner.rsplit(":", 2)
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
