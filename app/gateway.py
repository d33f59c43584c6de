"""The parts of one running gateway, as the routers see them."""

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from app.config import Settings
from app.files.store import FileStore
from app.files.uploads import Uploads
from app.files.views import Views
from app.limit_errors import TooManyConnections
from app.metrics import Metrics
from app.remote.guard import Guard
from app.servers.pool import Pool
from app.tasks.assets import Assets
from app.tasks.dispatcher import Dispatcher
from app.tasks.fleet import Fleet
from app.tasks.hub import Hub
from app.tasks.jobs import Jobs
from app.tasks.service import Tasks
from app.tasks.submitter import Submitter
from app.webhooks.deliverer import Deliverer
from app.webhooks.outbox import Outbox
from app.workflows.library import Library


@dataclass(frozen=True, slots=True)
class Gateway:
    settings: Settings
    pool: Pool
    tasks: Tasks
    submitter: Submitter
    fleet: Fleet
    hub: Hub
    dispatcher: Dispatcher
    library: Library
    files: FileStore
    uploads: Uploads
    views: Views
    guard: Guard
    outbox: Outbox
    deliverer: Deliverer
    assets: Assets
    jobs: Jobs
    metrics: Metrics
    background: Sequence[Coroutine[Any, Any, None]]  # what goes on as long as it runs

    def admit_stream(self) -> None:
        """Raises TooManyConnections: streams are to leave room for requests."""
        most = self.settings.max_streams
        if self.hub.subscribers >= most:
            text = f"There are {most} streams, which is all that are allowed."
            raise TooManyConnections(text, hint="Ask with GET instead.", retry_after=5)
