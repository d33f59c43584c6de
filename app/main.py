"""Puts the gateway together: the only file that knows all the others."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypedDict

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

from app import problems
from app.config import VERSION, Settings
from app.files.store import FileStore
from app.files.uploads import Uploads
from app.files.views import Views
from app.gateway import Gateway
from app.limits import BodyLimit
from app.remote.guard import Guard
from app.remote.transport import Remote
from app.routers import events, image, saved, system, task, webhooks, workflow
from app.servers.pool import Pool
from app.tasks.claims import Claims
from app.tasks.database import Database, open_database
from app.tasks.dispatcher import Dispatcher, new_owner
from app.tasks.hub import Hub
from app.tasks.materials import Materials
from app.tasks.service import Tasks
from app.tasks.store import TaskStore
from app.tasks.tools import Timing, Tools
from app.tasks.webhooks import Webhook
from app.webhooks.deliverer import Deliverer, Pace
from app.webhooks.outbox import Outbox
from app.workflows.library import Library

log = logging.getLogger(__name__)

MULTIPART_ROOM = 1 << 20  # bytes for the parts around a file of the largest size
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
    )
    largest = max(settings.max_upload_bytes, settings.max_body_bytes) + MULTIPART_ROOM
    app.add_middleware(BodyLimit, max_bytes=largest)
    problems.install(app)
    for module in (system, workflow, saved, task, webhooks, image, events):
        app.include_router(module.router)
    app.mount("/static", Static(directory=STATIC), name="static")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    return app


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Gateway]:
    """A gateway with everything it does in the background."""
    database = await open_database(settings.database_url.get_secret_value())
    gateway = build(settings, database)
    work = [
        asyncio.create_task(gateway.dispatcher.run(), name="dispatcher"),
        asyncio.create_task(gateway.deliverer.run(), name="webhooks"),
    ]
    for part in work:
        part.add_done_callback(_stop_if_dead)
    try:
        yield gateway
    finally:
        gateway.hub.close()
        for part in work:
            part.cancel()
        await asyncio.wait(work)
        await database.close()


def build(settings: Settings, database: Database) -> Gateway:
    pool = Pool(settings.comfyui_server, slots=settings.slots)
    files = FileStore(settings.outputs_dir)
    uploads = Uploads(settings.uploads_dir, max_bytes=settings.max_upload_bytes)
    library = Library(settings.workflows_dir)
    hub = Hub()
    owner = new_owner()
    claims = Claims(
        database,
        owner,
        lease_seconds=settings.lease_seconds,
        max_attempts=settings.max_attempts,
    )
    timing = Timing(
        poll=settings.poll_interval,
        poll_blind=min(settings.poll_interval, 0.5),
        server_grace=settings.server_grace,
        cancel_grace=settings.cancel_grace,
    )
    dispatcher = Dispatcher(pool, Tools(claims, hub, files, uploads, pool, timing))
    store = TaskStore(database)
    guard = Guard(settings.allow_private_urls)
    remote = Remote(guard)
    everywhere = settings.everywhere()
    pace = Pace(schedule=settings.webhook_schedule)
    outbox = Outbox(database, owner, lease_seconds=pace.timeout + pace.lease)
    deliverer = Deliverer(outbox, remote, pace, _trusted(settings, everywhere))
    hub.on_status(deliverer.changed)
    tasks = Tasks(
        store=store,
        hub=hub,
        dispatcher=dispatcher,
        pool=pool,
        library=library,
        files=files,
        default_timeout=settings.task_timeout,
        materials=Materials(uploads, remote, fetch_seconds=settings.fetch_timeout),
        everywhere=everywhere,
    )
    views = Views(settings.outputs_dir / ".views")
    return Gateway(
        settings=settings,
        pool=pool,
        tasks=tasks,
        hub=hub,
        dispatcher=dispatcher,
        library=library,
        files=files,
        uploads=uploads,
        views=views,
        guard=guard,
        outbox=outbox,
        deliverer=deliverer,
    )


def _trusted(settings: Settings, webhook: Webhook | None) -> tuple[Webhook, Remote] | None:
    """The operator's own webhook may be on a private host without more ado; only it."""
    if webhook is None:
        return None
    return webhook, Remote(Guard([*settings.allow_private_urls, webhook.host_name]))


def _stop_if_dead(work: asyncio.Task[None]) -> None:
    """uvicorn goes on without its background work: a gateway like that must not live."""
    if not work.cancelled() and (error := work.exception()):
        log.critical("the background work died; stopping", exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)
