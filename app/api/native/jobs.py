"""/api/jobs of ComfyUI 0.33: the caller's prompts, waiting, at work and ended."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.api.access_levels import requires
from app.api.deps import gateway_of
from app.api.native.encoded_jobs import STATES, Wanted, job_bytes, jobs_bytes
from app.api.native.replies import MEDIA_TYPE, json_reply
from app.api.native.requests import is_canonical, json_of
from app.auth.model import AccessLevel
from app.comfyui.job_query import BadQuery, one_of, whole_number
from app.errors import InvalidInput, InvalidJson
from app.limits.quoting import SHORT


@requires(AccessLevel.READ)
async def get_jobs(request: Request) -> Response:
    """Answer a page of jobs."""
    gateway = gateway_of(request)
    try:
        wanted = _wanted(request.query_params)
    except BadQuery as error:
        return json_reply({"error": str(error)}, 400)
    content = await jobs_bytes(gateway.native_tasks, gateway.native_memory, wanted)
    return Response(content, media_type=MEDIA_TYPE)


@requires(AccessLevel.READ)
async def get_job(request: Request) -> Response:
    """Answer one job; an ended one with its outputs, messages and graph."""
    gateway, task_id = gateway_of(request), request.path_params["prompt_id"]
    content = await job_bytes(gateway.native_tasks, gateway.native_memory, task_id)
    if content is None:
        return json_reply({"error": "Job not found"}, 404)
    return Response(content, media_type=MEDIA_TYPE)


@requires(AccessLevel.RUN)
async def cancel_job(request: Request) -> Response:
    """Cancel a job, whether it waits or runs; the body is ignored."""
    cancelled = await gateway_of(request).native_queue.cancel([request.path_params["prompt_id"]])
    return json_reply({"cancelled": cancelled})


@requires(AccessLevel.RUN)
async def cancel_jobs(request: Request) -> Response:
    """Cancel several jobs, {"job_ids": [...]}; with one id that is none, nothing."""
    try:
        body = await json_of(request)
    except (InvalidJson, InvalidInput):
        return json_reply({"error": "Request body must be valid JSON"}, 400)
    ids = body.get("job_ids") if isinstance(body, dict) else None
    if not isinstance(ids, list):
        return json_reply({"error": "job_ids must be a list"}, 400)
    if wrong := [str(one)[:SHORT] for one in ids if not is_canonical(one)]:
        told = {"error": "job_ids contains invalid id(s)", "invalid_ids": wrong[:100]}
        return json_reply(told, 400)
    return json_reply({"cancelled": await gateway_of(request).native_queue.cancel(ids)})


def _wanted(query: Mapping[str, str]) -> Wanted:
    """Return the parameters. Raises BadQuery, with ComfyUI's words."""
    states = _states(query.get("status", ""))
    sort_by = one_of(query, "sort_by", ("created_at", "execution_duration"))
    order = one_of(query, "sort_order", ("desc", "asc"))
    limit, offset = whole_number(query, "limit"), whole_number(query, "offset")
    if limit is not None and limit < 1:
        raise BadQuery("limit must be a positive integer")
    return Wanted(
        states,
        by_duration=sort_by == "execution_duration",
        ascending=order == "asc",
        workflow_id=query.get("workflow_id"),
        limit=limit,
        offset=max(0, offset or 0),
    )


def _states(text: str) -> frozenset[str] | None:
    words = {word.strip().lower() for word in text.split(",")} - {""}
    if wrong := sorted(words - set(STATES)):
        named = ", ".join(word[:SHORT] for word in wrong[:20])
        raise BadQuery(f"Invalid status value(s): {named}. Valid values: {', '.join(STATES)}")
    return frozenset(words) if text else None


ROUTES = [
    Route("/comfy/api/jobs", get_jobs),
    Route("/comfy/api/jobs/cancel", cancel_jobs, methods=["POST"]),
    Route("/comfy/api/jobs/{prompt_id}", get_job),
    Route("/comfy/api/jobs/{prompt_id}/cancel", cancel_job, methods=["POST"]),
]
