"""Routes of workflows in requests: submit, list parameters, convert."""

from typing import Annotated

from fastapi import APIRouter, Request, Response

from app.api.access_levels import requires
from app.api.bodies import SubmissionBody
from app.api.deps import GatewayDep
from app.api.forms import FORM_OR_BODY, submission_or_form
from app.api.problems import responses
from app.api.routers.submit import SUBMIT_RESPONSES, AskedDep, submit_and_answer
from app.api.strict_route import StrictRoute
from app.auth.model import AccessLevel
from app.errors import (
    InvalidInput,
    InvalidJson,
    InvalidWorkflow,
    NoServer,
    PayloadTooLarge,
    ServerNotFound,
    WorkflowFormatUnsupported,
    WorkflowNotFound,
)
from app.workflows.parameters.parameter_json import parameter_json
from app.workflows.saved import editing
from app.workflows.saved.workflow_json import ConvertedJson, ParametersJson

router = APIRouter(prefix="/api", tags=["workflows"], route_class=StrictRoute)


@router.post(
    "/workflow/submit",
    status_code=202,
    responses=SUBMIT_RESPONSES,
)
@requires(AccessLevel.RUN)
async def submit(request: Request, asked: Annotated[AskedDep, FORM_OR_BODY]) -> Response:
    """Queue a workflow. The body is the workflow itself, an envelope around it, or a form.

    The response is 202 with the queued task, or 200 if it is finished, which requires `wait`; a
    failed task is a 200, too. `Location` is the URL of the task or the batch. With `wait` and an
    `Accept` of `image/*`, `video/*` or `audio/*` the response is the task's only file of that type.
    The body may be ComfyUI's own, `{"prompt": ..., "extra_data": ...}`, with any of the additional
    fields. An invalid form is a `bad_request`. While no server has answered yet, a workflow is
    accepted and waits.
    """
    return await submit_and_answer(await submission_or_form(request), asked)


@router.post(
    "/workflow/parameters",
    responses={
        **responses(InvalidJson, PayloadTooLarge, WorkflowNotFound),
        **responses(InvalidInput, InvalidWorkflow, WorkflowFormatUnsupported),
    },
)
@requires(AccessLevel.READ)
async def parameters(body: SubmissionBody, gateway: GatewayDep) -> ParametersJson:
    """Return the parameters of a workflow, for `params`. The body is that of a submit; nothing is
    stored."""
    _, workflow = await gateway.submissions.workflow_of(body)
    shown = await gateway.workers.run(editing.describe, workflow, gateway.pool.definitions())
    return {
        "format": shown.format,
        "parameters": list(map(parameter_json, shown.parameters)),
        "warnings": shown.warnings + doubts(gateway),
    }


def doubts(gateway: GatewayDep) -> list[str]:
    """Return a warning about parameters while no server's node types are known."""
    if gateway.pool.node_types():
        return []
    return ["No ComfyUI server has answered yet: types are guesses, and choices are not known."]


@router.post(
    "/workflow/convert",
    responses={
        **responses(InvalidJson, PayloadTooLarge, WorkflowNotFound, ServerNotFound, NoServer),
        **responses(InvalidInput, InvalidWorkflow, WorkflowFormatUnsupported),
    },
)
@requires(AccessLevel.READ)
async def convert(body: SubmissionBody, gateway: GatewayDep) -> ConvertedJson:
    """Convert a workflow to API format, with `params` set. The body is that of a submit; nothing is
    stored.

    `warnings` lists what was doubtful. A workflow in API format is returned unchanged.
    """
    converted = await gateway.submissions.convert(body)
    return {"workflow": converted.prompt, "warnings": converted.warnings}
