"""Builds the parts of a gateway from its checked settings."""

from functools import partial
from typing import TYPE_CHECKING

from app.auth.authenticator import Access
from app.auth.model import EVERYBODY
from app.auth.rate_limits import RateLimits
from app.checked_settings import listened_on
from app.db.claims import Claims
from app.db.cleanup import Tidying
from app.db.engine.database import Database, database_file, identity_of, is_sqlite
from app.db.engine.health import Readiness, WritableStores
from app.db.engine.notify import Notifications
from app.db.lease import Lease, new_runner_id
from app.db.native_counts import NativeCounts
from app.db.native_ends import NativeEnds
from app.db.queue import Queue
from app.db.replica_tasks import ReplicaTaskRepository
from app.db.run_times import RunTimes
from app.db.runners import Runners
from app.db.servers import ServerRepository
from app.db.tasks import TaskRepository, TaskTable
from app.events.client_channels import Carrier, ClientChannels
from app.events.hub import EventBus, Hub
from app.events.status_log import StatusLog
from app.files.images.views import Views
from app.files.stores.factory import open_store, open_uploads
from app.files.stores.leftovers import Leftovers
from app.files.stores.local import LocalStore
from app.files.stores.store import FileStore
from app.files.uploads import UploadFolders
from app.gateway import Gateway
from app.limits.worker_threads import MemoryBudget, Workers
from app.metrics import Metrics
from app.outbound.guard import Guard
from app.outbound.transport import Remote
from app.runner.context import RunContext
from app.runner.paid_node_keys import PaidNodeKeys
from app.runner.stage_inputs import empty_everywhere
from app.scheduler.dispatcher import Dispatcher
from app.scheduler.presenter import TaskPresenter
from app.scheduler.replica_tasks import ReplicaTasks
from app.scheduler.retention import Limits, Retention
from app.scheduler.stream_reconciler import StreamReconciler
from app.servers.pool import Pool
from app.services.assets import AssetParts, AssetService
from app.services.duplicate_servers import DuplicateServers
from app.services.encoded_nodes import EncodedNodes
from app.services.input_files import InputParts
from app.services.native_memory import NativeMemory
from app.services.servers import ServerService
from app.services.submissions import SubmissionParts
from app.services.tasks import TaskParts
from app.settings import Settings
from app.tasks.webhook import EVERYWHERE, Webhook
from app.webhooks.deliverer import Deliverer
from app.webhooks.fair_share import DeliveryPace
from app.webhooks.outbox import Outbox
from app.workflows.saved.library import Library

# Concurrent request bodies of the maximum size, in all and of one caller.
BODIES, OWN_BODIES = 16, 2

if TYPE_CHECKING:
    from redis.asyncio import Redis


def build(settings: Settings, database: Database, redis: "Redis | None" = None) -> Gateway:
    """Return a gateway whose `background` coroutines do not run yet. `redis` is shared by the
    replicas."""
    pool = Pool(
        settings.comfyui_server,
        slots=settings.slots,
        max_slots=settings.slots_for_short_tasks,
        grace=settings.server_grace,
    )
    files = open_store(settings.files_url, settings.outputs_dir)
    uploads, access = _uploads(settings, database), _access(settings, redis)
    library = Library(settings.workflows_dir, max_bytes=settings.max_body_bytes)
    paid_node_keys, figures = PaidNodeKeys(), Metrics(database)
    hub, channels = _hub(redis, figures, paid_node_keys), ClientChannels()
    hub.on_status(channels.note)
    native_ends = NativeEnds(database)
    channels.carrier = carrier = _carrier(redis, channels)
    run_times, lease = RunTimes(database), Lease(new_runner_id(), settings.lease_seconds)
    queue = Queue(database, lease, access.concurrency, settings.native_parallel)
    context = RunContext(
        lease=lease,
        queue=queue,
        claims=Claims(database, lease),
        hub=hub,
        channels=channels,
        files=files,
        uploads=uploads,
        pool=pool,
        run_times=run_times,
        server_grace=settings.server_grace,
        stall_timeout=settings.stall_timeout,
        max_attempts=settings.max_attempts,
        paid_node_keys=paid_node_keys,
    )
    replica_rows = ReplicaTaskRepository(database, lease) if redis else None
    replica_tasks = ReplicaTasks(replica_rows, pool, hub, run_times)
    dispatcher = Dispatcher(pool, context, replica_tasks)
    table = TaskTable(database, max_queued=settings.max_queued, lease=lease)
    store = TaskRepository(table, EVERYBODY)
    presenter = TaskPresenter(pool, queue, run_times, dispatcher, replica_tasks.seen)
    runners = None
    if not is_sqlite(settings.database_url.get_secret_value()):
        runners = Runners(database, lease, alone=redis is None)
    reconciler = StreamReconciler(hub, store, presenter, dispatcher)
    named = settings.comfyui_server if "comfyui_server" in settings.model_fields_set else ()
    servers = ServerService(
        *(pool, ServerRepository(database), dispatcher, named), own=listened_on(settings)
    )
    notifications = Notifications(database)
    for part in (dispatcher, servers):
        part.listen(notifications)
    addresses = Guard(settings.allow_private_urls)
    remote = Remote(addresses)
    workers, decoders = Workers(), Workers(threads=2, per_caller=1)
    assets = AssetParts(
        *(database, uploads, files),
        kept=settings.retention_age,
        workers=workers,
        gone=partial(empty_everywhere, pool),
    )
    submissions = SubmissionParts(
        hub=hub,
        dispatcher=dispatcher,
        pool=pool,
        library=library,
        run_times=run_times,
        queue=queue,
        presenter=presenter,
        default_timeout=settings.task_timeout,
        input_files=InputParts(table, assets, remote, workers=workers, decoders=decoders),
        everywhere=_operators_webhook(settings),
        paid_node_keys=paid_node_keys,
        workers=workers,
    )
    limits = Limits(settings.retention_age, settings.retention_bytes)
    pace = DeliveryPace()
    outbox = Outbox(database, lease.runner_id, pace.held, presenter.view, settings.root_path)
    deliverer = Deliverer(outbox, remote, pace, _trusted(settings))
    hub.on_status(deliverer.look_at)
    figures.watch(pool, hub, dispatcher, deliverer)
    readiness = Readiness(database, _writable_stores(settings, files, uploads))
    return Gateway(
        id=identity_of(settings.database_url.get_secret_value()),
        access=access,
        caller=EVERYBODY,
        base_path=settings.root_path,
        settings=settings,
        pool=pool,
        task_parts=TaskParts(submissions, files, access.check_owner),
        servers=servers,
        hub=hub,
        channels=channels,
        native_memory=NativeMemory(),
        native_ends=native_ends,
        native_counts=NativeCounts(database),
        dispatcher=dispatcher,
        library=library,
        nodes=EncodedNodes(workers),
        files=files,
        views=Views(files, decoders),
        room=MemoryBudget(BODIES * settings.max_body_bytes, OWN_BODIES * settings.max_body_bytes),
        workers=workers,
        decoders=decoders,
        guard=addresses,
        outbox=outbox,
        deliverer=deliverer,
        metrics=figures,
        readiness=readiness,
        runners=runners,
        background=(
            dispatcher.run(),
            *((replica_tasks.run(),) if redis else ()),
            *((runners.run(),) if runners else ()),
            notifications.run(),
            servers.run(),
            DuplicateServers(pool, servers).run(),
            reconciler.run(),
            native_ends.run(),
            *((hub.event_bus.run(),) if hub.event_bus else ()),
            *((carrier.run(),) if carrier else ()),
            Retention(database, files, hub, limits, uploads=uploads.store).run(),
            deliverer.run(),
            readiness.stores.run(),
            AssetService(assets, EVERYBODY).run(),
            access.run(),
            paid_node_keys.run(store),
            Tidying(database).run(),
            Leftovers([files, uploads.store], settings.workflows_dir).run(),
        ),
    )


