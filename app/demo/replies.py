"""Responses in ComfyUI's manner, and the machine behind a request."""

from __future__ import annotations

import json
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from app.demo.machine import Machine
from app.demo.validation import Malformed


def machine_of(connection: HTTPConnection) -> Machine:
    machine: Machine = connection.app.state.machine
    return machine


def reply(data: Any, status: int = 200) -> Response:
    """JSON as the real server writes it: NaN and Infinity bare."""
    return Response(json.dumps(data), status, media_type="application/json; charset=utf-8")


def nothing(status: int = 200) -> Response:
    return Response(status_code=status)


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
