"""Tasks: look, list, cancel, retry, forget; the queue and the history."""

from dataclasses import replace
from typing import Annotated, NotRequired

from fastapi import APIRouter, Query
from pydantic import Field
from typing_extensions import TypedDict

from app.api.access_levels import requires
from app.api.deps import GatewayDep, Id, ServerQuery
from app.api.pages import Before, tasks_json
from app.api.problems import responses
from app.api.requests import DeleteRequest
from app.api.strict_route import StrictRoute
from app.api.task_filters import Searched, Wanted, WithTotal
from app.auth.model import AccessLevel
from app.db.task_filters import Selection
from app.errors import (
    ApiKeyGone,
    InvalidInput,
    InvalidJson,
    InvalidWorkflow,
    NoServer,
    PayloadTooLarge,
    QueueFull,
    ServerNotFound,
    TaskNotFinished,
    TaskNotFound,
)
from app.gateway import Gateway
from app.limits.json_types import Json
from app.servers import queues
from app.tasks.model import TERMINAL, Status
from app.tasks.task_json import TaskJson
from app.tasks.truncation import LIST

router = APIRouter(prefix="/api", tags=["tasks"], route_class=StrictRoute)

Limit = Annotated[int, Query(ge=1, le=1000, description="Tasks in a page.")]


class TaskPageJson(TypedDict):
    tasks: list[TaskJson]
    next_cursor: str | None
    total: NotRequired[
        Annotated[int | None, Field(description="In all pages together; only if it was asked for.")]
    ]
    total_is_capped: NotRequired[
        Annotated[
            bool | None, Field(description="There are more than `total`: no more are counted.")
        ]
    ]


class HistoryJson(TaskPageJson):
    servers: NotRequired[
        Annotated[
            list[Json],
            Field(description="Of each, what is not ours in its history; only if asked for."),
        ]
    ]


@router.get("/task/{task_id}", responses=responses(TaskNotFound))
@requires(AccessLevel.READ)
async def get_task(task_id: Id, gateway: GatewayDep) -> TaskJson:
    """All of a task: the truth, which streams only show sooner.

    Lists, batches, streams and webhooks show the beginning of long values, and say in `cut` how
    long they are.
    """
    return gateway.tasks.view(await gateway.tasks.get(task_id), None)


@router.get("/task/{task_id}/workflow", responses=responses(TaskNotFound))
@requires(AccessLevel.READ)
async def get_task_workflow(task_id: Id, gateway: GatewayDep) -> Json:
    """The graph that the task runs, in API format, with its parameters set.

    Answers `workflow` and `format`, which is `api`.
    """
    return {"workflow": await gateway.tasks.prompt(task_id), "format": "api"}


@router.get("/tasks")
@requires(AccessLevel.READ)
async def list_tasks(
    gateway: GatewayDep,
    before: Before,
    wanted: Wanted,
    limit: Limit = 50,
    total: WithTotal = False,
) -> TaskPageJson:
    """Tasks that fit all filters which are given, newest first.

    `next_cursor` is null on the last page. Of `total` no more than 100,000 are counted.
    """
    return await _page(gateway, wanted, limit, before, total)


@router.post("/task/{task_id}/cancel", responses=responses(TaskNotFound))
@requires(AccessLevel.RUN)
async def cancel_task(task_id: Id, gateway: GatewayDep) -> TaskJson:
    """Cancel a task in whatever state it is; a finished one stays as it is.

    A queued one is `canceled` at once, one that is on a server becomes `canceling` first. Only this
    task is stopped, never a prompt of somebody else. If the run ended before the cancel got there,
    the task ends as the run did, and a warning says that the cancel came too late.
    """
    return gateway.tasks.view(await gateway.tasks.cancel(task_id), None)


@router.post("/interrupt/{prompt_id}", responses=responses(TaskNotFound))
@requires(AccessLevel.RUN)
async def interrupt(prompt_id: Id, gateway: GatewayDep) -> TaskJson:
    """Cancel the task with this id, by ComfyUI's word for it. Only ever stops a task of the
    gateway."""
    return gateway.tasks.view(await gateway.tasks.cancel(prompt_id), None)


@router.post(
    "/task/{task_id}/retry",
    status_code=202,
    responses=responses(TaskNotFound, ApiKeyGone, InvalidWorkflow, QueueFull),
)
@requires(AccessLevel.RUN)
async def retry_task(task_id: Id, gateway: GatewayDep) -> TaskJson:
    """A new task from the same request, with the same values, files and webhook.

    Seeds are not drawn again. Its `retry_of` names the old one; it belongs to no batch.
    """
    return gateway.tasks.view(await gateway.tasks.retry(task_id), None)


