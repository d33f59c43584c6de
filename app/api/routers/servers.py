"""Routes of the ComfyUI servers: list, add, drain, resume, change, remove."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.access_levels import requires
from app.api.deps import GatewayDep
from app.api.problems import responses
from app.api.requests import ServerRequest, SlotsRequest
from app.api.strict_route import StrictRoute
from app.auth.model import AccessLevel
from app.errors import (
    ComfyError,
    InvalidInput,
    InvalidJson,
    PayloadTooLarge,
    ServerBusy,
    ServerExists,
    ServerNotFound,
)
from app.gateway import Gateway
from app.limits.periodic import wait_or_timeout
from app.servers import inventory
from app.servers.server import Server
from app.servers.server_json import ServerDetailJson, ServerJson, ServerListJson
from app.tasks.view import moment

router = APIRouter(prefix="/api", tags=["servers"], route_class=StrictRoute)

_BODY = responses(InvalidJson, PayloadTooLarge, InvalidInput)


def server_json(gateway: Gateway, server: Server) -> ServerJson:
    """Return the JSON of a server; what other replicas have there may be a second old."""
    held = len(gateway.dispatcher.seen_on(server))
    moves = server.online and not server.stalled
    return {
        "id": server.id,
        "state": server.state,
        "online": server.online,
        "connected": server.connected,
        "accepting": server.accepting,
        "reason": server.reason,
        "since": moment(server.health.since),
        "version": server.health.version,
        "slots": server.slots,
        "running": held,
        "queue_length": server.queue_length if server.online else None,
        "others": max(server.queue_length - held, 0) if server.online else None,
        "wait_seconds": round(gateway.dispatcher.wait_of(server), 1) if moves else None,
    }


async def fresh_json(gateway: Gateway, server: Server) -> ServerJson:
    """Return the JSON of a server with what all replicas have there now."""
    await gateway.dispatcher.peers.refresh()
    return server_json(gateway, server)


@router.get("/servers")
@requires(AccessLevel.READ)
async def list_servers(gateway: GatewayDep) -> ServerListJson:
    """List all servers with their state."""
    await gateway.dispatcher.peers.refresh()
    return {"servers": [server_json(gateway, server) for server in gateway.pool]}


@router.get(
    "/servers/{server_id:path}",
    responses=responses(ServerNotFound),
)
@requires(AccessLevel.READ)
async def get_server(server_id: str, gateway: GatewayDep) -> ServerDetailJson:
    """Return one server: its state, tasks, models and system_stats."""
    server = gateway.pool.get(server_id)
    try:
        models = await inventory.models([server]) if server.online else {}
    except ComfyError:
        models = {}
    shown = await fresh_json(gateway, server)
    held = [seen.task.task_id for seen in gateway.dispatcher.seen_on(server)]
    mine = held if gateway.caller.is_unrestricted else await gateway.tasks.known(held)
    return {
        **shown,
        "tasks": [task_id for task_id in held if task_id in mine],
        "warm": sorted(server.warm),
        "node_types": len(server.node_types),
        "models": models,
        "system_stats": server.health.stats or None,
    }


@router.post(
    "/servers",
    status_code=201,
    responses={**_BODY, **responses(ServerExists)},
)
@requires(AccessLevel.MANAGE)
async def add_server(body: ServerRequest, gateway: GatewayDep) -> ServerJson:
    """Add a ComfyUI server, permanently.

    Returns after at most 2 seconds: a server that does not answer is added as well, and used as
    soon as it answers. Two addresses of one ComfyUI process are one server.
    """
    server = await gateway.servers.add(body.address, body.slots)
    await wait_or_timeout(server.seen, 2)  # usually it answers at once, so that its state is known
    return await fresh_json(gateway, server)


@router.patch(
    "/servers/{server_id:path}",
    responses={**_BODY, **responses(ServerNotFound)},
)
@requires(AccessLevel.MANAGE)
async def change_server(server_id: str, body: SlotsRequest, gateway: GatewayDep) -> ServerJson:
    """Set how many prompts the server may hold. Prompts that it already holds are not affected."""
    return await fresh_json(gateway, await gateway.servers.set_slots(server_id, body.slots))


@router.post(
    "/servers/{server_id:path}/drain",
    responses=responses(ServerNotFound),
)
@requires(AccessLevel.MANAGE)
async def drain_server(server_id: str, gateway: GatewayDep) -> ServerJson:
    """Stop assigning tasks: pending ones move to other servers, running ones may finish.

    The server can be restarted when `running` is 0. It stays `draining`, also across restarts of
    the gateway, until it is resumed.
    """
    return await fresh_json(gateway, await gateway.servers.drain(server_id))


@router.post(
    "/servers/{server_id:path}/resume",
    responses=responses(ServerNotFound),
)
@requires(AccessLevel.MANAGE)
async def resume_server(server_id: str, gateway: GatewayDep) -> ServerJson:
    """Assign tasks again: after a drain, or at once to a server that is stalled or failing."""
    return await fresh_json(gateway, await gateway.servers.resume(server_id))


@router.delete(
    "/servers/{server_id:path}", status_code=204, responses=responses(ServerNotFound, ServerBusy)
)
@requires(AccessLevel.MANAGE)
async def remove_server(
    server_id: str,
    gateway: GatewayDep,
    force: Annotated[
        bool, Query(description="Also stop what runs there; it runs again elsewhere.")
    ] = False,
) -> None:
    """Remove a server. Its pending tasks go back to the queue.

    While a task runs there the request is refused, unless `force` is given. With `force` it is
    refused if the server has not released its tasks within 10 seconds; try again then. An offline
    server can always be removed.
    """
    await gateway.servers.remove(server_id, force=force)
