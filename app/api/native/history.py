"""GET and POST /history of ComfyUI's own protocol: the caller's ended prompts."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.api.access_levels import requires
from app.api.deps import gateway_of
from app.api.native.encoded import history_bytes, newest_history
from app.api.native.replies import MEDIA_TYPE
from app.api.native.requests import object_of
from app.auth.model import AccessLevel
from app.db.native_tasks import NEWEST, Ended
from app.errors import InvalidInput
from app.gateway import Gateway

MOST_IN_ANSWER = 1000  # entries, however many are asked for


@requires(AccessLevel.READ)
async def get_history(request: Request) -> Response:
    """Answer the newest entries, oldest first; with max_items or offset a part, as ComfyUI."""
    gateway, query = gateway_of(request), request.query_params
    if prompt_id := query.get("prompt_id"):
        return await _one(gateway, prompt_id)
    mine, memory = gateway.native_tasks, gateway.native_memory
    if "max_items" not in query and "offset" not in query:
        content = await newest_history(mine, memory, gateway.caller.name)
        return Response(content, media_type=MEDIA_TYPE)
    most, offset = _whole_number(request, "max_items"), _whole_number(request, "offset")
    part = page(await mine.ended(), most, -1 if offset is None else offset)
    return Response(await history_bytes(part, mine, memory), media_type=MEDIA_TYPE)


def page(found: list[Ended], most: int | None, offset: int) -> list[Ended]:
    """Return the last `most` entries, or those from `offset`, counted from the oldest."""
    if most is None and offset < 0:
        return found[-NEWEST:]
    if offset < 0:
        offset = max(0, len(found) - (most or 0))
    end = None if most is None else offset + max(0, most)
    return found[offset:end][-MOST_IN_ANSWER:]


@requires(AccessLevel.READ)
async def get_history_of(request: Request) -> Response:
    """Answer the entry of one prompt; {} unless it has ended."""
    return await _one(gateway_of(request), request.path_params["prompt_id"])


async def _one(gateway: Gateway, prompt_id: str) -> Response:
    mine = gateway.native_tasks
    found = await mine.one(prompt_id)
    content = await history_bytes([found] if found else [], mine, gateway.native_memory)
    return Response(content, media_type=MEDIA_TYPE)


@requires(AccessLevel.RUN)
async def post_history(request: Request) -> Response:
    """Take entries out of the history, {"delete": [ids]} or {"clear": true}; the tasks stay."""
    mine, body = gateway_of(request).native_tasks, await object_of(request)
    if body.get("clear"):
        await mine.hide(None)
    if isinstance(these := body.get("delete"), list):
        await mine.hide([one for one in these if isinstance(one, str)])
    return Response()


def _whole_number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise InvalidInput(f"{name}: a whole number is wanted.", field=name) from error


ROUTES = [
    Route("/comfy/history", post_history, methods=["POST"]),
    Route("/comfy/history", get_history),
    Route("/comfy/history/{prompt_id}", get_history_of),
]
