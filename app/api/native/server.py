"""What ComfyUI says of itself: /system_stats."""

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from app.api.access_levels import requires
from app.api.deps import gateway_of
from app.auth.model import AccessLevel


@requires(AccessLevel.READ)
async def system_stats(request: Request) -> JSONResponse:
    """Answer for all online servers together: `system` of one, `devices` of all."""
    online = gateway_of(request).pool.online()
    stats = [server.health.stats for server in online if server.health.stats]
    devices = [device for one in stats for device in one.get("devices", ())]
    return JSONResponse({"system": stats[0]["system"] if stats else {}, "devices": devices})


ROUTES = [Route("/comfy/system_stats", system_stats)]
