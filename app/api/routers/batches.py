"""Routes of batches: reading and canceling the tasks of one submit together."""

from collections import Counter
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from typing_extensions import TypedDict

from app.api.access_levels import requires
from app.api.deps import GatewayDep, Id
from app.api.pages import tasks_json
from app.api.problems import responses
from app.api.strict_route import StrictRoute
from app.auth.model import AccessLevel
from app.db.task_filters import Selection
from app.errors import BatchNotFound
from app.services.batches import MAX_TASKS
from app.tasks.model import TERMINAL
from app.tasks.task_json import TaskJson
from app.tasks.truncation import LIST

router = APIRouter(prefix="/api", tags=["tasks"], route_class=StrictRoute)


class BatchJson(TypedDict):
    """The tasks of one submit with `batch`."""

    batch_id: str
    total: int
    finished: Annotated[bool, Field(description="All of its tasks are.")]
    counts: Annotated[dict[str, int], Field(description="Tasks by status.")]
    tasks: Annotated[list[TaskJson], Field(description="In the order of the batch.")]


def batch_view(batch_id: str, tasks: list[TaskJson]) -> BatchJson:
    """Return the JSON of a batch; `tasks` is the JSON of its tasks."""
    counts = Counter[str](task["status"] for task in tasks)
    return {
        "batch_id": batch_id,
        "total": len(tasks),
        "finished": counts.keys() <= TERMINAL,
        "counts": counts,
        "tasks": tasks,
    }


@router.get("/batch/{batch_id}", responses=responses(BatchNotFound))
@requires(AccessLevel.READ)
async def get_batch(batch_id: Id, gateway: GatewayDep) -> BatchJson:
    """Return all tasks of a batch, in its order.

    `finished` is true when all tasks are finished; `counts` is the number of tasks by status.
    Deleted tasks are not included.
    """
    await gateway.tasks.counts(batch_id)
    tasks, _ = await tasks_json(
        lambda most, start: gateway.tasks.page(Selection(batch_id=batch_id), most, start),
        lambda task: gateway.tasks.view(task, LIST),
        MAX_TASKS,
    )
    return batch_view(batch_id, tasks[::-1])


@router.post("/batch/{batch_id}/cancel", responses=responses(BatchNotFound))
@requires(AccessLevel.RUN)
async def cancel_batch(batch_id: Id, gateway: GatewayDep) -> BatchJson:
    """Cancel all unfinished tasks of a batch; returns the batch."""
    await gateway.tasks.cancel_batch(batch_id)
    return await get_batch(batch_id, gateway)
