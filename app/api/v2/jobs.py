"""Comfy API v2: jobs, which are tasks."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.access_levels import requires
from app.api.deps import GatewayDep, Id
from app.api.pages import tasks_json
from app.api.routers.system import trouble
from app.api.strict_route import StrictRoute
from app.api.v2.job_json import JobHealthJson, JobJson, JobListJson, JobWorkflowJson
from app.api.v2.requests import (
    MAX_FILTERS,
    Before,
    HereDep,
    Labels,
    NewJobDep,
    failures,
)
from app.api.v2.schemas import LABEL
from app.api.v2.shapes import item_view, job_view
from app.auth.model import AccessLevel
from app.errors import (
    InvalidCursor,
    InvalidMetadataFilter,
    InvalidWorkflow,
    KeyReused,
    MetadataInvalid,
    MissingAsset,
    NoServer,
    PayloadTooLarge,
    QueueFull,
    TaskNotFound,
)
from app.settings import VERSION
from app.tasks.model import Status

router = APIRouter(prefix="/api/v2", tags=["Comfy API v2"], route_class=StrictRoute)

_FILTER = {
    "name": "metadata",
    "in": "query",
    "style": "deepObject",
    "explode": True,
    "description": "Only jobs with this label: metadata[key]=value, up to three.",
    "schema": {
        "type": "object",
        "maxProperties": MAX_FILTERS,
        "propertyNames": {"pattern": f"^{LABEL.pattern}$"},
        "additionalProperties": {"type": "string"},
    },
}


@router.post(
    "/jobs",
    status_code=201,
    responses=failures(
        InvalidWorkflow,
        MissingAsset,
        KeyReused,
        MetadataInvalid,
        PayloadTooLarge,
        QueueFull,
        NoServer,
    ),
)
@requires(AccessLevel.RUN)
async def post_jobs(asked: NewJobDep) -> JobJson:
    """Queue a workflow.

    Anywhere in the graph, `{"__type": "core/ASSET", "info": {"id": "..."}}` may take the place of a
    file name. `webhook_url` and `inputs` are reserved.
    """
    gateway = asked.gateway
    task = await gateway.jobs.submit(asked.job, asked.key, asked.address)
    return job_view(task, gateway.dispatcher.progress_of(task.task_id), asked.here)


@router.get(
    "/jobs",
    openapi_extra={"parameters": [_FILTER]},
    responses=failures(InvalidCursor, InvalidMetadataFilter),
)
@requires(AccessLevel.READ)
async def list_jobs(
    gateway: GatewayDep,
    here: HereDep,
    labels: Labels,
    before: Before,
    status: Annotated[list[Status] | None, Query(description="Only these; repeatable.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Jobs in a page.")] = 50,
) -> JobListJson:
    """List jobs, newest first; long values are truncated."""
    live = gateway.dispatcher.progress_of
    jobs, following = await tasks_json(
        lambda most, start: gateway.jobs.page(status or (), labels, most, start),
        lambda task: item_view(task, live(task.task_id), here),
        *(limit, before),
    )
    page: JobListJson = {"jobs": jobs}
    return page if following is None else {**page, "next_cursor": str(following)}


@router.get("/jobs/{id}", responses=failures(TaskNotFound))
@requires(AccessLevel.READ)
async def get_job(id: Id, gateway: GatewayDep, here: HereDep) -> JobJson:
    """Return the job with live progress and the outputs so far."""
    return job_view(await gateway.tasks.get(id), gateway.dispatcher.progress_of(id), here)


@router.get("/jobs/{id}/workflow", responses=failures(TaskNotFound))
@requires(AccessLevel.READ)
async def get_job_workflow(id: Id, gateway: GatewayDep) -> JobWorkflowJson:
    """Return the graph that the job runs, in API format."""
    return {"workflow": await gateway.tasks.prompt(id), "format": "api"}


@router.post("/jobs/{id}/cancel", responses=failures(TaskNotFound))
@requires(AccessLevel.RUN)
async def cancel_job(id: Id, gateway: GatewayDep, here: HereDep) -> JobJson:
    """Cancel a job in any state; a finished one is unchanged."""
    return job_view(await gateway.tasks.cancel(id), gateway.dispatcher.progress_of(id), here)


@router.get("/health")
@requires(AccessLevel.OPEN)
async def health(gateway: GatewayDep) -> JobHealthJson:
    """Return 200 while the gateway is alive; `degraded` with a reason if jobs would wait."""
    reason = trouble(gateway)
    return {"status": "degraded" if reason else "ok", "reason": reason, "version": VERSION}
