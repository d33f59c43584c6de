"""Routes of tasks: get, list, cancel, retry, delete; queue and history."""

from dataclasses import replace
from typing import Annotated, Literal, NotRequired

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import HTTPConnection
from typing_extensions import TypedDict

from app.api.access_levels import requires
from app.api.deps import GatewayDep, Id, ServerQuery, gateway_of
from app.api.pages import Before, tasks_json
from app.api.plain_requests import plainly
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
from app.servers.server_json import ForeignHistoryJson, HeldJson
from app.tasks.model import TERMINAL, Status
from app.tasks.task_json import TaskJson
from app.tasks.truncation import LIST
from app.workflows.references.ids import as_stored

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
            list[ForeignHistoryJson],
            Field(description="Of each, what is not ours in its history; only if asked for."),
        ]
    ]


class TaskWorkflowJson(TypedDict):
    workflow: Annotated[Json, Field(description="In API format, with the parameters set.")]
    format: Literal["api"]


class QueueJson(TypedDict):
    running: Annotated[list[TaskJson], Field(description="Also those that are `canceling`.")]
    queued: Annotated[list[TaskJson], Field(description="In the order of the queue.")]
    servers: list[HeldJson]


class ClearedJson(TypedDict):
    canceled: Annotated[list[str], Field(description="Ids of those that are; the first 10,000.")]
    canceling: Annotated[list[str], Field(description="Those that are on a server already.")]
    count: Annotated[int, Field(description="Of both.")]


class DeletedJson(TypedDict):
    deleted: Annotated[list[str], Field(description="Ids; the first 10,000.")]
    count: int


def _only_the_id(request: HTTPConnection) -> Json:
    return {"task_id": as_stored(request.path_params["task_id"]), "gateway": gateway_of(request)}


@router.get("/task/{task_id}", responses=responses(TaskNotFound))
@requires(AccessLevel.READ)
@plainly(_only_the_id)
async def get_task(task_id: Id, gateway: GatewayDep) -> TaskJson:
    """Return the whole task; this is authoritative, streams only show it sooner.

    Lists, batches, streams and webhooks contain the beginning of long values, with the original
    lengths in `cut`.
    """
    tasks = gateway.tasks
    return tasks.view(await tasks.get(task_id), None)


@router.get("/task/{task_id}/workflow", responses=responses(TaskNotFound))
@requires(AccessLevel.READ)
async def get_task_workflow(task_id: Id, gateway: GatewayDep) -> TaskWorkflowJson:
    """Return the graph that the task runs, in API format, with its parameters set.

    The response has `workflow` and `format`, which is `api`.
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
    """List the tasks that match all given filters, newest first.

    `next_cursor` is null on the last page. `total` counts at most 100,000 tasks.
    """
    return await _page(gateway, wanted, limit, before, total)


@router.post("/task/{task_id}/cancel", responses=responses(TaskNotFound))
@requires(AccessLevel.RUN)
async def cancel_task(task_id: Id, gateway: GatewayDep) -> TaskJson:
    """Cancel a task in any state; a finished one is unchanged.

    A queued task is `canceled` at once, one on a server becomes `canceling` first. Only this task
    is stopped, never a prompt of another client. If the run ended before the cancel arrived, the
    task ends with its outcome, and a warning says that the cancel came too late.
    """
    return gateway.tasks.view(await gateway.tasks.cancel(task_id), None)


@router.post("/interrupt/{prompt_id}", responses=responses(TaskNotFound))
@requires(AccessLevel.RUN)
async def interrupt(prompt_id: Id, gateway: GatewayDep) -> TaskJson:
    """Cancel the task with this id, by ComfyUI's name for it. Stops only tasks of the gateway."""
    return gateway.tasks.view(await gateway.tasks.cancel(prompt_id), None)


@router.post(
    "/task/{task_id}/retry",
    status_code=202,
    responses=responses(TaskNotFound, ApiKeyGone, InvalidWorkflow, QueueFull),
)
@requires(AccessLevel.RUN)
async def retry_task(task_id: Id, gateway: GatewayDep) -> TaskJson:
    """Create a new task from the same request, with the same values, files and webhook.

    Seeds are not drawn again. `retry_of` is the id of the old task; the new one belongs to no
    batch.
    """
    return gateway.tasks.view(await gateway.tasks.retry(task_id), None)


@router.delete(
    "/task/{task_id}", status_code=204, responses=responses(TaskNotFound, TaskNotFinished)
)
@requires(AccessLevel.RUN)
async def delete_task(task_id: Id, gateway: GatewayDep) -> None:
    """Delete a finished task, its files, and its webhook deliveries, including pending ones."""
    await gateway.tasks.delete([task_id])


@router.get("/queue", responses=responses(ServerNotFound))
@requires(AccessLevel.READ)
async def get_queue(gateway: GatewayDep, server: ServerQuery = None) -> QueueJson:
    """Return the unfinished tasks, and what each server holds.

    `running` and `queued` contain tasks, queued ones in queue order; `running` includes those that
    are `canceling`. Each entry of `servers` has `server`, `online`, `running` and `pending` (prompt
    ids), and `others`, the number of prompts of other clients; for an unreachable server there is a
    `reason`. A queued task may already be pending on a server.
    """
    tasks = [gateway.tasks.view(task, LIST) for task in await gateway.tasks.queue()]
    return {
        "running": [task for task in tasks if task["status"] != Status.QUEUED],
        "queued": [task for task in tasks if task["status"] == Status.QUEUED],
        "servers": await _held(gateway, server),
    }


@router.post("/queue/clear")
@requires(AccessLevel.RUN)
async def clear_queue(gateway: GatewayDep) -> ClearedJson:
    """Cancel all queued tasks that are visible to the key; running tasks continue.

    Returns the ids in `canceled` and `canceling` (those on a server already), at most 10,000 of
    each, and the `count` of both.
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
    """List finished tasks with their outputs, newest first.

    With `include_servers` or `server` the response has `servers`: for each `server` the `prompts`
    in its history that are not the gateway's. This is limited to keys that may see the tasks of all
    keys (`forbidden`).
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
async def delete_history(body: DeleteRequest, gateway: GatewayDep) -> DeletedJson:
    """Delete finished tasks and their files, by their ids or all of them.

    If one of the ids is unknown or unfinished, nothing is deleted. `all` refers to the tasks that
    were finished when the request arrived. Returns the ids in `deleted`, at most 10,000, and their
    `count`.
    """
    servers = gateway.pool.online() if body.servers else []
    removed = await gateway.tasks.delete(body.task_ids, also_on=servers)
    return {"deleted": removed.task_ids, "count": removed.count}


async def _held(gateway: Gateway, server: str | None) -> list[HeldJson]:
    """Return what servers hold; restricted callers get only the number of others' prompts."""
    found = await queues.held_by(gateway.pool, server, gateway.tasks.known)
    if gateway.caller.is_unrestricted:
        return found
    for held in found:
        if "running" in held:
            running, pending = held["running"], held["pending"]
            mine = await gateway.tasks.known([*running, *pending])
            held["running"] = [task_id for task_id in running if task_id in mine]
            held["pending"] = [task_id for task_id in pending if task_id in mine]
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
