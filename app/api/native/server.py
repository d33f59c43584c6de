"""What ComfyUI says of itself: /system_stats, /features, /extensions; and POST /free."""

import re
from collections.abc import Sequence
from itertools import count

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from app.api.access_levels import requires
from app.api.bodies import read_body
from app.api.deps import gateway_of
from app.api.native.replies import json_reply, nothing
from app.auth.model import AccessLevel
from app.errors import InvalidJson
from app.gateway import Gateway
from app.limits.json_types import Json
from app.servers import inventory
from app.servers.server import Server
from app.workflows.json_text import parse_json


@requires(AccessLevel.READ)
async def system_stats(request: Request) -> Response:
    """Answer for all online servers: `system` of the oldest version, `devices` of all of them."""
    online = gateway_of(request).pool.choose(None)
    oldest = min(online, key=_version)
    system = oldest.health.stats.get("system")
    shown = {**system, "argv": []} if isinstance(system, dict) else {}
    return json_reply({"system": shown, "devices": _devices(online)})


def _version(server: Server) -> list[int]:
    """Return a version for comparison: [0, 33, 0]; an unknown one is the newest."""
    numbers = re.findall(r"\d{1,9}", server.health.version or "")
    return [int(number) for number in numbers[:3]] or [1 << 30]


def _devices(servers: Sequence[Server]) -> list[Json]:
    """Return the devices of all servers, numbered: clients tell them apart by `index`.

    A CPU keeps the null that ComfyUI gives it.
    """
    numbers, found = count(), []
    for server in servers:
        told = server.health.stats.get("devices")
        for device in told if isinstance(told, list) else ():
            if isinstance(device, dict):
                is_numbered = device.get("index") is not None
                found.append({**device, "index": next(numbers)} if is_numbered else device)
    return found


@requires(AccessLevel.READ)
async def features(request: Request) -> Response:
    """Return what all servers support."""
    return json_reply(await common_features(gateway_of(request)))


async def common_features(gateway: Gateway) -> Json:
    """Return what all servers support, and the gateway's own limits in place of theirs.

    Raises NoServer, and ComfyError if no server answers.
    """
    found = await inventory.features(gateway.pool.choose(None))
    return {**found, **own_features(gateway)}


def own_features(gateway: Gateway) -> Json:
    """Return what the gateway says of itself. Assets are its own, at /api/v2."""
    return {"max_upload_size": gateway.settings.max_upload_bytes, "assets": False}


@requires(AccessLevel.READ)
async def extensions(request: Request) -> Response:
    """Return no JavaScript of node packs: none is served."""
    return json_reply([])


@requires(AccessLevel.MANAGE)
async def free(request: Request) -> Response:
    """Unload models and clear cached results of all servers, whoever uses them."""
    servers = gateway_of(request).pool.choose(None)
    body = await read_body(request)
    said = parse_json(body) if body.strip() else {}
    if not isinstance(said, dict):
        raise InvalidJson("The body must be a JSON object.")
    unload, forget = (bool(said.get(name)) for name in ("unload_models", "free_memory"))
    await inventory.of_all(
        servers, lambda server: server.client.free(unload_models=unload, free_memory=forget)
    )
    return nothing()


_FRONT = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>ComfyUI gateway</title></head>
<body><p>ComfyUI's own protocol, for all servers of this gateway. Its page is not here.</p></body>
</html>
"""


@requires(AccessLevel.OPEN)
async def front(request: Request) -> HTMLResponse:
    """Answer who asks for the page only to find out whether a ComfyUI is there."""
    return HTMLResponse(_FRONT)


ROUTES = [
    Route("/comfy/", front),
    Route("/comfy/system_stats", system_stats),
    Route("/comfy/features", features),
    Route("/comfy/extensions", extensions),
    Route("/comfy/free", free, methods=["POST"]),
]
