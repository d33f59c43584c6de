"""Responses in ComfyUI's manner, and the machine behind a request."""

from __future__ import annotations

import json
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from fake_comfyui.knobs import Knobs
from fake_comfyui.machine import Machine
from fake_comfyui.validation import Malformed


def machine_of(connection: HTTPConnection) -> Machine:
    machine: Machine = connection.app.state.machine
    return machine


def reply(data: Any, status: int = 200) -> Response:
    """JSON as the real server writes it: NaN and Infinity bare."""
    return Response(json.dumps(data), status, media_type="application/json; charset=utf-8")


def nothing(status: int = 200) -> Response:
    return Response(status_code=status)


def rejects(knobs: Knobs, body: Any) -> bool:
    """Whether a POST /prompt with this body is rejected by the knobs."""
    if knobs.reject_with is None or knobs.reject_path is not None:
        return False
    graph = body.get("prompt") if isinstance(body, dict) else None
    nodes = graph.values() if isinstance(graph, dict) else ()
    types = {node.get("class_type") for node in nodes if isinstance(node, dict)}
    return knobs.reject_only is None or knobs.reject_only in types


def rejection(knobs: Knobs) -> Response:
    """What `reject_with` says."""
    status, body = knobs.reject_with or (500, "")
    answer = reply(body, status)
    if isinstance(body, str):
        answer = Response(body, status, media_type="text/plain; charset=utf-8")
    if knobs.retry_after is not None:
        answer.headers["retry-after"] = knobs.retry_after
    return answer


async def json_body(request: Request) -> Any:
    """The body, whatever its Content-Type; not JSON is a 500."""
    try:
        return json.loads(await request.body())
    except ValueError as error:
        raise Malformed("not JSON") from error


async def crash(_: Request, __: Exception) -> Response:
    text = "500 Internal Server Error\n\nServer got itself in trouble"
    return Response(text, 500, media_type="text/plain; charset=utf-8")


async def no_such_route(request: Request, error: Exception) -> Response:
    """GET of anything unknown is 404, other methods are 405."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status not in (404, 405):
        return Response(status_code=status)
    if request.method in ("GET", "HEAD"):
        return Response(b"", 404, media_type="application/octet-stream")
    if request.method == "OPTIONS":
        return Response(status_code=200)
    text = "405: Method Not Allowed"
    return Response(text, 405, media_type="text/plain; charset=utf-8")
