"""The ASGI application and its lifespan."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypedDict

from fastapi import APIRouter, FastAPI
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import SQLAlchemyError
from starlette.routing import Match, Mount
from starlette.types import Scope

from app.api import problems, v2
from app.api.access_levels import requires
from app.api.middleware.base_path import check_apart
from app.api.middleware.install import guard
from app.api.native import passing
from app.api.native.routes import ROUTES as NATIVE_ROUTES
from app.api.openapi import describe
from app.api.plain_requests import is_plain
from app.api.routers import (
    batches,
    events,
    image,
    metrics,
    page,
    saved_workflows,
    servers,
    system,
    task,
    webhooks,
    workflow,
)
from app.auth.model import AccessLevel
from app.checked_settings import checked, refuse_own_addresses
from app.container import build
from app.db.engine.database import Database, damage, open_database
from app.errors import CannotStart, GatewayError
from app.files.stores.factory import local_folders
from app.files.stores.temporary import check_writable
from app.gateway import Gateway
from app.given_settings import read_settings, without_effect
from app.limits.periodic import cancel_all
from app.redis import connect
from app.settings import VERSION, Settings

log = logging.getLogger(__name__)

# Routes are matched in this order: the most requested come first.
_MODULES = (
    *(task, image, workflow, system, servers, saved_workflows, batches, webhooks, events, metrics),
    *v2.MODULES,
)
ROUTERS: list[APIRouter] = [module.router for module in _MODULES]
STATIC = Path(__file__).parent.parent / "static"


# Of each sort of file in static/. On Windows the registry says what a script is, often text/plain:
# then no browser runs it.
CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".svg": "image/svg+xml",
}
PLAIN = "text/plain; charset=utf-8"


class Static(StaticFiles):
    """Static files that browsers revalidate each time, so that an upgrade shows at once."""

    def file_response(
        self, full_path: str | os.PathLike[str], *args: Any, **options: Any
    ) -> Response:
        response = super().file_response(full_path, *args, **options)
        response.headers["Cache-Control"] = "no-cache"
        if "Content-Type" in response.headers:  # else nothing has changed
            response.headers["Content-Type"] = CONTENT_TYPES.get(Path(full_path).suffix, PLAIN)
        return response


class Folder(Mount):
    """A folder of files. It is no page itself, so no redirect leads to it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http" and scope["path"] == f"{self.path}/":
            return Match.NONE, {}
        return super().matches(scope)


class LifespanState(TypedDict):
    gateway: Gateway


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return a new, independent ASGI application. Raise BadSettings."""
    settings = checked(settings or read_settings())
    refuse_own_addresses(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[LifespanState]:
        async with running(settings) as gateway:
            app.state.gateway = gateway
            yield {"gateway": gateway}

    app = FastAPI(
        title="ComfyUI API gateway",
        version=VERSION,
        description="One dependable API in front of one or many ComfyUI servers.",
        lifespan=lifespan,
        openapi_url=None,  # what it serves asks a CDN, and knows no base path; ours is in `page`
    )
    problems.install(app)
    for router in ROUTERS:  # include_router would make FastAPI build all routes a second time
        app.router.routes.extend(router.routes)
    files = requires(AccessLevel.OPEN)(Static(directory=STATIC))
    app.router.routes.append(Folder("/static", files, name="static"))
    app.router.routes.extend([*page.PAGE, *(page.DOCS if settings.docs else ())])
    check_apart(settings.root_path, app.routes)
    app.router.routes.sort(key=is_plain, reverse=True)  # stays in order but for these
    describe(app, list(app.routes))
    app.router.routes.extend([*passing.routes(settings.native_pass), *NATIVE_ROUTES])
    guard(app, settings, app.routes)
    return app


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Gateway]:
    """Run a gateway with all of its background work. Raises CannotStart."""
    with _made_folders(settings):
        async with _running(settings) as gateway:
            yield gateway


@asynccontextmanager
async def _running(settings: Settings) -> AsyncIterator[Gateway]:
    database = await _open_database(settings)
    redis = connect(settings.redis_url.get_secret_value()) if settings.redis_url else None
    gateway = build(settings, database, redis)
    for warning in [*gateway.warnings(), *without_effect()]:
        log.warning("%s", warning)
    work: list[asyncio.Task[None]] = []
    try:
        if gateway.runners is not None:
            await gateway.runners.join()
        await gateway.servers.begin()
        work += map(asyncio.create_task, gateway.background)
        for job in work:
            job.add_done_callback(_stop_if_dead)
        yield gateway
    finally:
        gateway.stop()
        await cancel_all(work)
        for coroutine in gateway.background:  # not begun if the start failed
            coroutine.close()
        await gateway.views.close()
        await gateway.readiness.close()
        if gateway.hub.event_bus is not None:
            await gateway.hub.event_bus.flush()
        if redis is not None:
            await redis.aclose()
        await database.close()
        gateway.workers.close()
        gateway.decoders.close()


@contextmanager
def _made_folders(settings: Settings) -> Iterator[None]:
    """Make the folders of files; remove those that were made if the body raises CannotStart.

    Raises CannotStart for one that cannot be made or written.
    """
    folders = local_folders(settings.files_url, settings.outputs_dir, settings.uploads_dir)
    made: list[Path] = []
    try:
        for name, folder in {**folders, "WORKFLOWS_DIR": settings.workflows_dir}.items():
            try:
                made += [path for path in (*folder.parents[::-1], folder) if not path.exists()]
                folder.mkdir(parents=True, exist_ok=True)
                check_writable(folder)
            except OSError as error:
                said = f"Setting COMFYUI_{name} cannot be used: {_told(error)}"
                raise CannotStart(said) from error
        yield
    except CannotStart:
        for folder in reversed(made):
            with suppress(OSError):  # not made, or not empty: another process uses it
                folder.rmdir()
        raise


async def _open_database(settings: Settings) -> Database:
    """Raises CannotStart if the database is away or refuses."""
    url = settings.database_url.get_secret_value()
    try:
        return await open_database(url)
    except GatewayError as error:
        said = " ".join(filter(None, [error.detail, error.hint]))
        raise CannotStart(f"Setting COMFYUI_DATABASE_URL cannot be used: {said}") from error
    except (SQLAlchemyError, OSError) as error:
        said = damage(error, url) or _told(error)
        raise CannotStart(f"Setting COMFYUI_DATABASE_URL cannot be used: {said}") from error


def _told(error: Exception) -> str:
    """Return what went wrong in one line, with the whole path of a file: a relative one says
    nothing to whoever did not start this process."""
    if isinstance(error, OSError) and isinstance(error.filename, str):
        # What `mkdir` says of a file; that a folder is there is none.
        why = "A file, not a folder" if isinstance(error, FileExistsError) else error.strerror
        return f"{why}: {str(Path(error.filename).absolute())!r}"
    return str(error).partition("\n")[0]  # the rest is a link to documentation


def _stop_if_dead(work: asyncio.Task[None]) -> None:
    """Stop the process when background work dies: uvicorn would keep serving without it."""
    if not work.cancelled() and (error := work.exception()):
        log.critical("the background work died; stopping", exc_info=error)
        signal.raise_signal(signal.SIGTERM)  # `os.kill` would end it at once on Windows
