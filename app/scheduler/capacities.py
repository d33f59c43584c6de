"""How much more a server may get, by what it holds. Pure."""

from collections.abc import Callable, Iterable, Sequence, Sized

from app.db.run_times import RunTimes
from app.runner.eta import Seen
from app.runner.expectation import SeenOn, wait_on
from app.scheduler.planner import ServerCapacity
from app.servers.server import Server


def capacities_of(
    servers: Iterable[Server],
    own: Callable[[Server], Sized],
    seen_on: SeenOn,
    run_times: RunTimes,
) -> dict[frozenset[str], list[ServerCapacity]]:
    """Return the servers that may have free slots, grouped by the barred API keys.

    `own` returns the tasks of this process on a server, `seen_on` those of all gateways.
    """
    found: dict[frozenset[str], list[ServerCapacity]] = {}
    for server in servers:
        held = len(own(server))
        if server.accepting and held < server.slots:
            capacity = _capacity_of(server, held, seen_on(server), run_times)
            if capacity is not None:
                found.setdefault(server.barred, []).append(capacity)
    return found


def _capacity_of(
    server: Server, own: int, there: Sequence[Seen], run_times: RunTimes
) -> ServerCapacity | None:
    """Return the capacity before the tasks that the server holds are subtracted; None without room.

    `there` has the tasks of all gateways, `own` are of this process.
    """
    usual, slots = (1, 1) if server.is_probing else (server.usual_slots, server.slots)
    # Of many slots half are filled at a time: a claim of several costs little more than one of one
    if own >= slots or own > max(usual, slots // 2):
        return None
    waiting = (seen.task for seen in there if seen.task.started_at is None and not seen.has_begun)
    ready = sum(run_times.seconds(task.shape, server.id) for task in waiting)
    wanted = server.pace.ready_seconds
    if own >= usual and ready >= wanted:
        return None
    wait = wait_on(server, there, run_times)
    return ServerCapacity(server, slots, wait, server.warm, slots - usual, ready, wanted)
