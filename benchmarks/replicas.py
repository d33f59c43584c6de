"""Several gateways on one PostgreSQL: tasks a second, claims a second, and the query plans.

    .venv/bin/python -m benchmarks.replicas --help

Prints Markdown, or JSON with --json. Everything runs on this machine, so what is measured with
more replicas than it has cores is what sharing costs, not what more machines would bring.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import mean, quantiles
from typing import Any

from sqlalchemy import Connection, Executable, bindparam, func, select, text
from sqlalchemy.dialects import postgresql as dialect

from app.db import queue
from app.db.claims import Claims
from app.db.engine.database import open_database
from app.db.lease import Lease
from app.db.queries import TASKS, is_queued
from app.db.queue import Offer, Queue
from app.db.tables import tasks
from app.tasks.model import Assignment, WaitingTask
from app.tasks.outcome import Succeeded
from tests.conftest import model_free
from tests.databases import postgresql
from tests.fleet import Gateway, on, stand_ins
from tests.redis_server import running_redis

Json = dict[str, Any]

SERVERS = 32  # that claimers give tasks to
SLOTS = 2
COLUMNS = """seq, task_id, status, priority, rank, route, shape, created_at, needs_key, params,
metadata, attempts, warnings, finished_at"""


# -- tasks a second -----------------------------------------------------------------------------


async def throughput(folder: Path, replicas: int, count: int, clients: int) -> Json:
    """Trivial prompts from their submit to their end, over so many replicas."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(postgresql())
        redis = await stack.enter_async_context(running_redis(folder))
        demos = await stack.enter_async_context(stand_ins(folder, 4))
        gateways = []
        for number in range(replicas):
            place = folder / f"{replicas}-{number}"
            place.mkdir()
            gateway = Gateway(place, *on(demos), database_url=url, redis_url=redis.url, slots=4)
            gateways.append(await stack.enter_async_context(gateway))
        for gateway in gateways:
            await gateway.online(len(demos))
        await work(gateways, 50, clients)  # until caches are warm
        begin = time.perf_counter()
        times = await work(gateways, count, clients)
        seconds = time.perf_counter() - begin
    return {
        "replicas": replicas,
        "tasks_per_second": round(count / seconds, 1),
        "median_seconds": round(quantiles(times, n=100)[49], 3),
        "p95_seconds": round(quantiles(times, n=100)[94], 3),
    }


async def work(gateways: Sequence[Gateway], count: int, clients: int) -> list[float]:
    """Seconds of each task. Clients go from replica to replica, as a load balancer sends them."""
    numbers = iter(range(count))
    base = time.monotonic_ns()
    times: list[float] = []

    async def client() -> None:
        for number in numbers:
            http = gateways[number % len(gateways)].http
            workflow = model_free((base + number) % 0xFFFFFF)
            begin = time.perf_counter()
            answer = await http.post("/api/workflow/submit?wait=60", json=workflow)
            assert answer.json()["status"] == "succeeded", answer.text
            times.append(time.perf_counter() - begin)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return times


# -- claims a second ----------------------------------------------------------------------------


def fill(connection: Connection, finished: int, queued: int) -> None:
    """So many finished tasks, and a queue."""
    connection.execute(text("INSERT INTO routes (route, needs) VALUES ('any', :needs)"), NEEDS)
    last = finished + queued
    for begin, end, status, ended in (
        (1, finished, "succeeded", "n"),
        (finished + 1, last, "queued", "NULL"),
    ):
        connection.execute(
            text(
                f"INSERT INTO tasks ({COLUMNS}) SELECT n, gen_random_uuid(), '{status}', 0, n, "
                f"'any', 'shape', n, false, '{{}}', '{{}}', '[]', '[]', {ended} "
                f"FROM generate_series({begin}, {end}) n"
            )
        )
    connection.execute(
        text("INSERT INTO prompts SELECT task_id, '{}' FROM tasks WHERE status = 'queued'")
    )
    connection.execute(text("SELECT setval('tasks_seq_seq', (SELECT max(seq) FROM tasks))"))


NEEDS = {"needs": queue.Needs().dump()}


def offer_of(most: int) -> Offer:
    """Gives at most so many tasks to servers with room."""

    def offer(held: Mapping[str, int]) -> Any:
        free = [
            f"server {number}"
            for number in range(SERVERS)
            for _ in range(SLOTS - held.get(f"server {number}", 0))
        ]

        def choose(waiting: Sequence[WaitingTask]) -> list[Assignment]:
            pairs = zip(waiting, free[:most], strict=False)
            return [Assignment(task.seq, server) for task, server in pairs]

        return ((), choose) if free else None

    return offer


def claimer(url: str, number: int, most: int, together: Any, said: Any) -> None:
    """A process that claims tasks and ends them for a while; all begin together."""
    said.put(asyncio.run(_claim(url, number, most, together)))


async def _claim(url: str, number: int, most: int, together: Any) -> tuple[int, list[float]]:
    database = await open_database(url)
    lease = Lease(f"claimer {number}", 60)
    mine, claims, offer = Queue(database, lease), Claims(database, lease), offer_of(most)
    count, times = 0, []
    await asyncio.to_thread(together.wait, STARTING)
    until = time.perf_counter() + SECONDS
    while (begin := time.perf_counter()) < until:
        found, _ = await mine.assign(offer)
        times.append(time.perf_counter() - begin)
        count += len(found)
        for claim in found:
            await claims.settle(claim.task, Succeeded(), [])
    await database.close()
    return count, times


