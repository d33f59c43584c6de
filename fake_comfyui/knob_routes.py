"""/demo/*: the knobs and records over HTTP, for servers in other processes."""

from __future__ import annotations

from typing import Protocol

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route

from fake_comfyui.knobs import UnknownKnob
from fake_comfyui.replies import json_body, machine_of, nothing, reply
from fake_comfyui.validation import Malformed


class Connections(Protocol):
    """The server's open connections."""

    def cut(self, connection: HTTPConnection) -> None:
        """Cut one without another byte."""

    def cut_all(self, *, but: HTTPConnection | None = None) -> None:
        """Cut all of them, or all but one."""


async def get_knobs(request: Request) -> Response:
    return reply(machine_of(request).knobs.as_dict())


async def post_knobs(request: Request) -> Response:
    knobs = machine_of(request).knobs
    try:
        body = await json_body(request)
        knobs.update(body if isinstance(body, dict) else {})
    except (UnknownKnob, Malformed) as error:
        return reply({"error": str(error)}, 400)
    return reply(knobs.as_dict())


async def get_records(request: Request) -> Response:
    return reply(machine_of(request).records.as_dict())


async def post_restart(request: Request) -> Response:
    machine_of(request).restart_empty()
    request.app.state.connections.cut_all(but=request)
    return nothing()


async def post_die(request: Request) -> Response:
    machine_of(request).on_death()
    return nothing()


KNOB_ROUTES = [
    Route("/demo/knobs", post_knobs, methods=["POST"]),
    Route("/demo/knobs", get_knobs),
    Route("/demo/records", get_records),
    Route("/demo/restart", post_restart, methods=["POST"]),
    Route("/demo/die", post_die, methods=["POST"]),
]
