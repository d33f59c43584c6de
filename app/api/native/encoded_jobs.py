"""The answers of /api/jobs, made from JSON that is encoded once."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from app.api.native.encoded import encode
from app.api.native.job_shapes import ended_job, open_job, workflow_id_of
from app.db.native_tasks import LOOKED_AT, Ended, NativeTasks, Unfinished
from app.services.native_memory import NativeMemory

Job = Ended | Unfinished
STATES = ("pending", "in_progress", "completed", "failed", "cancelled")
MOST_LISTED = 1000  # jobs in an answer, however many are asked for


@dataclass(frozen=True, slots=True)
class Wanted:
    """The parameters of GET /api/jobs. `states`: all if None. `offset` is not negative."""

    states: Collection[str] | None = None
    by_duration: bool = False
    ascending: bool = False
    workflow_id: str | None = None
    limit: int | None = None
    offset: int = 0


async def jobs_bytes(mine: NativeTasks, memory: NativeMemory, wanted: Wanted) -> bytes:
    """Return the answer of GET /api/jobs."""
    found = await _listed(mine, wanted.states)
    if wanted.workflow_id is not None:
        found = found[:LOOKED_AT]
        texts = await _encoded(found, mine, memory)
        found = [job for job in found if _is_of(texts.get(job.task_id), wanted.workflow_id)]
    found.sort(key=_seconds if wanted.by_duration else _created, reverse=not wanted.ascending)
    most = MOST_LISTED if wanted.limit is None else min(wanted.limit, MOST_LISTED)
    page = found[wanted.offset : wanted.offset + most]
    paging = {
        "offset": wanted.offset,
        "limit": wanted.limit,
        "total": len(found),
        "has_more": wanted.offset + len(page) < len(found),
    }
    listed = b",".join((await _encoded(page, mine, memory)).values())
    return b'{"jobs":[' + listed + f'],"pagination":{encode(paging)}}}'.encode()


async def job_bytes(mine: NativeTasks, memory: NativeMemory, task_id: str) -> bytes | None:
    """Return the answer of GET /api/jobs/{id}; None if there is no such job."""
    for one in await mine.unfinished():
        if one.task_id == task_id:
            return (await _encoded([one], mine, memory)).get(task_id)
    ended = await mine.one(task_id)  # asked after the queue: it may have ended meanwhile
    found = await mine.whole([task_id]) if ended else []
    if ended is None or not found:
        return None
    return encode(ended_job(found[0], ended.state, whole=True)).encode()


async def _listed(mine: NativeTasks, states: Collection[str] | None) -> list[Job]:
    """Return the jobs in these states, those that wait first."""
    wanted = frozenset(STATES if states is None else states)
    found: list[Job] = []
    if wanted & {"pending", "in_progress"}:
        found += [one for one in await mine.unfinished() if _state(one) in wanted]
    if wanted - {"pending", "in_progress"}:
        known = {one.task_id for one in found}
        found += [
            one
            for one in reversed(await mine.ended())
            if one.state in wanted and one.task_id not in known
        ]
    return found


def _state(one: Unfinished) -> str:
    return "in_progress" if one.is_running else "pending"


def _created(job: Job) -> float:
    return job.created_at


def _seconds(job: Job) -> float:
    if isinstance(job, Unfinished) or job.started_at is None:
        return 0.0
    return job.finished_at - job.started_at


def _is_of(job: bytes | None, workflow_id: str) -> bool:
    return job is not None and json.loads(job).get("workflow_id") == workflow_id


async def _encoded(
    jobs: Sequence[Job], mine: NativeTasks, memory: NativeMemory
) -> dict[str, bytes]:
    """Return the short forms of jobs in order, by id, without those that were deleted since."""
    known = {job.task_id: _known(job, memory) for job in jobs}
    unknown = {job.task_id: job for job in jobs if known[job.task_id] is None}
    for whole in await mine.whole(list(unknown)) if unknown else ():
        job = unknown[whole.task.task_id]
        if isinstance(job, Ended):
            text = encode(ended_job(whole, job.state, whole=False)).encode()
            memory.jobs.put(job, text)
        else:
            workflow_id = workflow_id_of(whole)
            memory.workflows.put((job.task_id, job.created_at), encode(workflow_id))
            text = encode(open_job(job, workflow_id)).encode()
        known[job.task_id] = text
    return {task_id: text for task_id, text in known.items() if text is not None}


def _known(job: Job, memory: NativeMemory) -> bytes | None:
    if isinstance(job, Ended):
        return memory.jobs.get(job)
    workflow_id = memory.workflows.get((job.task_id, job.created_at))
    if workflow_id is None:
        return None
    return encode(open_job(job, json.loads(workflow_id))).encode()
