"""Endpoints that are called without FastAPI where a request is plain: the reads that are polled.

FastAPI looks at each parameter that a route declares, and keeps stacks for dependencies that have
none to close. That takes longer than to read the task, or the file, that was asked for.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.deps import gateway_of
from app.limits.json_types import Json
from app.workflows.references.ids import as_stored

T = TypeVar("T", bound=Callable[..., Any])
Read = Callable[[Request], Mapping[str, Any] | None]

MAX_ID, MAX_SUBFOLDER = 100, 500  # characters
_OF_A_TASK, _RESULTS = {"task_id", "subfolder", "type"}, {"output", "temp"}
_ATTRIBUTE = "plainly"
_TELEMETRY = "fastapi.telemetry"  # in the scope while OpenTelemetry is told each of FastAPI's steps
_bytes_of = TypeAdapter(Json).dump_json  # as FastAPI has it


def plainly(read: Read) -> Callable[[T], T]:
    """Declare what an endpoint is called with if a request is plain.

    `read` returns the arguments that FastAPI would, or None to leave the request to FastAPI: one
    with other parameters, or with a fault.
    """

    def declare(endpoint: T) -> T:
        setattr(endpoint, _ATTRIBUTE, read)
        return endpoint

    return declare


def of_a_result(request: Request) -> Json | None:
    """Return the arguments of a request for a result, as tasks name it in `url`."""
    query = request.query_params
    task_id, subfolder = query.get("task_id"), query.get("subfolder")
    is_usual = task_id and len(task_id) <= MAX_ID and len(subfolder or "") <= MAX_SUBFOLDER
    if not is_usual or query.keys() - _OF_A_TASK or query.get("type", "output") not in _RESULTS:
        return None
    return {
        "filename": request.path_params["filename"],
        "request": request,
        "gateway": gateway_of(request),
        "task_id": as_stored(task_id or ""),
        "subfolder": subfolder,
        "type": query.get("type"),
    }


def is_plain(route: BaseRoute) -> bool:
    """Return whether it is one of the routes that are asked most, so that it is tried first."""
    return hasattr(getattr(route, "endpoint", None), _ATTRIBUTE)


def reading_plainly(endpoint: Callable[..., Any], otherwise: ASGIApp) -> ASGIApp:
    """Return the application of a route whose application by FastAPI is `otherwise`."""
    read: Read | None = getattr(endpoint, _ATTRIBUTE, None)
    if read is None:
        return otherwise

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        arguments = None if _TELEMETRY in scope else read(request)
        if arguments is None:
            await otherwise(scope, receive, send)
            return
        answer = await endpoint(**arguments)
        if not isinstance(answer, Response):
            answer = Response(_bytes_of(answer), media_type="application/json")
        await answer(scope, receive, send)

    return app
