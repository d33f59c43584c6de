"""What servers have: /object_info, /models, /embeddings, /view_metadata. The union of all."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.api.access_levels import requires
from app.api.deps import gateway_of
from app.api.etags import etag, is_known
from app.api.native.replies import MEDIA_TYPE, json_reply, nothing
from app.auth.model import AccessLevel
from app.errors import ComfyMissing, NoServer
from app.gateway import Gateway
from app.limits.json_types import Json
from app.servers import inventory
from app.services.encoded_nodes import one


def _node_types(gateway: Gateway) -> Mapping[str, Json]:
    """Return the node types of all servers. Raises NoServer while none has told any."""
    found = gateway.pool.node_types()
    if not found:
        gateway.pool.choose(None)
        raise NoServer("No ComfyUI server has told its node types yet.", hint="Ask again.")
    return found


@requires(AccessLevel.READ)
async def object_info(request: Request) -> Response:
    """Return all node types; inputs that name files have the caller's uploads as choices."""
    gateway = gateway_of(request)
    node_types = _node_types(gateway)
    found = await gateway.nodes.all(node_types, await gateway.assets.uploads_by_kind())
    headers = {
        "Cache-Control": "private, no-cache",
        "ETag": etag(found.version),
        "Vary": "Accept-Encoding",
    }
    if is_known(found.version, request.headers.get("if-none-match")):
        return Response(status_code=304, headers=headers)
    is_packed = "gzip" in request.headers.get("accept-encoding", "").lower()
    if is_packed:
        headers["Content-Encoding"] = "gzip"
    content = found.packed if is_packed else found.content
    return Response(content, headers=headers, media_type=MEDIA_TYPE)


@requires(AccessLevel.READ)
async def object_info_of(request: Request) -> Response:
    """Return one node type; of one that no server has ComfyUI says nothing."""
    gateway = gateway_of(request)
    class_type = request.path_params["class_type"]
    definition = _node_types(gateway).get(class_type)
    if definition is None:
        return json_reply({})
    uploads = await gateway.assets.uploads_by_kind()
    return json_reply({class_type: one(class_type, definition, uploads)})


@requires(AccessLevel.READ)
async def models(request: Request) -> Response:
    """Return the names of all model folders."""
    servers = gateway_of(request).pool.choose(None)
    return json_reply(await inventory.model_folders(servers))


@requires(AccessLevel.READ)
async def models_in(request: Request) -> Response:
    """Return the model files of a folder; 404 for a folder that no server has."""
    folder, servers = request.path_params["folder"], gateway_of(request).pool.choose(None)
    try:
        return json_reply(await inventory.model_files(servers, folder))
    except ComfyMissing:
        return nothing(404)


@requires(AccessLevel.READ)
async def embeddings(request: Request) -> Response:
    """Return the names of all textual inversion embeddings."""
    return json_reply(await inventory.embeddings(gateway_of(request).pool.choose(None)))


@requires(AccessLevel.READ)
async def view_metadata(request: Request) -> Response:
    """Return the metadata in the header of a model file, from the first server that has it."""
    filename = request.query_params.get("filename")
    folder = request.path_params["folder"]
    for server in gateway_of(request).pool.choose(None) if filename else ():
        try:
            return json_reply(await server.client.model_metadata(folder, filename or ""))
        except ComfyMissing:
            continue
    return nothing(404)


ROUTES = [
    Route("/comfy/object_info", object_info),
    Route("/comfy/object_info/{class_type}", object_info_of),
    Route("/comfy/models", models),
    Route("/comfy/models/{folder}", models_in),
    Route("/comfy/embeddings", embeddings),
    Route("/comfy/view_metadata/{folder}", view_metadata),
]
