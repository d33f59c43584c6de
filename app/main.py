"""Puts the gateway together: the only file that knows all the others."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.routing import BaseRoute, Mount, Route

from app import problems
from app.access.access import Access
from app.access.model import EVERYBODY
from app.config import VERSION, Settings
from app.files.places import open_store, open_uploads
from app.files.uploads import Uploads
from app.files.views import Views
from app.gate.stack import guard
from app.gateway import Gateway
from app.metrics import Metrics
from app.remote.guard import Guard
from app.remote.transport import Remote
from app.routers import (
    batches,
    events,
    image,
    metrics,
    saved,
    servers,
    system,
    task,
    v2,
    webhooks,
    workflow,
)
from app.servers.pool import Pool
from app.tasks.api_keys import ApiKeys
from app.tasks.assets import Assets
from app.tasks.claims import Claims, Lease
from app.tasks.database import Database, open_database
from app.tasks.dispatcher import Dispatcher
from app.tasks.estimates import Estimates
from app.tasks.fleet import Fleet
from app.tasks.followed import Followed
from app.tasks.forecaster import Forecaster
from app.tasks.hub import Hub
from app.tasks.jobs import Jobs
from app.tasks.materials import Materials
from app.tasks.owner import new_owner
from app.tasks.places import tell_places
from app.tasks.queue import Queue
from app.tasks.readiness import Readiness
from app.tasks.registry import Registry
from app.tasks.retention import Limits, Retention
from app.tasks.service import Tasks
from app.tasks.signals import Signals
from app.tasks.store import TaskStore
from app.tasks.submitter import Submitter
from app.tasks.tools import Timing, Tools
from app.tasks.transitions import Transitions
from app.tasks.webhooks import Webhook
from app.webhooks.deliverer import Deliverer, Pace
from app.webhooks.outbox import Outbox
from app.workflows.library import Library

log = logging.getLogger(__name__)

_MODULES = (
    *(system, servers, workflow, saved, task, batches, webhooks, image, events, metrics),
    *v2.MODULES,
)
ROUTERS: list[APIRouter] = [module.router for module in _MODULES]
STATIC = Path(__file__).parent.parent / "static"


class Static(StaticFiles):
    """Browsers ask whether a file has changed, so that an upgrade shows at once."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response


class State(TypedDict):
    gateway: Gateway


