"""The collaborators and timeouts that all runs share."""

from dataclasses import dataclass

from app.db.claims import Claims
from app.db.lease import Lease
from app.db.queue import Queue
from app.db.run_times import RunTimes
from app.events.client_channels import ClientChannels
from app.events.hub import Hub
from app.files.stores.store import FileStore
from app.files.uploads import UploadFolders
from app.runner.paid_node_keys import PaidNodeKeys
from app.servers.pool import Pool


@dataclass(frozen=True, slots=True)
class RunContext:
    """The collaborators and timeouts that every run needs."""

    lease: Lease
    queue: Queue
    claims: Claims
    hub: Hub
    channels: ClientChannels
    files: FileStore
    uploads: UploadFolders
    pool: Pool
    run_times: RunTimes
    server_grace: float  # seconds that a server may be unreachable before its task is given up
    stall_timeout: float  # seconds that a prompt may run without an event
    max_attempts: int
    paid_node_keys: PaidNodeKeys
