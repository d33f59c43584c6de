"""Repair of inconsistencies: tasks whose server is gone, prompts whose task has ended."""

import logging
from functools import partial

from app.db.claimed import Claim
from app.db.run_steps import LostClaim
from app.errors import ComfyError
from app.runner.context import RunContext
from app.runner.failed_saves import FailedSaves
from app.servers.pool import Pool
from app.servers.queues import held_ids
from app.servers.server import Server
from app.tasks.outcome import Lost, closed, may_try_again
from app.tasks.view import task_view

log = logging.getLogger(__name__)


async def recover_orphans(pool: Pool, context: RunContext, troubles: FailedSaves) -> None:
    """Requeue or fail tasks without an owner whose server is gone for good."""
    there = [server.id for server in pool if server.online or not server.given_up]
    for claim in await context.queue.adopt(keep_servers=there):
        try:
            await _rescue(claim, pool, context)
            troubles.is_over(claim.task.task_id)
        except LostClaim:
            pass
        except Exception as error:  # the error concerns one task only
            log.exception("task %s cannot be taken off its server", claim.task.task_id)
            await troubles.after(claim.task, error)


async def _rescue(claim: Claim, pool: Pool, context: RunContext) -> None:
    task, lost = claim.task, _loss(claim.task.server, pool)
    attempts = closed(task.attempts, lost, ran=task.started_at is not None)
    elsewhere = pool.has_other(task.server, claim.needs, task.wanted_server)
    if may_try_again(task, lost, attempts, context.max_attempts, elsewhere=elsewhere):
        ended = await context.claims.requeue(task.task_id, attempts)
    else:
        ended = await context.claims.settle(task, lost, attempts)
    context.hub.publish(ended, "status", partial(task_view, ended))


def _loss(server_id: str | None, pool: Pool) -> Lost:
    """A server that a restart left out of the settings was removed, like one by a request."""
    if server_id in {server.id for server in pool if not server.removed}:
        return Lost("server_lost", f"{server_id} is gone.")
    return Lost("server_removed", f"{server_id} is no server of this gateway any more.")


async def cancel_stray_prompts(server: Server, context: RunContext) -> None:
    """Cancel prompts on the server whose tasks ended or moved while it was unreachable.

    Until that succeeds the server counts as not swept and gets no tasks.
    """
    try:
        held = await held_ids(server)
        for task_id, (place, finished) in (await context.queue.locations_of(held)).items():
            if finished or place != server.id:
                log.info("task %s is no longer wanted on %s", task_id, server.id)
                await server.client.cancel(task_id)
    except ComfyError as error:
        log.info("server %s cannot be swept: %s", server.id, error.detail)
        return
    server.swept = True


async def clear_stall_if_idle(server: Server) -> None:
    """Clear the stall of a server that holds no prompts of ours once it runs nothing."""
    try:
        if not await held_ids(server):
            server.shows_life()
    except ComfyError:
        return
