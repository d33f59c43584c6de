"""Route of the metrics for Prometheus."""

from fastapi import APIRouter
from fastapi.responses import Response

from app.api.access_levels import requires
from app.api.deps import GatewayDep
from app.api.strict_route import StrictRoute
from app.auth.model import AccessLevel
from app.metrics import CONTENT_TYPE

router = APIRouter(tags=["system"], route_class=StrictRoute)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "The figures as text."}},
)
@requires(AccessLevel.READ)
async def metrics(gateway: GatewayDep) -> Response:
    """Return metrics of tasks, queue, servers, streams, webhooks and requests for Prometheus."""
    return Response(await gateway.metrics.page(), headers={"Content-Type": CONTENT_TYPE})
