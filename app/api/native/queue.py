"""GET and POST /queue and POST /interrupt of ComfyUI's own protocol."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.api.access_levels import requires
from app.api.deps import gateway_of
from app.api.native.encoded import queue_bytes
from app.api.native.replies import MEDIA_TYPE
from app.api.native.requests import address_of, json_of, object_of, user_agent_of
from app.auth.model import AccessLevel
from app.errors import InvalidInput, InvalidJson
from app.tasks.native import origin_of


@requires(AccessLevel.READ)
async def get_queue(request: Request) -> Response:
    """Answer the caller's unfinished prompts."""
    gateway = gateway_of(request)
    content = await queue_bytes(gateway.native_tasks, gateway.native_memory)
    return Response(content, media_type=MEDIA_TYPE)


@requires(AccessLevel.RUN)
async def post_queue(request: Request) -> Response:
    """Cancel prompts that wait: {"delete": [ids]} or {"clear": true}."""
    body = await object_of(request)
    queue = gateway_of(request).native_queue
    if body.get("clear"):
        await queue.clear()
    if isinstance(ids := body.get("delete"), list):
        await queue.delete(ids, origin(request))
    return Response()


@requires(AccessLevel.RUN)
async def post_interrupt(request: Request) -> Response:
    """Cancel a prompt that runs, see NativeQueue.interrupt."""
    try:
        body = await json_of(request)
    except InvalidJson:
        body = {}  # ComfyUI takes it for no id
    if body is None:
        body = {}
    if not isinstance(body, dict):
        raise InvalidInput("The body must be a JSON object, or empty.")
    client_id = body.get("client_id") or request.query_params.get("clientId")
    await gateway_of(request).native_queue.interrupt(
        origin(request), _text(body.get("prompt_id")), _text(client_id)
    )
    return Response()


def origin(request: Request) -> str:
    """Return the digest of where a request comes from."""
    return origin_of(address_of(request), user_agent_of(request))


def _text(value: Any) -> str | None:
    return str(value) if value else None


ROUTES = [
    Route("/comfy/queue", post_queue, methods=["POST"]),
    Route("/comfy/queue", get_queue),
    Route("/comfy/interrupt", post_interrupt, methods=["POST"]),
]
