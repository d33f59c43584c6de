"""The parts of one running gateway, as the routers see them."""

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.auth.authenticator import Access
from app.auth.model import AccessLevel, Caller
from app.auth.origins import is_loopback
from app.db.engine.health import Readiness
from app.errors import LiveUpdatesUnavailable, NoServer, Stopping, TooManyConnections
from app.events.hub import Hub
from app.files.images.views import Views
from app.files.stores.store import FileStore
from app.files.uploads import Uploads
from app.limits.worker_threads import MemoryBudget, Workers
from app.limits.worker_threads import caller as present_caller
from app.metrics import Metrics
from app.outbound.guard import Guard
from app.scheduler.dispatcher import Dispatcher
from app.servers.pool import Pool
from app.services.assets import AssetService
from app.services.jobs import Jobs
from app.services.servers import ServerService
from app.services.submissions import SubmissionService
from app.services.tasks import TaskParts, TaskService
from app.settings import Settings
from app.webhooks.deliverer import Deliverer
from app.webhooks.outbox import Outbox
from app.workflows.saved.library import Library

MAX_STREAMS = 3000  # WebSockets and event streams at a time


@dataclass(frozen=True, slots=True)
class Gateway:
    id: str  # which one it is, of all that may be reached at an address; its replicas are one
    access: Access
    caller: Caller  # for whom it is: see for_caller
    settings: Settings
    pool: Pool
    task_parts: TaskParts
    fleet: ServerService
    hub: Hub
    dispatcher: Dispatcher
    library: Library
    files: FileStore
    views: Views
    workers: Workers  # threads for what takes long
    room: MemoryBudget  # for large bodies, as long as they are needed
    decoders: Workers  # threads for what decodes pictures, which takes memory as well
    guard: Guard
    outbox: Outbox
    deliverer: Deliverer
    metrics: Metrics
    readiness: Readiness
    background: Sequence[Coroutine[Any, Any, None]]  # what goes on as long as it runs

    async def check_ready(self) -> None:
        """Raises Stopping, DatabaseUnavailable, NoRoom, StorageUnavailable or NoServer if no task
        would be run now."""
        if self.hub.closed:
            raise Stopping("The gateway is stopping.", hint="Ask another one.")
        await self.readiness.check()
        takes_work = any(server.accepting for server in self.pool)
        if not takes_work and self.caller.scope is AccessLevel.OPEN:
            raise NoServer("No ComfyUI server takes work.", hint="With an API key this says why.")
        self.pool.choose(None)
        if not takes_work:
            states = ", ".join(f"{server.id} is {server.state}" for server in self.pool)
            raise NoServer(f"No ComfyUI server takes work: {states}.")

    def stop(self) -> None:
        """Nothing new: streams end, and tasks are handed back at once. Requests are still answered;
        their clients should go to another replica."""
        self.hub.close()
        self.dispatcher.stop()

    def warnings(self) -> list[str]:
        """What an operator should hear of, loudly."""
        trouble = self.access.trouble
        return [*warnings(self.settings), *([trouble] if trouble else []), *self.fleet.notes]

    def for_caller(self, caller: Caller) -> "Gateway":
        """The gateway as a caller may use it. Routes get no other one: what belongs to others is
        not there for them, whatever they ask, and what they make belongs to the caller.

        Only `caller` differs. What depends on it is a property below, made when it is asked for."""
        return replace(self, caller=caller)

    @property
    def tasks(self) -> TaskService:
        return TaskService(self.task_parts, self.caller)

    @property
    def submitter(self) -> SubmissionService:
        return SubmissionService(self.task_parts.submissions, self.caller)

    @property
    def assets(self) -> AssetService:
        return AssetService(self.task_parts.submissions.input_files.assets, self.caller)

    @property
    def uploads(self) -> Uploads:
        folders = self.task_parts.submissions.input_files.assets.uploads
        return folders.of(self.caller.name)

    @property
    def jobs(self) -> Jobs:
        return Jobs(self.tasks, self.submitter, self.assets)

    def admit_stream(self) -> None:
        """Raises TooManyConnections: streams are to leave room for requests, and those of one API
        key for those of others. (Behind a proxy all addresses are one, so they have no share.)
        Raises LiveUpdatesUnavailable while updates of other replicas do not come."""
        if why := self.hub.interruption:
            raise LiveUpdatesUnavailable(why, hint="Ask with GET meanwhile.", retry_after=2)
        share = max(MAX_STREAMS // 2, 1)
        if self.hub.subscribers >= MAX_STREAMS:
            text = f"There are {MAX_STREAMS} streams, which is all that are allowed."
        elif self.caller.name and self.hub.subscribers_of(present_caller()) >= share:
            text = f"Key {self.caller.name!r} has {share} streams, which is all that one key may."
        else:
            return
        raise TooManyConnections(text, hint="Ask with GET instead.", retry_after=5)


def warnings(settings: Settings) -> list[str]:
    """What an operator should hear of, loudly."""
    found = []
    open_to_all = not settings.api_keys.get_secret_value()
    if open_to_all and not is_loopback(settings.host):
        found.append(
            f"Everybody who can reach {settings.host}:{settings.port} can use this gateway: no API "
            "keys are in use. Make one with `python start.py keys add me --scope manage`, set "
            "COMFYUI_API_KEYS=api_keys.json, and start again."
        )
    if open_to_all and "*" in settings.cors_origins:
        found.append(
            "COMFYUI_CORS_ORIGINS=* without API keys lets every web page that somebody here "
            "visits use this gateway. Name the pages that may, or use API keys."
        )
    return found
