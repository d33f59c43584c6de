"""Comfy API v2: assets, which are uploads and results of jobs."""

from typing import Annotated

from fastapi import APIRouter, File, Form, Header, Request, Response, UploadFile

from app.api.access_levels import requires
from app.api.bodies import chunks_of
from app.api.deps import GatewayDep, Id
from app.api.file_response import stored_bytes, stored_file
from app.api.strict_route import StrictRoute
from app.api.v2.job_json import AssetJson
from app.api.v2.requests import HereDep, SingleUse, failures
from app.api.v2.schemas import Absent, FilePath, HashRequest, HashText, Seconds, Tags
from app.api.v2.shapes import asset_view
from app.auth.model import AccessLevel
from app.errors import (
    AssetInUse,
    AssetNotFound,
    BlobNotFound,
    HashMismatch,
    KeyReused,
    PayloadTooLarge,
    StorageFull,
)
from app.limits.json_types import Json
from app.services.assets import Wish
from app.tasks.asset import encoded

router = APIRouter(prefix="/api/v2", tags=["Comfy API v2"], route_class=StrictRoute)

_BYTES: Json = {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
_TOKEN = r"[A-Za-z0-9!#$&^_.+-]+"
MEDIA_TYPE = rf"^{_TOKEN}/{_TOKEN}( *; *{_TOKEN}=({_TOKEN}|\"[ !#-\[\]-~]*\"))*$"


@router.post(
    "/assets",
    status_code=201,
    responses={
        **failures(HashMismatch, KeyReused, PayloadTooLarge, StorageFull),
        200: {"model": AssetJson, "description": "Its bytes were here."},
        201: {"description": "Its bytes are new."},
    },
)
@requires(AccessLevel.RUN)
async def post_assets(
    gateway: GatewayDep,
    here: HereDep,
    key: SingleUse,
    response: Response,
    file: Annotated[UploadFile, File(description="The bytes.")],
    content_type: Annotated[
        str,
        Form(
            max_length=120,
            pattern=MEDIA_TYPE,
            description="Such as image/png; what the bytes prove counts more.",
        ),
    ],
    file_path: Annotated[FilePath, Form(description="Its name, such as photo.png.")],
    expected_hash: Annotated[
        HashText | Absent, Form(description='"blake3:<hex>"; other bytes are refused.')
    ] = None,
    tags: Annotated[Tags | Absent, Form(description="Repeatable.")] = None,
    expires_in: Annotated[Seconds | Absent, Form()] = None,
) -> AssetJson:
    """Store a file as a new asset: 201 if its bytes are new, 200 if they existed."""
    wish = Wish(file_path, content_type, tags or (), expires_in)
    asset, is_new = await gateway.assets.keep(
        chunks_of(file), wish, expected_hash=expected_hash, key=key
    )
    response.status_code = 201 if is_new else 200
    return asset_view(asset, here, created_new=is_new)


@router.post(
    "/assets/from-hash",
    status_code=201,
    responses={
        **failures(BlobNotFound, PayloadTooLarge),
        200: {"model": AssetJson, "description": "There was one like it."},
        201: {"description": "A new asset over bytes that are here."},
    },
)
@requires(AccessLevel.RUN)
async def asset_from_hash(
    body: HashRequest, gateway: GatewayDep, here: HereDep, response: Response
) -> AssetJson:
    """Create an asset from existing bytes."""
    wish = Wish(body.file_path, None, body.tags, body.expires_in)
    asset, is_new = await gateway.assets.from_hash(body.hash, wish)
    response.status_code = 201 if is_new else 200
    return asset_view(asset, here, created_new=False)


@router.head(
    "/assets/by-hash/{hash}",
    response_class=Response,
    responses={
        **failures(),
        200: {"description": "An asset can be made of it."},
        404: {"description": "It cannot."},
    },
)
@requires(AccessLevel.READ)
async def head_asset_by_hash(hash: str, gateway: GatewayDep) -> Response:
    """Return 200 if bytes with this hash exist, so that they need not be sent."""
    return Response(status_code=200 if await gateway.assets.is_known(hash) else 404)


@router.get("/assets/{id}", responses=failures(AssetNotFound))
@requires(AccessLevel.READ)
async def get_asset(id: Id, gateway: GatewayDep, here: HereDep) -> AssetJson:
    """Return the properties of an asset."""
    return asset_view(await gateway.assets.get(id), here)


@router.delete("/assets/{id}", status_code=204, responses=failures(AssetNotFound, AssetInUse))
@requires(AccessLevel.RUN)
async def delete_asset(id: Id, gateway: GatewayDep) -> None:
    """Delete an asset; its bytes are deleted with the last asset that has them."""
    await gateway.assets.delete(id)


@router.head("/assets/{id}/content", include_in_schema=False)
@router.get(
    "/assets/{id}/content",
    response_class=Response,
    responses={
        **failures(AssetNotFound),
        200: {**_BYTES, "description": "The file; Range and ETag work."},
        206: {**_BYTES, "description": "The part that Range asked for."},
        304: {"description": "It is what If-None-Match names."},
        416: {"description": "Range is outside of the file."},
    },
)
@requires(AccessLevel.READ)
async def get_asset_content(
    id: Id,
    request: Request,
    gateway: GatewayDep,
    range: Annotated[str | None, Header(description="A part, such as bytes=0-1048575.")] = None,
) -> Response:
    """Return the bytes of an asset."""
    asset = await gateway.assets.get(id)
    kind, name = asset.content_type, asset.filename
    if asset.text is not None:
        content = encoded(asset.text)
        return await stored_bytes(request, content, content_type=kind, filename=name)
    files, key = await gateway.assets.content(asset)
    return await stored_file(request, files, key, content_type=kind, filename=name)
