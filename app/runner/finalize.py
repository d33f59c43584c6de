"""Apply the outcome of a run to the task, its server and the learned run times."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from sqlalchemy.exc import StatementError

from app.comfyui.cleaning import cut
from app.comfyui.history import HistoryEntry
from app.db.claims import Claims
from app.db.engine.columns import Unstorable
from app.db.engine.errors import is_data_error
from app.db.run_steps import LostClaim, Unsaved
from app.db.run_times import RunTime
from app.errors import ComfyError
from app.limits import text_lengths
from app.limits.json_types import Json
from app.runner.context import RunContext
from app.runner.failed_saves import reason_of
from app.runner.native_result import result_of
from app.runner.progress import Tracker
from app.runner.rerouting import after_refusal, why_refused
from app.servers.fault_attribution import speaks_against_server
from app.servers.server import Server
from app.tasks.model import Attempt, Output, Task
from app.tasks.outcome import (
    Failed,
    Lost,
    Moved,
    Outcome,
    Succeeded,
    bounded,
    closed,
    may_try_again,
    outcome_of,
    times,
    unwritable,
)
from app.workflows.requirements import Needs

log = logging.getLogger(__name__)

# Error codes that may count against the server, see app/servers/fault_attribution.py. Other
# failures are caused by the prompt or the gateway.
BLAMED = ("execution_error", "out_of_memory")
# Seconds per earlier loss, before a prompt that the server lost is retried there
FORGOTTEN_RETRY_INTERVAL = 1.0


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run after its end. `history`: the prompt's entry in the server's history, if it has one.

    `unsaved`: its start and results, if they are to be written with the end.
    """

    task: Task
    prompt: Json
    needs: Needs
    server: Server
    attempts: Sequence[Attempt]
    outputs: tuple[Output, ...]
    tracker: Tracker
    history: HistoryEntry | None
    unsaved: Unsaved | None = None
    native_result: str | None = None  # see native_result.py


async def finalize(
    run: EndedRun, outcome: Outcome, context: RunContext, names: Mapping[str, str]
) -> Task:
    """Write the end of the task or requeue it for another attempt; return the updated task.

    `names`: names of uploads by their names on the server. Raises LostClaim if another process
    owns the task.
    """
    if isinstance(outcome, Lost) and run.server.removed:
        outcome = replace(outcome, code="server_removed")
    outcome = bounded(outcome, run.attempts, context.max_attempts)
    ran = run.task.started_at is not None or run.unsaved is not None
    run = replace(run, attempts=closed(run.attempts, outcome, ran=ran))
    on_trial = run.server.breaker.on_trial(run.task.owner)
    _judge_server(run, outcome, context)
    to = outcome.to if isinstance(outcome, Moved) else None
    elsewhere = context.pool.has_other(run.server.id, run.needs, run.task.wanted_server)
    if isinstance(outcome, Failed) and (outcome.refused or outcome.not_taken):
        why = why_refused(run.server, run.task, run.prompt, outcome.reason)
        to = after_refusal(context.pool, run.task, run.needs, run.attempts, why)
        elsewhere = to is not None
    again = may_try_again(
        run.task,
        outcome,
        run.attempts,
        context.max_attempts,
        elsewhere=elsewhere,
        doubtful=on_trial and context.run_times.proven(run.task.shape),
    )
    # A cancel may have been requested while no run listened
    if isinstance(outcome, Lost) and not again:
        again = run.task.task_id in await context.claims.canceled()
    if isinstance(outcome, Failed) and outcome.error.code == "out_of_memory":
        with suppress(ComfyError):  # best effort: the server may be unreachable
            await run.server.client.free(unload_models=True, free_memory=True)
    if again:
        here = to is None and outcome.word in ("forgotten", "not_taken")
        # An immediate retry is likely to fail in the same way
        if here and not run.server.door.is_open:
            await asyncio.sleep(FORGOTTEN_RETRY_INTERVAL * times(outcome.word, run.attempts))
        return await _requeue(run, context, to, behind=here)
    if isinstance(outcome, Succeeded):
        run.tracker.complete()
    task = replace(run.task, progress=run.tracker.progress, outputs=run.outputs)
    native = await result_of(task, run.history, names, context.paid_node_keys)
    return await _settle(task, outcome, replace(run, native_result=native), context.claims)


