"""Routes of the gateway and its servers: health, node types, models, memory."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Body, Query

from app.api.access_levels import requires
from app.api.deps import GatewayDep, ServerQuery
from app.api.native.doors import PREFIX
from app.api.problems import responses
from app.api.requests import FreeRequest
from app.api.routers.servers import server_json
from app.api.routers.system_json import (
    EmbeddingsJson,
    FeaturesJson,
    FreedJson,
    HealthJson,
    InfoJson,
    ModelMetadataJson,
    ModelsJson,
    NativeJson,
    NodeTypesJson,
    ServerFeaturesJson,
)
from app.api.strict_route import StrictRoute
from app.auth.model import AccessLevel
from app.auth.native_ports import parse_all
from app.errors import (
    ComfyError,
    ComfyMissing,
    ComfyUnreachable,
    DatabaseUnavailable,
    InvalidInput,
    InvalidJson,
    NoRoom,
    NoServer,
    PayloadTooLarge,
    ServerNotFound,
    Stopping,
    StorageUnavailable,
)
from app.gateway import Gateway
from app.servers import inventory
from app.servers.server import Server
from app.settings import VERSION

router = APIRouter(prefix="/api", tags=["system"], route_class=StrictRoute)

# Shown instead of the reason to callers without a key
SECRET = "tasks would wait; with an API key this says why"
_ASKS = responses(ServerNotFound, NoServer, ComfyUnreachable, ComfyError)


@router.get("/health")
@requires(AccessLevel.OPEN)
async def health(gateway: GatewayDep) -> HealthJson:
    """Return 200 while the gateway is alive, without access to files, database or servers.

    The status is `degraded` if a server is offline, a disk is full, or there are no live updates;
    `reason` explains it. Servers and warnings are shown only to callers that may see them.
    """
    reason = trouble(gateway)
    told = gateway.caller.scope is not AccessLevel.OPEN
    return {
        "status": "degraded" if reason else "ok",
        "reason": reason,
        "version": VERSION,
        "gateway": gateway.id,
        "servers": [server_json(gateway, server) for server in gateway.pool] if told else [],
        "warnings": gateway.warnings() if told else [],
    }


def trouble(gateway: Gateway) -> str | None:
    """Return why tasks would wait or updates are missing, or None."""
    found = _trouble(gateway)
    return SECRET if found and gateway.caller.scope is AccessLevel.OPEN else found


def _trouble(gateway: Gateway) -> str | None:
    troubles = [] if list(gateway.pool) else ["no ComfyUI server is configured"]
    troubles += [
        f"{server.id}: {server.reason or server.state}"
        for server in gateway.pool
        if server.state != "online"
    ]
    if places := gateway.readiness.stores.trouble:
        troubles.append(places)
    if interruption := gateway.hub.interruption:
        troubles.append(interruption)
    return "; ".join(troubles) or None


@router.get(
    "/ready",
    responses=responses(NoServer, DatabaseUnavailable, NoRoom, StorageUnavailable, Stopping),
)
@requires(AccessLevel.OPEN)
async def ready(gateway: GatewayDep) -> HealthJson:
    """Return 200 if a task would be run now, else 503; for load balancers.

    The database and the file stores accept writes, a server accepts tasks, and the gateway is not
    stopping.
    """
    await gateway.check_ready()
    return await health(gateway)


@router.get("/system/info")
@requires(AccessLevel.READ)
async def info(gateway: GatewayDep) -> InfoJson:
    """Return the version, each server with its `system_stats`, and the number of `subscribers`.

    `native` has the addresses for clients of ComfyUI's own protocol.
    The current `settings`, without secrets, are shown to keys with scope manage.
    """
    await gateway.dispatcher.peers.refresh()
    manages = gateway.caller.scope is AccessLevel.MANAGE
    return {
        "version": VERSION,
        "settings": gateway.settings.shown() if manages else None,
        "servers": [
            {**server_json(gateway, server), "system_stats": server.health.stats or None}
            for server in gateway.pool
        ],
        "subscribers": gateway.hub.subscribers,
        "native": _doors(gateway),
    }


def _doors(gateway: Gateway) -> NativeJson:
    """Return where ComfyUI's own protocol is spoken, for this caller."""
    caller, base = gateway.caller, gateway.base_path
    sees_all = caller.scope is AccessLevel.MANAGE
    return {
        "root": f"{base}/",
        "path": f"{base}{PREFIX}/",
        "ports": [
            {"host": each.host, "port": each.port, "key": each.key_name}
            for each in parse_all(gateway.settings.native_ports)
            if sees_all or each.key_name == caller.name
        ],
    }


