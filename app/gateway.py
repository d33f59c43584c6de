"""The parts of one running gateway, as the routers see them."""

from dataclasses import dataclass

from app.config import Settings
from app.files.store import FileStore
from app.files.uploads import Uploads
from app.files.views import Views
from app.remote.guard import Guard
from app.servers.pool import Pool
from app.tasks.dispatcher import Dispatcher
from app.tasks.hub import Hub
from app.tasks.service import Tasks
from app.webhooks.deliverer import Deliverer
from app.webhooks.outbox import Outbox
from app.workflows.library import Library


@dataclass(frozen=True, slots=True)
class Gateway:
    settings: Settings
    pool: Pool
    tasks: Tasks
    hub: Hub
    dispatcher: Dispatcher
    library: Library
    files: FileStore
    uploads: Uploads
    views: Views
    guard: Guard
    outbox: Outbox
    deliverer: Deliverer
