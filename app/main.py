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
from app.files.places import open_store
from app.files.uploads import Uploads
from app.files.views import Views
from app.gateway import Gateway
from app.limits import BodyLimit
from app.routers import events, image, saved, system, task, workflow
from app.servers.pool import Pool
from app.tasks.claims import Claims
from app.tasks.database import Database, open_database
from app.tasks.dispatcher import Dispatcher, new_owner
from app.tasks.hub import Hub
from app.tasks.retention import Limits, Retention
from app.tasks.service import Tasks
from app.tasks.store import TaskStore
from app.tasks.tools import Timing, Tools
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
    for module in (system, workflow, saved, task, image, events):
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
    limits = Limits(settings.retention_age, settings.retention_bytes)
    retention = Retention(database, gateway.files, gateway.hub, limits)
    work = [
        asyncio.create_task(gateway.dispatcher.run(), name="dispatcher"),
        asyncio.create_task(retention.run(), name="retention"),
    ]
    for one in work:
        one.add_done_callback(_stop_if_dead)
    try:
        yield gateway
    finally:
        gateway.hub.close()
        for one in work:
            one.cancel()
        await asyncio.wait(work)
        await database.close()


def build(settings: Settings, database: Database) -> Gateway:
    pool = Pool(settings.comfyui_server, slots=settings.slots)
    files = open_store(settings.files_url, settings.outputs_dir)
    uploads = Uploads(settings.uploads_dir, max_bytes=settings.max_upload_bytes)
    library = Library(settings.workflows_dir)
    hub = Hub()
    claims = Claims(
        database,
        new_owner(),
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
    tasks = Tasks(
        store=store,
        hub=hub,
        dispatcher=dispatcher,
        pool=pool,
        library=library,
        files=files,
        default_timeout=settings.task_timeout,
    )
    views = Views(files)
    return Gateway(settings, pool, tasks, hub, dispatcher, library, files, uploads, views)


def _stop_if_dead(work: asyncio.Task[None]) -> None:
    """uvicorn goes on without its background work: a gateway like that must not live."""
    if not work.cancelled() and (error := work.exception()):
        log.critical("the background work died; stopping", exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)
