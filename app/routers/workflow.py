"""Workflows that come with the request: run one, see its parameters, convert it."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from app.errors import (
    InvalidJson,
    InvalidParameter,
    InvalidWorkflow,
    KeyReused,
    NoServer,
    NotRunnable,
    PayloadTooLarge,
    QueueFull,
    ServerNotFound,
    WorkflowNotFound,
)
from app.gateway import Gateway
from app.problems import responses
from app.routers.batches import batch_view
from app.routers.bodies import KeyDep, SubmissionBody, documented
from app.routers.deps import GatewayDep, ServerQuery
from app.routers.schemas import BatchOut, ConvertedOut, ParametersOut, SubmitRequest, TaskOut
from app.tasks.model import Task
from app.workflows import editing

router = APIRouter(prefix="/api", tags=["workflows"])

Json = dict[str, Any]
Wait = Annotated[float, Query(ge=0, le=3600, description="Seconds to wait for the finished task.")]
_RAW = {"type": "object", "description": "A workflow as it is, in API or UI format."}


SUBMIT_RESPONSES: dict[int | str, Json] = {
    **responses(InvalidJson, PayloadTooLarge, QueueFull, NoServer),
    **responses(InvalidWorkflow, InvalidParameter, NotRunnable, KeyReused),
    **responses(WorkflowNotFound, ServerNotFound),
    200: {"model": TaskOut | BatchOut, "description": "With `wait`: all is finished."},
    202: {"model": TaskOut | BatchOut, "description": "Queued; a batch, if one was sent."},
}


@router.post(
    "/workflow/submit",
    status_code=202,
    responses=SUBMIT_RESPONSES,
    openapi_extra=documented(SubmitRequest, _RAW),
)
async def submit(
    body: SubmissionBody,
    gateway: GatewayDep,
    response: Response,
    key: KeyDep,
    wait: Wait = 0,
    server: ServerQuery = None,
) -> Json:
    """Queue a workflow. The body is the workflow itself, or an envelope around it."""
    tasks = await gateway.submitter.submit(body, server=server, key=key)
    return await answer(gateway, response, tasks, wait)


async def answer(gateway: Gateway, response: Response, tasks: list[Task], wait: float) -> Json:
    """The task or the batch, after waiting for its end if that was asked for."""
    if wait:
        ids = [task.task_id for task in tasks]
        tasks = await gateway.tasks.wait(ids, min(wait, gateway.settings.max_wait))
    finished = all(task.finished for task in tasks)
    response.status_code = 200 if finished else 202
    first = tasks[0]
    if first.batch_id is None:
        response.headers["Location"] = f"/api/task/{first.task_id}"
        return gateway.tasks.view(first)
    response.headers["Location"] = f"/api/batch/{first.batch_id}"
    return batch_view(gateway, first.batch_id, tasks)


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
    _, workflow = await gateway.submitter.workflow_of(body)
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
    converted = await gateway.submitter.convert(body)
    return {"workflow": converted.prompt, "warnings": converted.warnings}
