"""Routes of live updates: SSE for one task, a WebSocket for all; polling shows the same data."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event

from app.api.access_levels import requires
from app.api.deps import GatewayDep, Id
from app.api.problems import responses
from app.api.strict_route import StrictRoute
from app.api.websocket_session import Session, until_one_ends
from app.auth.model import AccessLevel
from app.errors import LiveUpdatesUnavailable, TaskNotFound, TooManyConnections
from app.events.subscription import Ended, Subscription, Update
from app.gateway import Gateway
from app.tasks.view import timestamp

router = APIRouter(tags=["events"], route_class=StrictRoute)

LARGEST_ID = 2**53 - 1  # the largest exact integer of JavaScript; ids are microseconds
KEEPALIVE = 15.0  # seconds without an update after which a comment is sent


@router.get(
    "/api/task/{task_id}/events",
    response_class=StreamingResponse,
    responses={
        **responses(TaskNotFound, TooManyConnections, LiveUpdatesUnavailable),
        200: {"content": {"text/event-stream": {}}, "description": "Ends with the task."},
    },
)
@requires(AccessLevel.READ)
async def task_events(
    task_id: Id,
    gateway: GatewayDep,
    last_event_id: Annotated[str | None, Header(description="Go on after this one.")] = None,
    previews: Annotated[bool, Query(description="With preview images, as base64.")] = True,
) -> StreamingResponse:
    """Stream `status`, `progress`, `preview` and `output` of one task until it is finished.

    The stream starts and ends with the full task. Ids increase; with `Last-Event-ID` the missed
    updates come first, as far as they are kept: the last 200 of a task, without previews. After 15
    seconds without an event a comment is sent.
    """
    gateway.admit_stream()
    born = timestamp((await gateway.tasks.get(task_id)).created_at)
    resume = _number(last_event_id)
    return StreamingResponse(
        _task_stream(gateway, task_id, born, resume, previews),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _number(event_id: str | None) -> int | None:
    """Return an event id as a number; None for any other text.

    An invalid id starts the stream from the beginning: a browser that gets an error does not
    reconnect.
    """
    if not event_id or not event_id.isascii() or not event_id.isdigit() or len(event_id) > 16:
        return None
    return min(int(event_id), LARGEST_ID)


async def _task_stream(
    gateway: Gateway, task_id: str, born: str | None, resume: int | None, previews: bool
) -> AsyncIterator[bytes]:
    """Yield the stream of a task as text/event-stream."""
    with gateway.hub.subscribe([task_id], previews=previews) as updates:
        # Missed updates first, then the full task, so that the client's state is complete.
        sent = max(gateway.hub.last_id, resume or 0)
        if resume is not None:
            for missed in gateway.hub.since(task_id, resume, born):
                yield _sse(missed.type, missed.json_below(gateway.base_path), missed.id)
        try:
            task = await gateway.tasks.get(task_id)
        except TaskNotFound:  # deleted meanwhile: a client that comes again is told 404
            return
        yield _sse("status", json.dumps(gateway.tasks.view(task), ensure_ascii=False), sent)
        if task.finished:
            return
        async for update in _until_closed(updates):
            if update is None:
                yield format_sse_event(comment="keepalive")
                continue
            sent = max(sent, update.id)  # the clock of another replica may be ahead
            yield _sse(update.type, _sse_data(update, gateway.base_path), sent)
            if update.is_end:
                return


async def _until_closed(updates: Subscription) -> AsyncIterator[Update | None]:
    """Yield updates, and None after silence; ends when the client has to reconnect."""
    while True:
        try:
            async with asyncio.timeout(KEEPALIVE):
                update = await updates.get()
        except TimeoutError:
            yield None
        except Ended:
            return
        else:
            yield update


def _sse(event: str, data: str, id: int) -> bytes:
    """Return an event of text/event-stream with its id first: simple clients rely on that order,
    and format_sse_event would put it last."""
    return f"id: {id}\n".encode() + format_sse_event(event=event, data_str=data)


def _sse_data(update: Update, base_path: str) -> str:
    if update.type != "preview":
        return update.json_below(base_path)
    image = base64.b64encode(update.image).decode()
    return json.dumps({**update.data, "data_base64": image})


@router.websocket("/ws")
@requires(AccessLevel.READ)
async def websocket(socket: WebSocket, gateway: GatewayDep) -> None:
    """Send updates of every task that the key may see.

    `subscribe` limits them to some tasks, `unsubscribe` lifts the limit.
    """
    gateway.admit_stream()
    await socket.accept()
    with gateway.hub.subscribe() as updates:
        session = Session(socket, gateway, updates)
        await until_one_ends(session.send_updates(), session.receive())