async def _requeue(run: EndedRun, context: RunContext, to: Needs | None, *, behind: bool) -> Task:
    """Put the task back into the queue; `to`: requirements without the servers that refused it."""
    task_id, attempts = run.task.task_id, run.attempts
    task = await context.claims.requeue(task_id, attempts, behind=behind, needs=to)
    if to is not None:
        context.queue.requirements.know(task.requirements_id, to, None)
    return task


async def broken_off(server: Server, task_id: str, error: Exception) -> Outcome:
    """Return the outcome of a run that ended with an exception."""
    if not is_data_error(error):
        return outcome_of(error)
    with suppress(ComfyError):  # the prompt may still run; its results could not be stored
        await server.client.cancel(task_id)
    return unwritable(reason_of(error))


async def _settle(task: Task, outcome: Outcome, run: EndedRun, claims: Claims) -> Task:
    """Write the end; if it cannot be stored, write an error that says so."""
    try:
        return await _write_end(task, outcome, run, claims)
    except (Unstorable, StatementError) as error:
        if not is_data_error(error):
            raise
        log.exception("the end of task %s cannot be stored", task.task_id)
        if run.unsaved is not None:
            task = await _save_storable(task, run.unsaved, claims)
        reason = outcome.reason if isinstance(outcome, Failed | Lost) else None
        known = f"{reason_of(error)} It had {outcome.word}{f': {reason}' if reason else '.'}"
        return await claims.give_up(task, unwritable(cut(known, text_lengths.REASON)).error)


async def _write_end(task: Task, outcome: Outcome, run: EndedRun, claims: Claims) -> Task:
    try:
        return await claims.settle(
            task, outcome, run.attempts, run.unsaved, native_result=run.native_result
        )
    except LostClaim:
        if run.unsaved is None:
            raise
    # Ours still, unless this raises the same: a cancel was requested meanwhile
    task = await claims.started(task, run.unsaved.began, run.unsaved.outputs)
    return await claims.settle(task, outcome, run.attempts, native_result=run.native_result)


async def _save_storable(task: Task, unsaved: Unsaved, claims: Claims) -> Task:
    """Write the start, and each result that can be stored; return the task with these only."""
    task, lost = await claims.started(task, unsaved.began), list[Output]()
    for output in unsaved.outputs:
        try:
            await claims.add_output(task.task_id, output)
        except (Unstorable, StatementError) as error:
            if not is_data_error(error):
                raise
            lost.append(output)
    return replace(task, outputs=tuple(one for one in task.outputs if one not in lost))


def _judge_server(run: EndedRun, outcome: Outcome, context: RunContext) -> None:
    server, shape = run.server, run.task.shape
    if isinstance(outcome, Succeeded):
        server.breaker.succeeded()
        server.refusals.forget_unnamed()
        _learn(run, context)
    elif isinstance(outcome, Failed) and outcome.error.code in BLAMED and _is_the_servers(run):
        key, proven = run.task.owner, context.run_times.proven(shape)
        if server.breaker.failed(shape, proven=proven, key=key):
            whom = "everybody" if server.breaker.is_open else f"key {key}"
            log.warning("server %s gets no tasks of %s: all failed there", server.id, whom)
            server.on_change()
    elif isinstance(outcome, Lost):
        server.warm = frozenset()


def _is_the_servers(run: EndedRun) -> bool:
    error = run.history and run.history.error
    return not error or speaks_against_server(error.exception_type, error.exception_message)


def _learn(run: EndedRun, context: RunContext) -> None:
    """Learn the run time, unless all nodes were cached: that says nothing about the next run."""
    entry = run.history
    if (
        entry is None
        or entry.seconds is None
        or len(entry.cached) >= run.tracker.progress.nodes_total
    ):
        return
    run_time = RunTime(entry.seconds, dict(run.tracker.ran))
    context.run_times.learn(run.task.shape, run.server.id, run_time)
