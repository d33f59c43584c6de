"""The HTTP and WebSocket routes, each also under /api."""

from __future__ import annotations

import json
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from fake_comfyui.files import upload_image, upload_mask, view
from fake_comfyui.internal import INTERNAL_ROUTES
from fake_comfyui.jobs import JOB_ROUTES
from fake_comfyui.knob_routes import KNOB_ROUTES, Connections
from fake_comfyui.knobs import distorted
from fake_comfyui.machine import Machine
from fake_comfyui.queue import QueueItem
from fake_comfyui.replies import (
    crash,
    json_body,
    machine_of,
    no_such_route,
    nothing,
    rejection,
    rejects,
    reply,
)
from fake_comfyui.stats import system_stats
from fake_comfyui.submit import submit
from fake_comfyui.validation import Malformed


async def home(_: Request) -> Response:
    return HTMLResponse("<!doctype html><title>Demo</title><p>A stand-in for ComfyUI.")


async def websocket(socket: WebSocket) -> None:
    await machine_of(socket).hub.serve(socket)


# --- prompts --------------------------------------------------------------------------------


async def post_prompt(request: Request) -> Response:
    machine, connections = machine_of(request), request.app.state.connections
    try:
        body = await json_body(request)
        await machine.knobs.until_off("hold_prompts")
        rejected = rejects(machine.knobs, body)
        if rejected and not machine.knobs.take_rejected:
            return rejection(machine.knobs)
        status, answer = submit(machine, body)
    except RecursionError as error:
        raise Malformed("too deep") from error
    if rejected:
        return rejection(machine.knobs)
    if machine.knobs.lose_prompt_reply and status == 200:
        machine.knobs.lose_prompt_reply = False
        connections.cut(request)
    return reply(answer, status)


async def get_prompt(request: Request) -> Response:
    remaining = machine_of(request).queue.remaining
    return reply({"exec_info": {"queue_remaining": remaining}})


async def get_queue(request: Request) -> Response:
    machine = machine_of(request)
    running = machine.queue.running
    shown = [] if running is None else [_shown(machine, running)]
    pending = [_shown(machine, item) for item in machine.queue.pending]
    return reply({"queue_running": shown, "queue_pending": pending})


def _shown(machine: Machine, item: QueueItem) -> list[Any]:
    """Older servers show the API keys to anybody."""
    entry = item.as_list()
    if not machine.version.jobs_api and item.secrets:
        entry[3] = {**item.extra_data, **item.secrets}
    return entry


async def post_queue(request: Request) -> Response:
    queue, body = machine_of(request).queue, await _object(request)
    if body.get("clear"):
        queue.clear()
    for prompt_id in body.get("delete", ()):  # a string is walked by character, as there
        queue.delete(prompt_id)
    return nothing()


async def get_history(request: Request) -> Response:
    machine, query = machine_of(request), request.query_params
    try:
        max_items = int(query["max_items"]) if "max_items" in query else None
        offset = int(query.get("offset", -1))
    except ValueError as error:
        raise Malformed("max_items or offset") from error
    page = machine.queue.page(max_items, offset)
    return reply({} if page and _hidden(machine) else distorted(page, machine.knobs.say))


async def get_history_of(request: Request) -> Response:
    machine, prompt_id = machine_of(request), request.path_params["prompt_id"]
    entry = machine.queue.history.get(prompt_id)
    if entry is None or _hidden(machine):
        return reply({})
    return reply({prompt_id: distorted(entry, machine.knobs.say)})


def _hidden(machine: Machine) -> bool:
    if machine.knobs.hide_history <= 0:
        return False
    machine.knobs.hide_history -= 1
    return True


async def post_history(request: Request) -> Response:
    history, body = machine_of(request).queue.history, await _object(request)
    if body.get("clear"):
        history.clear()
    for prompt_id in body.get("delete", ()):
        history.pop(prompt_id, None)
    return nothing()