@router.delete(
    "/task/{task_id}", status_code=204, responses=responses(TaskNotFound, TaskNotFinished)
)
@requires(AccessLevel.RUN)
async def delete_task(task_id: Id, gateway: GatewayDep) -> None:
    """Forget a finished task, its files, and what its webhooks were told, or still were to be."""
    await gateway.tasks.delete([task_id])


@router.get("/queue", responses=responses(ServerNotFound))
@requires(AccessLevel.READ)
async def get_queue(gateway: GatewayDep, server: ServerQuery = None) -> Json:
    """Tasks that are not finished, and what each server holds.

    `running` and `queued` hold tasks, the queued ones in the order of the queue; `running` also has
    those that are `canceling`. Each of `servers` has `server`, `online`, `running` and `pending`
    (prompt ids), and `others`, how many are not the gateway's; one that does not answer a `reason`.
    A queued task may be pending on a server already.
    """
    tasks = [gateway.tasks.view(task, LIST) for task in await gateway.tasks.queue()]
    return {
        "running": [task for task in tasks if task["status"] != Status.QUEUED],
        "queued": [task for task in tasks if task["status"] == Status.QUEUED],
        "servers": await _held(gateway, server),
    }


@router.post("/queue/clear")
@requires(AccessLevel.RUN)
async def clear_queue(gateway: GatewayDep) -> Json:
    """Cancel all tasks that are queued, of those that the key may see; what runs goes on.

    Answers `canceled` (those that are) and `canceling` (those that are on a server already), 10,000
    ids of each at most, and the `count` of both.
    """
    canceled = await gateway.tasks.cancel_queued()
    return {
        "canceled": canceled.task_ids,
        "canceling": canceled.begun,
        "count": canceled.count,
    }


@router.get("/history", responses=responses(ServerNotFound, NoServer))
@requires(AccessLevel.READ)
async def get_history(
    gateway: GatewayDep,
    before: Before,
    searched: Searched,
    limit: Limit = 50,
    total: WithTotal = False,
    include_servers: Annotated[
        bool, Query(description="Also what the servers' own histories hold that is not ours.")
    ] = False,
    server: ServerQuery = None,
) -> HistoryJson:
    """Finished tasks with their outputs, newest first.

    With `include_servers` or `server` there is also `servers`: for each `server` the `prompts` of
    its own history that are not the gateway's. Only keys that may see everybody's tasks may ask for
    that (`forbidden`).
    """
    finished = replace(searched, statuses=TERMINAL)
    page = await _page(gateway, finished, limit, before, total)
    if include_servers or server:
        gateway.caller.need_all("include_servers: a server's own history")
        servers = gateway.pool.choose(server)
        page["servers"] = await queues.histories(servers, gateway.tasks.known, limit)
    return page


@router.post(
    "/history/delete",
    responses=responses(TaskNotFound, TaskNotFinished, InvalidJson, PayloadTooLarge, InvalidInput),
)
@requires(AccessLevel.RUN)
async def delete_history(body: DeleteRequest, gateway: GatewayDep) -> Json:
    """Forget finished tasks and their files, by their ids or all of them.

    If one of the ids is unknown or not finished, nothing is deleted. With `all`, what was finished
    when the request came is deleted. Answers `deleted`, 10,000 ids at most, and their `count`.
    """
    servers = gateway.pool.online() if body.servers else []
    removed = await gateway.tasks.delete(body.task_ids, also_on=servers)
    return {"deleted": removed.task_ids, "count": removed.count}


async def _held(gateway: Gateway, server: str | None) -> list[Json]:
    """What servers hold; of that, those who may not see it all see how much it is."""
    found = await queues.held_by(gateway.pool, server, gateway.tasks.known)
    if gateway.caller.is_unrestricted:
        return found
    for held in found:
        for state in ("running", "pending"):
            if state in held:
                mine = await gateway.tasks.known(held[state])
                held[state] = [task_id for task_id in held[state] if task_id in mine]
    return found


async def _page(
    gateway: GatewayDep,
    wanted: Selection,
    limit: int,
    before: int | None,
    is_counted: bool,
) -> HistoryJson:
    tasks, following = await tasks_json(
        lambda most, start: gateway.tasks.page(wanted, most, start),
        lambda task: gateway.tasks.view(task, LIST),
        *(limit, before),
    )
    page: HistoryJson = {
        "tasks": tasks,
        "next_cursor": None if following is None else str(following),
    }
    if is_counted:
        page["total"], page["total_is_capped"] = await gateway.tasks.total(wanted)
    return page
