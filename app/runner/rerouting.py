"""Choice of other servers for a prompt that a server refused or is expected to refuse."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from app.limits.json_types import Json
from app.limits.quoting import cut
from app.servers.pool import Pool
from app.servers.refusals import NOTHING, shows
from app.servers.server import Server
from app.tasks.model import Attempt, Task
from app.workflows.checks.separators import as_listed
from app.workflows.requirements import Needs, Refusal

# Outcomes of attempts in which the server did not accept the prompt
NOT_TAKEN = ("refused", "not_taken")
SAID = 200  # characters of the server's answer that are kept


def before_sending(
    pool: Pool, server: Server, task: Task, prompt: Json, needs: Needs
) -> Needs | None:
    """Return needs that exclude this server, if it should refuse the prompt and another should not.

    Return None to send the prompt to this server.
    """
    if task.wanted_server or len(list(pool)) < 2:
        return None
    reason = _why_not(server, task, prompt)
    if reason is None:
        return None
    without = _refused(needs, [*needs.refused, Refusal(server.id, reason)])
    better = pool.at_hand(without, None)
    return without if any(_why_not(other, task, prompt) is None for other in better) else None


def after_refusal(
    pool: Pool, task: Task, needs: Needs, attempts: Sequence[Attempt], reason: str
) -> Needs | None:
    """Return needs that exclude all servers that refused this prompt, the last one for `reason`.

    Return None if no other server is left.
    """
    reasons = {refusal.server: refusal.reason for refusal in needs.refused}
    reasons |= {attempt.server: reason for attempt in attempts[-1:]}
    asked = {attempt.server for attempt in attempts if attempt.outcome in NOT_TAKEN}
    left = _refused(needs, [Refusal(name, reasons.get(name, NOTHING)) for name in asked])
    hope = pool.at_hand(left, task.wanted_server) or pool.untold(left, task.wanted_server)
    return left if hope else None


def why_refused(server: Server, task: Task, prompt: Json, said: str) -> str:
    """Return a short reason for the refusal: what `refusals` knows, else what the server `said`."""
    spelled = as_listed(prompt, server.node_types)
    known = server.refusals.known(spelled, task.owner) or NOTHING
    if known != NOTHING:
        return known
    return f"{NOTHING}: {cut(said.removeprefix(f'ComfyUI at {server.id} '), SAID)}"


def is_left_alone(pool: Pool, needs: Needs) -> bool:
    """Return whether servers refused the prompt and no other one is available.

    A server whose node types are not loaded yet counts as available, e.g. right after a start.
    """
    hope = pool.at_hand(needs, None) or pool.untold(needs, None)
    return bool(needs.refused) and not hope


def _refused(needs: Needs, refusals: Iterable[Refusal]) -> Needs:
    return replace(needs, refused=frozenset(refusals))


def _why_not(server: Server, task: Task, prompt: Json) -> str | None:
    spelled = as_listed(prompt, server.node_types)
    return server.refusals.known(spelled, task.owner) or shows(spelled, server.offer.inputs)
