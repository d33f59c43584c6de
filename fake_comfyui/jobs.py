"""GET /api/jobs and the cancel routes of newer servers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.comfyui.job_query import BadQuery, one_of, whole_number
from fake_comfyui.machine import Machine
from fake_comfyui.queue import HistoryEntry, QueueItem
from fake_comfyui.replies import json_body, machine_of, reply
from fake_comfyui.submit import is_canonical
from fake_comfyui.validation import Malformed

Job = dict[str, Any]

STATUSES = ("pending", "in_progress", "completed", "failed", "cancelled")
_LONGEST_EXCERPT = 1024
_MEDIA = ("images", "video", "audio", "3d", "gifs")


# --- jobs out of queue and history ----------------------------------------------------------


def queued_job(item: QueueItem, status: str) -> Job:
    return _job(item.as_list(), status, {}, {})


def finished_job(entry: HistoryEntry, *, whole: bool) -> Job:
    """The short form for lists; `whole` adds outputs, messages and graph."""
    status = entry["status"]
    times, state = {}, "completed" if status["status_str"] == "success" else "failed"
    for event, data in status["messages"]:
        if event == "execution_start":
            times["execution_start_time"] = data["timestamp"]
        elif event.startswith("execution_") and event != "execution_cached":
            times["execution_end_time"] = data["timestamp"]
        if event == "execution_error":
            times["execution_error"] = data
        if event == "execution_interrupted":
            state = "cancelled"
    job = _job(entry["prompt"], state, times, entry["outputs"])
    if whole:
        job["outputs"] = entry["outputs"]
        job["execution_status"] = status
        job["workflow"] = {"prompt": entry["prompt"][2], "extra_data": entry["prompt"][3]}
    return job


def _job(prompt: list[Any], status: str, times: Job, outputs: Mapping[str, Any]) -> Job:
    number, prompt_id, _, extra_data, _ = prompt
    count, previewable, preview = _summary(outputs)
    job: Job = {
        "id": prompt_id,
        "status": status,
        "priority": number,
        "create_time": extra_data.get("create_time"),
        **times,
        "outputs_count": count,
        "previewable_outputs_count": previewable,
    }
    if preview is not None:
        job["preview_output"] = preview
    workflow = (extra_data.get("extra_pnginfo") or {}).get("workflow") or {}
    if workflow.get("id") is not None:
        job["workflow_id"] = workflow["id"]
    return job


def _summary(outputs: Mapping[str, Any]) -> tuple[int, int, Job | None]:
    """(files, files one can look at, the one to show: a saved one if there is any, else the first
    that can be looked at, a text if that is all)."""
    files = [
        {**file, "nodeId": node_id, "mediaType": media}
        for node_id, ui in outputs.items()
        for media, listed in (ui or {}).items()
        for file in listed
        if isinstance(file, dict)
    ]
    shown = [file for file in files if file["mediaType"] in _MEDIA]
    kept = [file for file in shown if file.get("type") == "output"]
    return len(files), len(shown), next(iter([*kept, *shown, *_texts(outputs)]), None)


def _texts(outputs: Mapping[str, Any]) -> list[Job]:
    """The texts, as they are previewed; they are no files and not counted."""
    return [
        {**_excerpt(str(text)), "nodeId": node_id, "mediaType": "text"}
        for node_id, ui in outputs.items()
        for text in (ui or {}).get("text", ())
    ]


def _excerpt(text: str) -> Job:
    if len(text) <= _LONGEST_EXCERPT:
        return {"content": text}
    return {"content": text[:_LONGEST_EXCERPT], "truncated": True}


def all_jobs(machine: Machine) -> list[Job]:
    queue = machine.queue
    jobs = [queued_job(item, "pending") for item in queue.pending]
    if queue.running is not None:
        jobs.append(queued_job(queue.running, "in_progress"))
    return jobs + [finished_job(entry, whole=False) for entry in queue.history.values()]


def find_job(machine: Machine, prompt_id: str) -> Job | None:
    """With an id used twice the finished one comes first."""
    queue = machine.queue
    if prompt_id in queue.history:
        return finished_job(queue.history[prompt_id], whole=True)
    if queue.running is not None and queue.running.prompt_id == prompt_id:
        return queued_job(queue.running, "in_progress")
    waiting = (item for item in queue.pending if item.prompt_id == prompt_id)
    return next((queued_job(item, "pending") for item in waiting), None)


# --- parameters -----------------------------------------------------------------------------


def _statuses(text: str) -> set[str]:
    words = {word.strip().lower() for word in text.split(",")} - {""}
    if wrong := sorted(words - set(STATUSES)):
        valid = f"Valid values: {', '.join(STATUSES)}"
        raise BadQuery(f"Invalid status value(s): {', '.join(wrong)}. {valid}")
    return words


def _duration(job: Job) -> int:
    end, start = job.get("execution_end_time"), job.get("execution_start_time")
    return end - start if end is not None and start is not None else 0


_SORTS: Mapping[str, Callable[[Job], Any]] = {
    "created_at": lambda job: job["create_time"],
    "execution_duration": _duration,
}


def listing(jobs: list[Job], query: Mapping[str, str]) -> Job:
    """What GET /api/jobs answers to these parameters."""
    limit, offset = whole_number(query, "limit"), whole_number(query, "offset") or 0
    if limit is not None and limit < 1:
        raise BadQuery("limit must be a positive integer")
    key = _SORTS[one_of(query, "sort_by", ("created_at", "execution_duration"))]
    descending = one_of(query, "sort_order", ("desc", "asc")) == "desc"
    if query.get("status"):
        wanted = _statuses(query["status"])
        jobs = [job for job in jobs if job["status"] in wanted]
    if "workflow_id" in query:
        jobs = [job for job in jobs if job.get("workflow_id") == query["workflow_id"]]
    jobs = sorted(jobs, key=key, reverse=descending)
    offset = max(0, offset)
    page = jobs[offset:] if limit is None else jobs[offset : offset + limit]
    more = offset + len(page) < len(jobs)
    paging = {"offset": offset, "limit": limit, "total": len(jobs), "has_more": more}
    return {"jobs": page, "pagination": paging}


# --- routes ---------------------------------------------------------------------------------


async def list_jobs(request: Request) -> Response:
    try:
        return reply(listing(all_jobs(machine_of(request)), request.query_params))
    except BadQuery as error:
        return reply({"error": str(error)}, 400)


async def get_job(request: Request) -> Response:
    job = find_job(machine_of(request), request.path_params["prompt_id"])
    return reply({"error": "Job not found"}, 404) if job is None else reply(job)


def cancel(machine: Machine, prompt_id: str) -> bool:
    """True if it was taken out of the queue or, running, signalled."""
    running = machine.queue.running
    if running is not None and running.prompt_id == prompt_id:
        return machine.interrupt(prompt_id)
    return machine.queue.delete(prompt_id)


async def cancel_job(request: Request) -> Response:
    cancelled = cancel(machine_of(request), request.path_params["prompt_id"])
    return reply({"cancelled": cancelled})


async def cancel_jobs(request: Request) -> Response:
    """Several at once; one malformed id and nothing is cancelled."""
    try:
        body = await json_body(request)
    except Malformed:
        return reply({"error": "Request body must be valid JSON"}, 400)
    ids = body.get("job_ids") if isinstance(body, dict) else None
    if not isinstance(ids, list):
        return reply({"error": "job_ids must be a list"}, 400)
    if wrong := [str(prompt_id) for prompt_id in ids if not is_canonical(prompt_id)]:
        return reply({"error": "job_ids contains invalid id(s)", "invalid_ids": wrong}, 400)
    machine = machine_of(request)
    stopped = [cancel(machine, prompt_id) for prompt_id in ids]
    return reply({"cancelled": any(stopped)})


JOB_ROUTES = [
    Route("/jobs", list_jobs, methods=["GET"]),
    Route("/jobs/cancel", cancel_jobs, methods=["POST"]),
    Route("/jobs/{prompt_id}", get_job, methods=["GET"]),
    Route("/jobs/{prompt_id}/cancel", cancel_job, methods=["POST"]),
]