SECONDS = 8.0  # of claiming
STARTING = 120.0  # at most, until all processes are there


def claims_a_second(url: str, claimers: int, most: int) -> Json:
    processes = multiprocessing.get_context("spawn")
    said: Any = processes.Queue()
    together = processes.Barrier(claimers)
    started = [
        processes.Process(target=claimer, args=(url, number, most, together, said))
        for number in range(claimers)
    ]
    for process in started:
        process.start()
    found = [said.get(timeout=STARTING + 4 * SECONDS) for _ in started]
    for process in started:
        process.join()
    times = [seconds for _, each in found for seconds in each]
    return {
        "claimers": claimers,
        "tasks_at_once": most,
        "claims_per_second": round(sum(count for count, _ in found) / SECONDS, 1),
        "mean_ms": round(mean(times) * 1000, 1),
        "p95_ms": round(quantiles(times, n=100)[94] * 1000, 1),
    }


# -- plans --------------------------------------------------------------------------------------


def statements() -> dict[str, Executable]:
    """What is asked often, with values for its parameters."""
    now = time.time()
    terms = {"me": "me", "now": now, "until": now + 15}
    page = TASKS.order_by(tasks.c.seq.desc()).limit(50)
    waiting = select(func.count()).select_from(tasks).where(is_queued())
    return {
        "the head of the queue": queue._WAITING.statement.params(
            excluded=["other"], full=["nobody"], **terms
        ),
        "what servers hold": queue._HELD.statement,
        "what was chosen, locked": queue._STILL_THERE.params(seqs=[1_000_001, 1_000_002]),
        "what nobody drives": queue._LEFT_BEHIND.where(
            tasks.c.server.in_(bindparam("servers", expanding=True))
        ).params(servers=["server 1", "server 2"], **terms),
        "what servers got last": queue._NEWEST,
        "how many wait": waiting,
        "a page of the list": page,
    }


def plans(connection: Connection) -> dict[str, list[str]]:
    found = {}
    for name, statement in statements().items():
        compiled: Any = statement.compile(  # type: ignore[attr-defined]
            dialect=dialect.dialect(), compile_kwargs={"literal_binds": True}
        )
        explain = f"EXPLAIN (ANALYZE, BUFFERS) {compiled}".replace(":", "\\:")
        found[name] = list(connection.scalars(text(explain)))
    return found


# -- all of it ----------------------------------------------------------------------------------


async def measure(options: argparse.Namespace) -> Json:
    found: Json = {"cores": os.cpu_count(), "throughput": [], "claims": [], "plans": {}}
    with tempfile.TemporaryDirectory() as folder:
        for replicas in options.replicas:
            note(f"tasks a second with {replicas} replicas")
            place = Path(folder) / str(replicas)
            place.mkdir()
            found["throughput"].append(
                await throughput(place, replicas, options.tasks, options.clients)
            )
            note(str(found["throughput"][-1]))
    for rows in options.rows if options.claimers else ():
        await measure_claims(options, rows, found)
    return found


async def measure_claims(options: argparse.Namespace, rows: int, found: Json) -> None:
    async with postgresql() as url:
        database = await open_database(url)
        note(f"a table of {rows} rows")
        await database.write(lambda c: fill(c, rows, options.queued), slow=True)  # type: ignore[call-arg]
        await database.write(lambda c: c.execute(text("ANALYZE")), slow=True)  # type: ignore[call-arg]
        found["plans"] = await database.read(plans)
        for claimers in options.claimers:
            for most in (1, 8):
                note(f"claims a second with {claimers} claimers, {most} at once")
                claims = await asyncio.to_thread(claims_a_second, url, claimers, most)
                found["claims"].append({"finished_rows": rows, **claims})
                note(str(found["claims"][-1]))
        await database.close()


def note(said: str) -> None:
    sys.stderr.write(f"{said}\n")


def markdown(found: Json) -> str:
    lines = [f"# Replicas on one PostgreSQL ({found['cores']} cores)"]
    for name in ("throughput", "claims"):
        if rows := found[name]:
            lines += [
                "",
                f"## {name.capitalize()}",
                "",
                _row(rows[0]),
                _row(["---"] * len(rows[0])),
            ]
            lines += [_row(row.values()) for row in rows]
    for name, plan in found["plans"].items():
        lines += ["", f"## Plan: {name}", "", "```", *plan, "```"]
    return "\n".join(lines)


def _row(cells: Any) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replicas", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--tasks", type=int, default=600, help="of each measurement")
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--claimers", type=int, nargs="*", default=[1, 4, 16])
    rows = [0, 1_000_000]
    parser.add_argument("--rows", type=int, nargs="*", default=rows, help="finished tasks there")
    parser.add_argument("--queued", type=int, default=40_000)
    parser.add_argument("--json", action="store_true", help="instead of Markdown")
    options = parser.parse_args()
    found = asyncio.run(measure(options))
    print(json.dumps(found, indent=1) if options.json else markdown(found))


if __name__ == "__main__":
    main()