def create_app(settings: Settings | None = None) -> FastAPI:
    """The ASGI application. Each call makes an independent one."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[State]:
        async with running(settings) as gateway:
            app.state.gateway = gateway
            yield {"gateway": gateway}

    app = FastAPI(
        title="ComfyUI API gateway",
        version=VERSION,
        description="One dependable API in front of one or many ComfyUI servers.",
        lifespan=lifespan,
        openapi_url="/openapi.json" if settings.docs else None,
    )
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    problems.describe(app)
    app.mount("/static", Static(directory=STATIC), name="static")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    guard(app, settings, routes_of(app))
    return app


def routes_of(app: FastAPI) -> list[BaseRoute]:
    """All of them, in the order in which they are tried."""
    own = [route for route in app.routes if isinstance(route, (Route, Mount))]
    return [*(route for router in ROUTERS for route in router.routes), *own]


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Gateway]:
    """A gateway with everything it does in the background."""
    for warning in settings.warnings():
        log.warning("%s", warning)
    database = await open_database(settings.database_url.get_secret_value())
    gateway = build(settings, database)
    await gateway.fleet.recall()
    work = [asyncio.create_task(job) for job in gateway.background]
    for job in work:
        job.add_done_callback(_stop_if_dead)
    try:
        yield gateway
    finally:
        gateway.hub.close()
        for job in work:
            job.cancel()
        await asyncio.wait(work)
        await database.close()


def build(settings: Settings, database: Database) -> Gateway:
    pool = Pool(settings.comfyui_server, slots=settings.slots, grace=settings.server_grace)
    files = open_store(settings.files_url, settings.outputs_dir)
    uploads = Uploads(
        open_uploads(settings.files_url, settings.uploads_dir),
        max_bytes=settings.max_upload_bytes,
        naming=partial(database.locked, "uploads"),
        shared=settings.shared_tasks,
    )
    access = Access(settings.api_keys.get_secret_value(), shared=settings.shared_tasks)
    library = Library(settings.workflows_dir)
    hub, figures = Hub(), Metrics(database)
    hub.on_update(figures.published)
    hub.on_update(Transitions(figures.task_changed).look_at)
    api_keys = ApiKeys()
    hub.on_status(api_keys.look_at)
    estimates = Estimates(database)
    lease = Lease(new_owner(), settings.lease_seconds)
    queue = Queue(database, lease, access.concurrency)
    tools = Tools(
        lease=lease,
        queue=queue,
        claims=Claims(database, lease),
        hub=hub,
        files=files,
        uploads=uploads,
        pool=pool,
        estimates=estimates,
        timing=_timing(settings),
        max_attempts=settings.max_attempts,
        api_keys=api_keys,
    )
    dispatcher = Dispatcher(pool, tools)
    store = TaskStore(
        database, max_queued=settings.max_queued, ageing=settings.priority_ageing, lease=lease
    )
    forecaster = Forecaster(pool, queue, estimates, dispatcher)
    fleet = Fleet(pool, Registry(database), dispatcher)
    followed = Followed(hub, store, forecaster, dispatcher)
    signals = Signals(database)
    for part in (dispatcher, fleet, followed):
        part.listen(signals)
    addresses = Guard(settings.allow_private_urls)
    remote = Remote(addresses)
    submitter = Submitter(
        store=store,
        hub=hub,
        dispatcher=dispatcher,
        pool=pool,
        library=library,
        estimates=estimates,
        queue=queue,
        forecaster=forecaster,
        default_timeout=settings.task_timeout,
        materials=Materials(uploads, remote, fetch_seconds=settings.fetch_timeout),
        everywhere=settings.everywhere(),
        api_keys=api_keys,
    )
    tasks = Tasks(
        store=store,
        hub=hub,
        dispatcher=dispatcher,
        submitter=submitter,
        forecaster=forecaster,
        files=files,
    )
    limits = Limits(settings.retention_age, settings.retention_bytes)
    retention = Retention(database, files, hub, limits)
    pace = Pace(schedule=settings.webhook_schedule)
    outbox = Outbox(database, lease.owner, lease_seconds=pace.held, view=forecaster.view)
    deliverer = Deliverer(outbox, remote, pace, _trusted(settings))
    hub.on_status(deliverer.changed)
    figures.watch(pool, hub, dispatcher, deliverer)
    assets = Assets(database, uploads, files, kept=settings.retention_age)
    return Gateway(
        access=access,
        caller=EVERYBODY,
        settings=settings,
        pool=pool,
        tasks=tasks,
        submitter=submitter,
        fleet=fleet,
        hub=hub,
        dispatcher=dispatcher,
        library=library,
        files=files,
        uploads=uploads,
        views=Views(files),
        guard=addresses,
        outbox=outbox,
        deliverer=deliverer,
        assets=assets,
        jobs=Jobs(tasks, submitter, assets),
        metrics=figures,
        readiness=Readiness(database),
        background=(
            dispatcher.run(),
            signals.run(),
            fleet.run(),
            followed.run(),
            tell_places(hub, store, forecaster),
            retention.run(),
            deliverer.run(),
            assets.run(),
            access.run(),
            api_keys.run(store),
        ),
    )


def _timing(settings: Settings) -> Timing:
    return Timing(
        poll=settings.poll_interval,
        poll_blind=min(settings.poll_interval, 0.5),
        server_grace=settings.server_grace,
        cancel_grace=settings.cancel_grace,
        stall_timeout=settings.stall_timeout,
    )


def _trusted(settings: Settings) -> tuple[Webhook, Remote] | None:
    """The operator's own webhook may be on a private host without more ado; only it."""
    webhook = settings.everywhere()
    if webhook is None:
        return None
    return webhook, Remote(Guard([*settings.allow_private_urls, webhook.host_name]))


def _stop_if_dead(work: asyncio.Task[None]) -> None:
    """uvicorn goes on without its background work: a gateway like that must not live."""
    if not work.cancelled() and (error := work.exception()):
        log.critical("the background work died; stopping", exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)
