"""Routes of saved workflows: save, edit, run, restore versions."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, File, Form, Request, Response, UploadFile

from app.api.access_levels import requires
from app.api.bodies import file_content
from app.api.deps import GatewayDep
from app.api.etags import IfMatch, IfNoneMatch, etag, is_known, matching
from app.api.forms import FORM_OR_RUN, run_or_form
from app.api.openapi import served_below
from app.api.problems import responses
from app.api.requests import RestoreRequest, UpdateRequest
from app.api.routers.submit import SUBMIT_RESPONSES, AskedDep, submit_and_answer
from app.api.routers.workflow import doubts
from app.api.strict_route import StrictRoute
from app.auth.model import AccessLevel
from app.errors import (
    InvalidInput,
    InvalidJson,
    InvalidParameter,
    InvalidWorkflow,
    PayloadTooLarge,
    PreconditionFailed,
    StorageFull,
    VersionNotFound,
    WorkflowExists,
    WorkflowFormatUnsupported,
    WorkflowNotFound,
)
from app.limits.json_types import Json
from app.workflows import openapi
from app.workflows.parameters.parameter_json import parameter_json
from app.workflows.saved import editing
from app.workflows.saved.library import Saved
from app.workflows.saved.workflow_json import VersionListJson, WorkflowJson, WorkflowListJson

router = APIRouter(prefix="/api", tags=["workflows"], route_class=StrictRoute)

_GONE_WRONG = responses(
    WorkflowNotFound, InvalidInput, InvalidJson, InvalidWorkflow, WorkflowFormatUnsupported
)


@router.post(
    "/workflow/upload",
    status_code=201,
    responses={
        **responses(InvalidJson, PayloadTooLarge, WorkflowExists, StorageFull),
        **responses(InvalidInput, InvalidWorkflow, WorkflowFormatUnsupported),
    },
)
@requires(AccessLevel.MANAGE)
async def upload(
    gateway: GatewayDep,
    response: Response,
    file: Annotated[
        UploadFile, File(description="A workflow (.json), or a picture with one (.png .webp .jpg).")
    ],
    filename: Annotated[str | None, Form(description="Another name to keep it under.")] = None,
    overwrite: Annotated[bool, Form(description="Replace one of that name.")] = False,
) -> WorkflowJson:
    """Save a workflow from a JSON file or an image; returns its parameters.

    An image `fox.png` that ComfyUI saved becomes `fox.json`; the image itself is not stored. A
    workflow in UI format is stored in that format; the keys of its parameters are those of its API
    format. Names consist of letters, digits, spaces and `- _ . ( )`, at most 200 bytes.
    """
    name, definitions = filename or file.filename or "", gateway.pool.definitions()
    limit = gateway.settings.max_body_bytes

    def keep() -> Saved:
        content = file_content(file, limit)
        return editing.keep(gateway.library, name, content, definitions, overwrite=overwrite)

    saved = await gateway.workers.run(keep)
    return await _shown(gateway, saved, response)


@router.get("/workflows")
@requires(AccessLevel.READ)
async def list_workflows(gateway: GatewayDep) -> WorkflowListJson:
    """List the saved workflows by name."""
    return {"workflows": await gateway.workers.run(editing.listing, gateway.library)}


@router.post(
    "/workflow/update",
    responses={
        **responses(InvalidJson, WorkflowNotFound),
        **responses(InvalidInput, InvalidWorkflow, WorkflowFormatUnsupported, InvalidParameter),
        **responses(PayloadTooLarge, StorageFull, PreconditionFailed),
    },
)
@requires(AccessLevel.MANAGE)
async def update_workflow(
    body: UpdateRequest,
    gateway: GatewayDep,
    response: Response,
    if_match: IfMatch = None,
) -> WorkflowJson:
    """Save new parameter values, or a new workflow, into a saved file.

    A seed of -1 is saved as such, so that every run gets a new one; in UI format a random seed is
    saved. After an error the file is unchanged. The previous content becomes a version.
    """
    saved = await gateway.workers.run(
        editing.update,
        gateway.library,
        body.filename,
        body.params,
        body.workflow,
        gateway.pool.definitions(),
        matching(if_match),
    )
    return await _shown(gateway, saved, response)


@router.get(
    "/workflow/{filename}",
    responses={
        **_GONE_WRONG,
        304: {"description": "It is what If-None-Match names."},
    },
)
@requires(AccessLevel.READ)
async def get_workflow(
    filename: str, gateway: GatewayDep, response: Response, if_none_match: IfNoneMatch = None
) -> WorkflowJson | Response:
    """Return a saved workflow, its format and parameters, with an `ETag`; `.json` is optional."""
    saved = await gateway.workers.run(gateway.library.open, filename)
    if is_known(saved.version, if_none_match):
        return Response(status_code=304, headers={"ETag": etag(saved.version)})
    return await _shown(gateway, saved, response)


@router.delete(
    "/workflow/{filename}",
    status_code=204,
    responses=responses(WorkflowNotFound, InvalidInput, PreconditionFailed, StorageFull),
)
@requires(AccessLevel.MANAGE)
async def delete_workflow(filename: str, gateway: GatewayDep, if_match: IfMatch = None) -> None:
    """Delete a saved workflow. Its content is kept as a version, which can be restored."""
    await gateway.workers.run(gateway.library.delete, filename, matching(if_match))


@router.post(
    "/workflow/{filename}/run",
    status_code=202,
    responses={**_GONE_WRONG, **SUBMIT_RESPONSES},
)
@requires(AccessLevel.RUN)
async def run_workflow(
    filename: str, request: Request, asked: Annotated[AskedDep, FORM_OR_RUN]
) -> Response:
    """Queue a saved workflow; the response is that of a submit. The body may be empty."""
    return await submit_and_answer(await run_or_form(request, filename), asked)


@router.get("/workflow/{filename}/openapi.json", responses=_GONE_WRONG)
@requires(AccessLevel.READ)
async def describe_workflow(filename: str, gateway: GatewayDep) -> Json:
    """Return an OpenAPI document of the route that runs this workflow, with its parameters.

    Parameters are listed by key and by name, with types, limits, choices (up to 200) and their
    current values as defaults.
    """
    saved = await gateway.workers.run(gateway.library.open, filename)
    shown = await gateway.workers.run(editing.describe, saved.workflow, gateway.pool.definitions())
    path = f"/api/workflow/{quote(saved.filename, safe='')}/run"
    made = openapi.document(saved.filename, saved.version, path, shown.parameters)
    return served_below(made, gateway.base_path)


@router.get(
    "/workflow/{filename}/versions",
    responses=responses(WorkflowNotFound, InvalidInput),
)
@requires(AccessLevel.READ)
async def list_versions(filename: str, gateway: GatewayDep) -> VersionListJson:
    """List the former contents of a workflow, newest first; also of a deleted one. 50 are kept."""
    return {"versions": await gateway.workers.run(editing.versions, gateway.library, filename)}


@router.get(
    "/workflow/{filename}/versions/{version}",
    responses={**_GONE_WRONG, **responses(VersionNotFound)},
)
@requires(AccessLevel.READ)
async def get_version(
    filename: str, version: str, gateway: GatewayDep, response: Response
) -> WorkflowJson:
    """Return a former content of the workflow."""
    saved = await gateway.workers.run(gateway.library.version, filename, version)
    return await _shown(gateway, saved, response)


@router.post(
    "/workflow/{filename}/restore",
    responses={
        **_GONE_WRONG,
        **responses(VersionNotFound, PayloadTooLarge, StorageFull),
    },
)
@requires(AccessLevel.MANAGE)
async def restore_version(
    filename: str, body: RestoreRequest, gateway: GatewayDep, response: Response
) -> WorkflowJson:
    """Restore a former content; the current one becomes a version."""
    saved = await gateway.workers.run(gateway.library.restore, filename, body.version)
    return await _shown(gateway, saved, response)


async def _shown(gateway: GatewayDep, saved: Saved, response: Response) -> WorkflowJson:
    response.headers["ETag"] = etag(saved.version)
    shown = await gateway.workers.run(editing.describe, saved.workflow, gateway.pool.definitions())
    return {
        "filename": saved.filename,
        "version": saved.version,
        "format": shown.format,
        "workflow": shown.graph,
        "parameters": list(map(parameter_json, shown.parameters)),
        "warnings": shown.warnings + doubts(gateway),
    }
