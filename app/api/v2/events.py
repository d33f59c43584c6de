"""A job of Comfy API v2 as server-sent events, without ids or replay; polling shows the same."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event

from app.api.access_levels import requires
from app.api.deps import GatewayDep, Id
from app.api.strict_route import StrictRoute
from app.api.v2.job_json import PreviewEventJson, StatusEventJson
from app.api.v2.requests import HereDep, failures
from app.api.v2.shapes import (
    Here,
    job_view,
    output_event,
    preview_event,
    progress_event,
    status_event,
)
from app.auth.model import AccessLevel
from app.errors import LiveUpdatesUnavailable, TaskNotFound, TooManyConnections
from app.events.subscription import Ended, Subscription, Update, made
from app.gateway import Gateway
from app.tasks.model import TERMINAL, Task
from app.tasks.truncation import MAX_STREAM_BYTES, shortened
from app.tasks.view import output_view, timestamp

router = APIRouter(prefix="/api/v2", tags=["Comfy API v2"], route_class=StrictRoute)

PACE = 0.5  # seconds between two progress or preview events
SILENCE = 5.0  # seconds without an update after which the job is read again


@router.get(
    "/jobs/{id}/events",
    response_class=StreamingResponse,
    responses={
        **failures(TaskNotFound, TooManyConnections, LiveUpdatesUnavailable),
        200: {"content": {"text/event-stream": {}}, "description": "Ends with the job."},
    },
)
@requires(AccessLevel.READ)
async def job_events(id: Id, gateway: GatewayDep, here: HereDep) -> StreamingResponse:
    """Stream `status`, `progress`, `preview` and `output` of one job until it is finished."""
    gateway.admit_stream()
    await gateway.tasks.get(id)
    return StreamingResponse(
        _Stream(gateway, id, here).events(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


class _Stream:
    """The event stream of one job for one client."""

    def __init__(self, gateway: Gateway, job_id: str, here: Here) -> None:
        self._gateway = gateway
        self._id = job_id
        self._here = here
        self._task: Task
        self._told: StatusEventJson | None = None  # the last status event that was sent
        self._over = False

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the job's events as text/event-stream until it ends."""
        with (
            suppress(TaskNotFound),  # deleted meanwhile
            self._gateway.hub.subscribe([self._id], previews=True) as updates,
        ):
            async for frame in self._snapshot():
                yield frame
            if self._over:
                return
            if preview := self._gateway.hub.last_preview(
                self._id, timestamp(self._task.created_at)
            ):
                yield _sse("preview", _preview(preview))
            async for update in paced(updates):
                if update is not None:
                    yield self._frame(await self._whole(update))
                else:
                    yield format_sse_event(comment="keepalive")
                    async for frame in self._snapshot():
                        yield frame
                if self._over:
                    return

    async def _snapshot(self) -> AsyncIterator[bytes]:
        """Yield the job's state if it was not sent yet: another process may drive the job without
        events."""
        self._task = await self._gateway.tasks.get(self._id)
        live = self._gateway.dispatcher.progress_of(self._id)
        view = shortened(job_view(self._task, live, self._here), MAX_STREAM_BYTES)
        news = status_event(view)
        if news != self._told:
            yield self._status(news)
            if not self._over:
                yield _sse("progress", view["progress"])

    async def _whole(self, update: Update) -> Update:
        """Return an output update with its whole text: streams cut long texts, but the output's id
        in v2 is derived from all of it."""
        if update.type != "output" or "cut" not in update.data:
            return update
        task = await self._gateway.tasks.get(self._id)
        for output in task.outputs:
            if output_view(self._id, output) == update.data:
                return replace(update, content=made(output_view(self._id, output, whole=True)))
        return update

    def _frame(self, update: Update) -> bytes:
        """Return the update as an event; empty if v2 has none for it."""
        match update.type:
            case "status":
                news = status_event(update.data)
                return b"" if news == self._told else self._status(news)
            case "progress":
                return _sse("progress", progress_event(update.data))
            case "preview":
                return _sse("preview", _preview(update))
        here = replace(self._here, now=time.time())
        output = output_event(self._task, update.data, here)
        return _sse("output", output) if output else b""

    def _status(self, news: StatusEventJson) -> bytes:
        self._told = news
        self._over = news["status"] in TERMINAL
        return _sse("status", news)


async def paced(updates: Subscription) -> AsyncIterator[Update | None]:
    """Yield updates as they arrive, progress and previews at most once in PACE seconds, and None
    after SILENCE seconds without any.

    Ends when the client has to reconnect.
    """
    held: dict[str, Update] = {}
    due = 0.0
    while True:
        wait = max(due - time.monotonic(), 0) if held else SILENCE
        try:
            async with asyncio.timeout(wait):
                update = await updates.get()
        except TimeoutError:
            if not held:
                yield None
            for late in held.values():
                yield late
            held, due = {}, time.monotonic() + PACE
            continue
        except Ended:
            return
        if update.type in ("progress", "preview"):
            held[update.type] = update
            continue
        for late in held.values():
            yield late
        held = {}
        yield update


def _sse(event: str, data: object) -> bytes:
    """Return an event of text/event-stream."""
    return format_sse_event(event=event, data_str=json.dumps(data, separators=(",", ":")))


def _preview(update: Update) -> PreviewEventJson:
    return preview_event(update, base64.b64encode(update.image).decode())