@router.get("/nodes", responses=responses(ServerNotFound, NoServer, ComfyMissing))
@requires(AccessLevel.READ)
async def nodes(
    gateway: GatewayDep,
    search: Annotated[
        str, Query(max_length=200, description="Words in the name or category.")
    ] = "",
    class_type: Annotated[
        str | None, Query(max_length=200, description="One node type, with its inputs.")
    ] = None,
    refresh: Annotated[
        bool, Query(description="Ask the servers again first, after an install.")
    ] = False,
    server: ServerQuery = None,
) -> NodeTypesJson:
    """List the node types of the online servers.

    The response has `nodes`, each with `class_type`, `display_name`, `category`, `output_node` and
    `outputs`, and their `total`; with `class_type` a single one, with its inputs as in ComfyUI's
    object_info.
    """
    gateway.pool.choose(server)
    if refresh:
        await gateway.pool.refresh(server, at_once=True)
    node_types = gateway.pool.node_types(server)
    if class_type is None:
        found = inventory.search_nodes(node_types, search)
        return {"nodes": found, "total": len(found)}
    if class_type not in node_types:
        raise ComfyMissing(
            f"No server has a node type {class_type!r}.", hint="Search with ?search=."
        )
    return {"nodes": [{"class_type": class_type, **node_types[class_type]}], "total": 1}


@router.get("/models", responses=_ASKS)
@requires(AccessLevel.READ)
async def models(gateway: GatewayDep, server: ServerQuery = None) -> ModelsJson:
    """Return the model files of all servers by folder, in `models`."""
    return {"models": await inventory.models(gateway.pool.choose(server))}


@router.get("/models/{folder}", responses={**_ASKS, **responses(ServerNotFound, ComfyMissing)})
@requires(AccessLevel.READ)
async def models_in(folder: str, gateway: GatewayDep, server: ServerQuery = None) -> ModelsJson:
    """Return the model files of all servers in one folder, in `models`."""
    return {"models": await inventory.models(gateway.pool.choose(server), folder)}


@router.get(
    "/models/{folder}/metadata", responses={**_ASKS, **responses(ServerNotFound, ComfyMissing)}
)
@requires(AccessLevel.READ)
async def model_metadata(
    folder: str,
    filename: Annotated[str, Query(min_length=1, description="Name of a safetensors file.")],
    gateway: GatewayDep,
    server: ServerQuery = None,
) -> ModelMetadataJson:
    """Return the header `metadata` of a safetensors file, from the first `server` that has it."""
    for candidate in gateway.pool.choose(server):
        try:
            return {
                "server": candidate.id,
                "metadata": await candidate.client.model_metadata(folder, filename),
            }
        except ComfyMissing:
            continue
    raise ComfyMissing(f"No server has metadata for {filename[:200]!r} in {folder[:80]!r}.")


@router.get("/embeddings", responses=_ASKS)
@requires(AccessLevel.READ)
async def embeddings(gateway: GatewayDep, server: ServerQuery = None) -> EmbeddingsJson:
    """Return the names of textual inversion `embeddings` of all servers."""
    return {"embeddings": sorted(await inventory.embeddings(gateway.pool.choose(server)))}


@router.get("/features", responses=_ASKS)
@requires(AccessLevel.READ)
async def features(gateway: GatewayDep, server: ServerQuery = None) -> FeaturesJson:
    """Return the features that each server supports.

    Each entry of `servers` has `server`, `features`, `extensions` (of its page), and `jobs_api`:
    whether it has ComfyUI's newer /api/jobs.
    """
    servers = gateway.pool.choose(server)
    return {"servers": list(await asyncio.gather(*map(_features, servers)))}


@router.post(
    "/system/free",
    responses={**_ASKS, **responses(InvalidInput, InvalidJson, PayloadTooLarge)},
)
@requires(AccessLevel.MANAGE)
async def free(
    gateway: GatewayDep,
    body: Annotated[FreeRequest, Body(default_factory=FreeRequest)],
    server: ServerQuery = None,
) -> FreedJson:
    """Unload models and clear cached results, after the running prompt.

    Returns the ids of the `servers` and the options that were sent to them.
    """
    servers = gateway.pool.choose(server)
    unload, forget = body.unload_models, body.free_memory
    await asyncio.gather(
        *(candidate.client.free(unload_models=unload, free_memory=forget) for candidate in servers)
    )
    return {
        "servers": [candidate.id for candidate in servers],
        "unload_models": unload,
        "free_memory": forget,
    }


async def _features(server: Server) -> ServerFeaturesJson:
    known, extensions = await asyncio.gather(server.client.features(), server.client.extensions())
    return {
        "server": server.id,
        "features": known,
        "jobs_api": server.client.has_jobs_api,
        "extensions": extensions,
    }
