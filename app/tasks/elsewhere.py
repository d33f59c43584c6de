"""Where a prompt goes that one server refuses, or should: a pool is more than one server."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from app.servers.pool import Pool
from app.servers.refusals import shows
from app.servers.server import Server
from app.tasks.model import Attempt, Task
from app.workflows.needs import Needs, Refusal
from app.workflows.separators import as_listed

Json = dict[str, Any]


def before_sending(
    pool: Pool, server: Server, task: Task, prompt: Json, needs: Needs
) -> Needs | None:
    """The needs with this server left out, if it should refuse the prompt and another one should
    not; None if it is to be asked."""
    if task.wanted_server or len(list(pool)) < 2:
        return None
    reason = _why_not(server, task, prompt)
    if reason is None:
        return None
    without = _refused(needs, [*needs.refused, Refusal(server.id, reason)])
    better = pool.at_hand(without, None)
    return without if any(_why_not(other, task, prompt) is None for other in better) else None


def after_refusal(
    pool: Pool, task: Task, prompt: Json, needs: Needs, attempts: Sequence[Attempt]
) -> Needs | None:
    """The needs with all left out that have refused this very prompt, or such a one just now; None
    if nobody is left to be asked."""
    reasons = {refusal.server: refusal.reason for refusal in needs.refused}
    asked = {attempt.server for attempt in attempts if attempt.outcome == "refused"}
    for server in pool:
        spelled = as_listed(prompt, server.node_types)
        said = server.refusals.known(spelled, kind_of(task), fresh=server.id not in asked)
        if said is not None or server.id in asked:
            asked.add(server.id)
            reasons[server.id] = said or reasons.get(server.id, "this prompt")
    left = _refused(needs, [Refusal(name, reasons.get(name, "this prompt")) for name in asked])
    return left if pool.at_hand(left, task.wanted_server) else None


def is_left_alone(pool: Pool, needs: Needs) -> bool:
    """Whether servers have refused it, and no other is at hand. Of one that has not told yet what
    it has, since the gateway has just started say, it is not known."""
    unknown = any(not (server.node_types or server.given_up) for server in pool)
    return bool(needs.refused) and not unknown and not pool.at_hand(needs, None)


def kind_of(task: Task) -> str:
    """The prompts that a refusal which names no input speaks against: those of its shape and key.
    What one key wrote is not held against what another one wrote."""
    return f"{task.key_name or ''}\n{task.shape}"


def _refused(needs: Needs, refusals: Iterable[Refusal]) -> Needs:
    return replace(needs, refused=frozenset(refusals))


def _why_not(server: Server, task: Task, prompt: Json) -> str | None:
    spelled = as_listed(prompt, server.node_types)
    return server.refusals.known(spelled, kind_of(task)) or shows(spelled, server.node_types)
