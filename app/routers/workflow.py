"""Workflows: run one, keep some, see and change their parameters."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Response, UploadFile

from app.errors import (
    InvalidInput,
    InvalidJson,
    InvalidParameter,
    InvalidWorkflow,
    PayloadTooLarge,
    ServerNotFound,
    StorageFull,
    WorkflowExists,
    WorkflowNotFound,
)
from app.problems import responses
from app.routers.bodies import JsonBody, SubmissionBody, chunks_of, parse_json, validated
from app.routers.deps import GatewayDep, ServerQuery
from app.routers.schemas import (
    ParametersOut,
    SubmitRequest,
    TaskOut,
    UpdateRequest,
    WorkflowList,
    WorkflowOut,
)
from app.workflows import editing
from app.workflows.formats import unwrap

router = APIRouter(prefix="/api", tags=["workflows"])

Json = dict[str, Any]


def _body(model: Any, *others: Json) -> Json:
    """The documentation of a body that is read strictly by us, not by FastAPI."""
    schema = (
        {"anyOf": [model.model_json_schema(), *others]} if others else model.model_json_schema()
    )
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_RAW = {"type": "object", "description": "A workflow in API format, as it is."}


@router.post(
    "/workflow/submit",
    status_code=202,
    responses={
        **responses(InvalidJson, PayloadTooLarge, InvalidWorkflow, InvalidParameter),
        **responses(WorkflowNotFound, ServerNotFound),
        200: {"model": TaskOut, "description": "With `wait`: the task is finished."},
        202: {"model": TaskOut},
    },
    openapi_extra=_body(SubmitRequest, _RAW),
)
async def submit(
    body: SubmissionBody,
    gateway: GatewayDep,
    response: Response,
    wait: Annotated[
        float, Query(ge=0, le=3600, description="Seconds to wait for the finished task.")
    ] = 0,
    server: ServerQuery = None,
) -> Json:
    """Queue a workflow. The body is the workflow itself, or an envelope around it."""
    task = await gateway.tasks.submit(body, server)
    if wait:
        task = await gateway.tasks.wait(task.task_id, min(wait, gateway.settings.max_wait))
    response.status_code = 200 if task.finished else 202
    response.headers["Location"] = f"/api/task/{task.task_id}"
    return gateway.tasks.view(task)


@router.post(
    "/workflow/upload",
    status_code=201,
    responses={
        **responses(InvalidJson, PayloadTooLarge, InvalidInput, WorkflowExists, InvalidWorkflow),
        **responses(StorageFull),
        201: {"model": WorkflowOut},
    },
)
async def upload(
    gateway: GatewayDep,
    file: Annotated[UploadFile, "A workflow file (.json)."],
    filename: Annotated[str | None, Form(description="Another name to keep it under.")] = None,
    overwrite: Annotated[bool, Form()] = False,
) -> Json:
    """Keep a workflow file; answers its parameters."""
    content = bytearray()
    async for chunk in chunks_of(file):
        content += chunk
        if len(content) > gateway.settings.max_body_bytes:
            raise PayloadTooLarge("The workflow file is too large.")
    workflow = parse_json(bytes(content))
    unwrap(workflow)
    name = await asyncio.to_thread(
        gateway.library.save, filename or file.filename or "", workflow, overwrite=overwrite
    )
    return _shown(gateway, name, workflow)


@router.get("/workflows", responses={200: {"model": WorkflowList}})
async def list_workflows(gateway: GatewayDep) -> Json:
    """The saved workflows, by name."""
    return {"workflows": await asyncio.to_thread(editing.listing, gateway.library)}


@router.get(
    "/workflow/{filename}",
    responses={
        **responses(WorkflowNotFound, InvalidInput, InvalidJson),
        200: {"model": WorkflowOut},
    },
)
async def get_workflow(filename: str, gateway: GatewayDep) -> Json:
    """A saved workflow, its format and its parameters."""
    return _shown(gateway, *await asyncio.to_thread(gateway.library.read, filename))


@router.delete(
    "/workflow/{filename}", status_code=204, responses=responses(WorkflowNotFound, InvalidInput)
)
async def delete_workflow(filename: str, gateway: GatewayDep) -> None:
    """Remove a saved workflow."""
    await asyncio.to_thread(gateway.library.delete, filename)


@router.post(
    "/workflow/update",
    responses={
        **responses(InvalidJson, WorkflowNotFound, InvalidWorkflow, InvalidParameter),
        **responses(PayloadTooLarge, StorageFull),
        200: {"model": WorkflowOut},
    },
    openapi_extra=_body(UpdateRequest),
)
async def update_workflow(body: JsonBody, gateway: GatewayDep) -> Json:
    """Save new parameter values, or a whole new workflow, into a saved file."""
    request = validated(UpdateRequest, body)
    filename, workflow = await asyncio.to_thread(
        editing.update,
        gateway.library,
        request.filename,
        request.params,
        request.workflow,
        gateway.pool.node_types(),
    )
    return _shown(gateway, filename, workflow)


@router.post(
    "/workflow/parameters",
    responses={
        **responses(InvalidJson, PayloadTooLarge, InvalidWorkflow, WorkflowNotFound),
        200: {"model": ParametersOut},
    },
    openapi_extra=_body(SubmitRequest, _RAW),
)
async def parameters(body: SubmissionBody, gateway: GatewayDep) -> Json:
    """The parameters of a workflow; nothing is kept."""
    shown = _shown(gateway, *await gateway.tasks.workflow_of(body))
    return {"format": shown["format"], "parameters": shown["parameters"]}


def _shown(gateway: GatewayDep, filename: str | None, workflow: Any) -> Json:
    kind, graph, found = editing.describe(workflow, gateway.pool.node_types())
    return {
        "filename": filename,
        "format": kind,
        "workflow": graph,
        "parameters": [asdict(parameter) for parameter in found],
    }