async def post_interrupt(request: Request) -> Response:
    """Without a usable prompt_id it is meant for whatever runs. Always 200."""
    machine = machine_of(request)
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        raise Malformed("body")
    prompt_id = body.get("prompt_id") or None
    machine.records.interrupts.append(prompt_id)
    machine.interrupt(prompt_id)
    return nothing()


async def post_free(request: Request) -> Response:
    machine, body = machine_of(request), await _object(request)
    machine.records.frees.append(body)
    machine.free(memory=bool(body.get("free_memory")))
    return nothing()


async def _object(request: Request) -> dict[str, Any]:
    body = await json_body(request)
    if not isinstance(body, dict):
        raise Malformed("not an object")
    return body


# --- what there is --------------------------------------------------------------------------


async def get_object_info(request: Request) -> Response:
    content = machine_of(request).catalogue.encoded()
    return Response(content, media_type="application/json; charset=utf-8")


async def get_node_info(request: Request) -> Response:
    name = request.path_params["name"]
    info = machine_of(request).catalogue.describe(name)
    return reply({} if info is None else {name: info})


async def get_models(request: Request) -> Response:
    return reply(list(machine_of(request).catalogue.models))


async def get_model_files(request: Request) -> Response:
    files = machine_of(request).catalogue.models.get(request.path_params["folder"])
    return nothing(404) if files is None else reply(list(files))


async def get_embeddings(request: Request) -> Response:
    names = machine_of(request).catalogue.models["embeddings"]
    return reply([name.rpartition(".")[0] for name in names])


async def get_model_metadata(request: Request) -> Response:
    files = machine_of(request).catalogue.models.get(request.path_params["folder"], ())
    name = request.query_params.get("filename")
    if name not in files:
        return nothing(404)
    return reply({"modelspec.title": name.rpartition(".")[0]})


async def get_features(request: Request) -> Response:
    return reply(machine_of(request).version.features)


async def get_extensions(_: Request) -> Response:
    return reply([])


async def get_system_stats(request: Request) -> Response:
    return reply(system_stats(machine_of(request).version))


ROUTES: list[BaseRoute] = [
    Route("/prompt", post_prompt, methods=["POST"]),
    Route("/prompt", get_prompt),
    Route("/queue", post_queue, methods=["POST"]),
    Route("/queue", get_queue),
    Route("/history", post_history, methods=["POST"]),
    Route("/history", get_history),
    Route("/history/{prompt_id}", get_history_of),
    Route("/interrupt", post_interrupt, methods=["POST"]),
    Route("/free", post_free, methods=["POST"]),
    Route("/view", view),
    Route("/upload/image", upload_image, methods=["POST"]),
    Route("/upload/mask", upload_mask, methods=["POST"]),
    Route("/object_info", get_object_info),
    Route("/object_info/{name}", get_node_info),
    Route("/system_stats", get_system_stats),
    Route("/models", get_models),
    Route("/models/{folder}", get_model_files),
    Route("/embeddings", get_embeddings),
    Route("/view_metadata/{folder}", get_model_metadata),
    Route("/features", get_features),
    Route("/extensions", get_extensions),
    WebSocketRoute("/ws", websocket),
]


def application(machine: Machine, connections: Connections) -> Starlette:
    """The ASGI application of one demo server."""
    jobs: list[BaseRoute] = list(JOB_ROUTES) if machine.version.jobs_api else []
    app = Starlette(
        routes=[
            *KNOB_ROUTES,
            *ROUTES,
            *INTERNAL_ROUTES,
            Mount("/api", routes=[*jobs, *ROUTES]),
            Route("/", home),
        ],
        exception_handlers={
            Malformed: crash,
            OSError: crash,  # a name that no disk can hold
            HTTPException: no_such_route,
            500: crash,
        },
    )
    app.router.redirect_slashes = False
    app.state.machine = machine
    app.state.connections = connections
    return app
