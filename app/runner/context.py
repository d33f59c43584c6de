"""The collaborators and timeouts that all runs share."""

from dataclasses import dataclass

from app.db.claims import Claims
from app.db.lease import Lease
from app.db.queue import Queue
from app.db.run_times import RunTimes
from app.events.hub import Hub
from app.files.stores.store import FileStore
from app.files.uploads import UploadFolders
from app.runner.paid_node_keys import PaidNodeKeys
from app.servers.pool import Pool


@dataclass(frozen=True, slots=True)
class RunTimeouts:
    """Timeouts and intervals of a run, in seconds."""

    poll: float = 2.0  # between two polls of the prompt's state while the socket is connected
    poll_blind: float = 0.5  # between two polls while the socket is down
    retry: float = 0.5  # before the next attempt to reach a server that does not answer
    server_grace: float = 60.0  # how long a server may be unreachable before its task is given up
    cancel_grace: float = 120.0  # how long a cancel may have no effect
    stall_timeout: float = 600.0  # how long a prompt may run without an event


@dataclass(frozen=True, slots=True)
class RunContext:
    """The collaborators that every run needs."""

    lease: Lease
    queue: Queue
    claims: Claims
    hub: Hub
    files: FileStore
    uploads: UploadFolders
    pool: Pool
    run_times: RunTimes
    timeouts: RunTimeouts
    max_attempts: int
    paid_node_keys: PaidNodeKeys
