"""The parts of a running gateway, as the routers see them."""

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.auth.authenticator import KEYS_ADD, Access
from app.auth.model import AccessLevel, Caller
from app.auth.native_ports import parse_all
from app.auth.origins import is_loopback
from app.db.engine.health import Readiness
from app.db.native_counts import NativeCounts
from app.db.native_ends import NativeEnds
from app.db.native_stops import NativeStops
from app.db.native_tasks import NativeTasks
from app.db.runners import Runners
from app.errors import LiveUpdatesUnavailable, NoServer, Stopping, TooManyConnections
from app.events.client_channels import ClientChannels
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
from app.services.encoded_nodes import EncodedNodes
from app.services.jobs import Jobs
from app.services.native_files import NativeFiles
from app.services.native_memory import NativeMemory
from app.services.native_prompts import NativePrompts
from app.services.native_queue import NativeQueue
from app.services.servers import ServerService
from app.services.submissions import SubmissionService
from app.services.tasks import TaskParts, TaskService
from app.settings import Settings
from app.system.own_command import own_command
from app.webhooks.deliverer import Deliverer
from app.webhooks.outbox import Outbox
from app.workflows.saved.library import Library

MAX_STREAMS = 3000  # maximum number of open WebSockets and event streams


@dataclass(frozen=True, slots=True)
class Gateway:
    id: str  # identifies the gateway; replicas share it
    access: Access
    caller: Caller  # the caller that it acts for: see for_caller
    base_path: str  # the path below which that caller reaches it, "" for none
    settings: Settings
    pool: Pool
    task_parts: TaskParts
    servers: ServerService
    hub: Hub
    channels: ClientChannels  # to the sockets of ComfyUI's own protocol
    native_memory: NativeMemory  # of its polled answers
    native_ends: NativeEnds
    native_counts: NativeCounts
    dispatcher: Dispatcher
    library: Library
    nodes: EncodedNodes  # object_info for ComfyUI's own protocol
    files: FileStore
    views: Views
    workers: Workers  # threads for slow work
    room: MemoryBudget  # budget for large request bodies while they are needed
    decoders: Workers  # threads for decoding images, which also needs memory
    guard: Guard
    outbox: Outbox
    deliverer: Deliverer
    metrics: Metrics
    readiness: Readiness
    runners: Runners | None  # None with SQLite
    # Coroutines that run as long as the gateway does
    background: Sequence[Coroutine[Any, Any, None]]

    async def check_ready(self) -> None:
        """Raise Stopping, DatabaseUnavailable, NoRoom, StorageUnavailable or NoServer if no task
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
        """Stop taking work: end streams and release tasks at once.

        Requests are still answered, but load balancers should send clients to another replica.
        """
        self.hub.close()
        self.dispatcher.stop()
        if self.runners is not None:
            self.runners.stop()

    def warnings(self) -> list[str]:
        """Return the warnings for the operator."""
        trouble = self.access.trouble
        ports = parse_all(self.settings.native_ports)
        return [
            *warnings(self.settings),
            *([trouble] if trouble else []),
            *(line for each in ports if (line := self.access.trouble_with_port(each.key_name))),
            *self.servers.notes,
        ]

    def for_caller(self, caller: Caller, base_path: str) -> "Gateway":
        """Return the gateway restricted to a caller; routes get no other one.

        Tasks of other owners do not exist for the caller, and what it creates belongs to it. URLs
        in what it is told are below the path. Only these two differ: what depends on them is a
        property below, made on access.
        """
        return replace(self, caller=caller, base_path=base_path)

    @property
    def tasks(self) -> TaskService:
        return TaskService(self.task_parts, self.caller, self.base_path)

    @property
    def submissions(self) -> SubmissionService:
        return SubmissionService(self.task_parts.submissions, self.caller)

    @property
    def assets(self) -> AssetService:
        return AssetService(self.task_parts.submissions.input_files.assets, self.caller)

    @property
    def uploads(self) -> Uploads:
        folders = self.task_parts.submissions.input_files.assets.uploads
        return folders.of(self.caller.name)

    @property
    def native_files(self) -> NativeFiles:
        parts = self.task_parts.submissions.input_files
        return NativeFiles(parts.tasks, parts.assets, self.pool, self.caller)

    @property
    def jobs(self) -> Jobs:
        return Jobs(self.tasks, self.submissions, self.assets)

    @property
    def native_prompts(self) -> NativePrompts:
        return NativePrompts(self.task_parts.submissions, self.caller)

    @property
    def native_tasks(self) -> NativeTasks:
        return NativeTasks(self.task_parts.submissions.tasks.database, self.caller.name)

    @property
    def native_queue(self) -> NativeQueue:
        stops = NativeStops(self.task_parts.submissions.tasks.database, self.caller.name)
        return NativeQueue(self.native_tasks, stops, self.tasks)

    def admit_stream(self) -> None:
        """Raise TooManyConnections if no further stream is allowed, LiveUpdatesUnavailable while
        updates of other replicas are missing.

        Streams leave room for requests, and those of one API key for those of others. There is no
        share per address: behind a proxy all clients have the same one.
        """
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
    """Return the warnings about unsafe settings."""
    found = []
    open_to_all = not settings.api_keys.get_secret_value()
    if open_to_all and not is_loopback(settings.host):
        found.append(
            f"Everybody who can reach {settings.host}:{settings.port} can use this gateway: no API "
            f"keys are in use. Make one with `{own_command(*KEYS_ADD)}`, set "
            "COMFYUI_API_KEYS=api_keys.json, and start again."
        )
    for each in parse_all(settings.native_ports):
        if each.is_for_all:
            found.append(
                f"Everybody who can reach {each.place} (COMFYUI_NATIVE_PORTS) acts as "
                f"{each.key_name or 'the owner'} there, without an API key."
            )
    if open_to_all and "*" in settings.cors_origins:
        found.append(
            "COMFYUI_CORS_ORIGINS=* without API keys lets every web page that somebody here "
            "visits use this gateway. Name the pages that may, or use API keys."
        )
    return found