def _uploads(settings: Settings, database: Database) -> UploadFolders:
    return UploadFolders(
        open_uploads(settings.files_url, settings.uploads_dir),
        max_bytes=settings.max_upload_bytes,
        naming=partial(database.locked, "uploads"),
        shared=settings.shared_tasks,
    )


def _writable_stores(
    settings: Settings, files: FileStore, uploads: UploadFolders
) -> WritableStores:
    """Return the checks of all writable directories and stores, including SQLite's database."""
    checks = {
        "results": files.check_room,
        "uploads": uploads.store.check_room,
        "saved workflows": LocalStore(settings.workflows_dir).check_room,
    }
    if file := database_file(settings.database_url.get_secret_value()):
        checks["database"] = LocalStore(file.parent).check_room
    return WritableStores(checks)


def _access(settings: Settings, redis: "Redis | None") -> Access:
    return Access(
        settings.api_keys.get_secret_value(),
        shared=settings.shared_tasks,
        rates=_shared_rates(redis),
    )


def _hub(redis: "Redis | None", figures: Metrics, paid_node_keys: PaidNodeKeys) -> Hub:
    hub = Hub()
    hub.event_bus = _event_bus(redis, hub)
    hub.on_update(figures.published)
    hub.on_status(StatusLog(figures.task_changed).look_at)
    hub.on_status(lambda task: paid_node_keys.look_at(task.task_id))
    return hub


def _shared_rates(redis: "Redis | None") -> RateLimits | None:
    if redis is None:
        return None
    from app.auth.redis_rate_limits import SharedRates  # requires the optional package

    return SharedRates(redis)


def _event_bus(redis: "Redis | None", hub: Hub) -> EventBus | None:
    if redis is None:
        return None
    from app.events.redis_bus import RedisEventBus  # requires the optional package

    return RedisEventBus(redis, hub)


def _carrier(redis: "Redis | None", channels: ClientChannels) -> Carrier | None:
    if redis is None:
        return None
    from app.events.redis_channels import RedisChannels  # requires the optional package

    return RedisChannels(redis, channels)


def _operators_webhook(settings: Settings) -> Webhook | None:
    """Return the webhook of the settings, which gets the events of every task."""
    if settings.webhook_url is None:
        return None
    secret = settings.webhook_secret
    return Webhook(
        url=settings.webhook_url.get_secret_value(),
        events=tuple(settings.webhook_events),
        secret=secret.get_secret_value() if secret else None,
        scope=EVERYWHERE,
    )


def _trusted(settings: Settings) -> tuple[Webhook, Remote] | None:
    """Return the operator's webhook with a guard that allows its host even if that is private."""
    webhook = _operators_webhook(settings)
    if webhook is None:
        return None
    return webhook, Remote(Guard([*settings.allow_private_urls, webhook.host_name]))
