"""Workflows that come with the request: run one, see its parameters, convert it."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from app.errors import (
    InvalidJson,
    InvalidParameter,
    InvalidWorkflow,
    NoServer,
    PayloadTooLarge,
    ServerNotFound,
    WorkflowNotFound,
)
from app.problems import responses
from app.routers.bodies import SubmissionBody, documented
from app.routers.deps import GatewayDep, ServerQuery
from app.routers.schemas import ConvertedOut, ParametersOut, SubmitRequest, TaskOut
from app.tasks.service import Submission
from app.workflows import editing

router = APIRouter(prefix="/api", tags=["workflows"])

Json = dict[str, Any]
Wait = Annotated[float, Query(ge=0, le=3600, description="Seconds to wait for the finished task.")]
_RAW = {"type": "object", "description": "A workflow as it is, in API or UI format."}


@router.post(
    "/workflow/submit",
    status_code=202,
    responses={
        **responses(InvalidJson, PayloadTooLarge, InvalidWorkflow, InvalidParameter),
        **responses(WorkflowNotFound, ServerNotFound, NoServer),
        200: {"model": TaskOut, "description": "With `wait`: the task is finished."},
        202: {"model": TaskOut},
    },
    openapi_extra=documented(SubmitRequest, _RAW),
)
async def submit(
    body: SubmissionBody,
    gateway: GatewayDep,
    response: Response,
    wait: Wait = 0,
    server: ServerQuery = None,
) -> Json:
    """Queue a workflow. The body is the workflow itself, or an envelope around it."""
    return await submit_and_wait(gateway, response, body, wait, server)


async def submit_and_wait(
    gateway: GatewayDep,
    response: Response,
    submission: Submission,
    wait: float,
    server: str | None,
) -> Json:
    task = await gateway.tasks.submit(submission, server)
    if wait:
        task = await gateway.tasks.wait(task.task_id, min(wait, gateway.settings.max_wait))
    response.status_code = 200 if task.finished else 202
    response.headers["Location"] = f"/api/task/{task.task_id}"
    return gateway.tasks.view(task)


@router.post(
    "/workflow/parameters",
    responses={
        **responses(InvalidJson, PayloadTooLarge, InvalidWorkflow, WorkflowNotFound),
        200: {"model": ParametersOut},
    },
    openapi_extra=documented(SubmitRequest, _RAW),
)
async def parameters(body: SubmissionBody, gateway: GatewayDep) -> Json:
    """The parameters of a workflow; nothing is kept."""
    _, workflow = await gateway.tasks.workflow_of(body)
    shown = await asyncio.to_thread(editing.describe, workflow, gateway.pool.definitions())
    return {
        "format": shown.format,
        "parameters": [asdict(parameter) for parameter in shown.parameters],
        "warnings": shown.warnings + doubts(gateway),
    }


def doubts(gateway: GatewayDep) -> list[str]:
    """What to say of parameters while no server has told its node types."""
    if gateway.pool.node_types():
        return []
    return ["No ComfyUI server has answered yet: types are guesses, and choices are not known."]


@router.post(
    "/workflow/convert",
    responses={
        **responses(InvalidJson, PayloadTooLarge, InvalidWorkflow, WorkflowNotFound),
        **responses(ServerNotFound, NoServer),
        200: {"model": ConvertedOut},
    },
    openapi_extra=documented(SubmitRequest, _RAW),
)
async def convert(body: SubmissionBody, gateway: GatewayDep) -> Json:
    """The workflow in API format; nothing is kept, nothing is queued."""
    converted = await gateway.tasks.convert(body)
    return {"workflow": converted.prompt, "warnings": converted.warnings}
