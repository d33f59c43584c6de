"""Routes of webhooks: deliveries and their replay."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.access_levels import requires
from app.api.deps import GatewayDep, Id
from app.api.pages import Before
from app.api.problems import responses
from app.api.strict_route import StrictRoute
from app.auth.model import AccessLevel
from app.errors import DeliveryNotFound, InvalidInput, TaskNotFound
from app.webhooks.delivery_json import DeliveryJson, DeliveryListJson, DeliveryPageJson
from app.webhooks.retries import DeliveryStatus

router = APIRouter(prefix="/api", tags=["webhooks"], route_class=StrictRoute)


@router.get(
    "/task/{task_id}/deliveries",
    responses=responses(TaskNotFound),
)
@requires(AccessLevel.READ)
async def list_deliveries_of_task(task_id: Id, gateway: GatewayDep) -> DeliveryListJson:
    """List the deliveries of a task with all attempts, including pending ones; oldest first."""
    return {"deliveries": await gateway.outbox.of_task(gateway.caller, task_id)}


@router.get("/deliveries", responses=responses(InvalidInput))
@requires(AccessLevel.READ)
async def list_deliveries(
    gateway: GatewayDep,
    before: Before,
    status: Annotated[
        list[DeliveryStatus] | None, Query(description="Only these; repeatable.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Deliveries in a page.")] = 50,
) -> DeliveryPageJson:
    """List the deliveries of the webhooks of all tasks, newest first."""
    found, following = await gateway.outbox.page(gateway.caller, status or (), limit, before)
    return {
        "deliveries": found,
        "next_cursor": None if following is None else str(following),
    }


@router.post(
    "/deliveries/{delivery_id}/replay",
    status_code=202,
    responses=responses(DeliveryNotFound),
)
@requires(AccessLevel.RUN)
async def replay_delivery(delivery_id: str, gateway: GatewayDep) -> DeliveryJson:
    """Send a delivery again now, whatever its status, with the same id and body.

    Its log of attempts is kept. A delivery in progress is not affected.
    """
    delivery = await gateway.outbox.replay(gateway.caller, delivery_id)
    gateway.deliverer.wake()
    return delivery
