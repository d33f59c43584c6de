"""Run times of prompts, learned from past runs, by workflow shape, server and node."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, and_, bindparam, delete, select

from app.db import mapping
from app.db.engine.columns import ignoring_unstorable
from app.db.engine.database import FEW_ROWS, Database, insert_if_new
from app.db.engine.list_parameters import MAX_LIST_ROWS
from app.db.tables import run_times
from app.limits.lru_cache import BoundedCache

KEPT_ROWS = 20_000  # in the database
READ_ROWS = 2_000  # per query, newest first
KEPT_NODES = 300_000  # total in memory
A_RUN = 10  # weight of a run in addition to its nodes
MOST_NODES = 500  # per run; of a larger one only the total time is kept
NEWEST = 0.3  # weight of the newest run in the average
OVERLAP = 60.0  # seconds by which clocks of processes may differ
DEFAULT_SECONDS = 10.0  # assumed run time while nothing is known


@dataclass(frozen=True, slots=True)
class RunTime:
    """Seconds of a run and of its nodes, as exponential averages."""

    seconds: float
    nodes: Mapping[str, float]

    def bounded(self) -> "RunTime":
        """Drop the nodes if they are too many."""
        return self if len(self.nodes) <= MOST_NODES else RunTime(self.seconds, {})

    def blend(self, newer: "RunTime") -> "RunTime":
        """Return the average with a newer run; nodes that it did not run keep their times."""
        nodes = {
            node: _blend(self.nodes.get(node, seconds), seconds)
            for node, seconds in newer.nodes.items()
        }
        return RunTime(_blend(self.seconds, newer.seconds), {**self.nodes, **nodes})


Runs = Mapping[str, RunTime]  # of a shape, by server


def _size(runs: Runs) -> int:
    return sum(A_RUN + len(run.nodes) for run in runs.values())


def _blend(old: float, new: float) -> float:
    return round(old + (new - old) * NEWEST, 4)


class RunTimes:
    """Run times in memory, stored by `save`. All times in seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: BoundedCache[str, Runs] = BoundedCache(KEPT_NODES, _size)
        self._read_to = 0.0  # the newest `updated_at` that was read
        self._unsaved: set[tuple[str, str]] = set()
        self.average: float | None = None  # of recent runs

    async def learn_from_others(self) -> None:
        """Read what other processes saved since the last call; everything in the first call."""
        newer = (
            select(run_times)
            .where(run_times.c.updated_at > self._read_to - OVERLAP)
            .order_by(run_times.c.updated_at.desc())
            .limit(READ_ROWS)
        )
        found = await self._database.read(lambda c: c.execute(newer).mappings().all(), large=True)
        for row in reversed(found):
            if (row["shape"], row["server"]) not in self._unsaved:
                self._take(row)

    def _take(self, row: RowMapping) -> None:
        self._read_to = max(self._read_to, row["updated_at"])
        run = RunTime(row["seconds"], json.loads(row["nodes"])).bounded()
        if (self._known.get(row["shape"]) or {}).get(row["server"]) != run:
            self._keep(row["shape"], row["server"], run)

    def learn(self, shape: str, server: str, run: RunTime) -> None:
        run, before = run.bounded(), (self._known.get(shape) or {}).get(server)
        self._unsaved.add((shape, server))
        self._keep(shape, server, before.blend(run) if before else run)

    def _keep(self, shape: str, server: str, run: RunTime) -> None:
        # Replaced, never modified, as database threads read it.
        self._known.put(shape, {**(self._known.get(shape) or {}), server: run})
        self._note_average(run.seconds)

    def known(self, shape: str, server: str | None = None) -> RunTime | None:
        """Return the run time on that server, else of the fastest one, as cached runs are too
        short."""
        found = self._known.get(shape)
        if not found:
            return None
        return found.get(server or "") or min(found.values(), key=lambda run: run.seconds)

    def proven(self, shape: str) -> bool:
        """Return whether the shape has ever succeeded."""
        return shape in self._known

    def seconds(self, shape: str, server: str) -> float:
        """Return the best available estimate."""
        run = self.known(shape, server)
        return run.seconds if run else self.average or DEFAULT_SECONDS

    async def save(self) -> None:
        """Write what was learned since the last call."""
        changed, self._unsaved = self._unsaved, set()
        now = time.time()
        found = [
            {
                "shape": shape,
                "server": server,
                "seconds": run.seconds,
                "nodes": mapping.dump(run.nodes),
                "updated_at": now,
            }
            for shape, server in changed
            if (run := (self._known.get(shape) or {}).get(server)) is not None
        ]
        if not found:
            return

        def work(connection: Connection) -> None:
            keys = [{"of_shape": row["shape"], "on_server": row["server"]} for row in found]
            connection.execute(_FORGET, keys)
            keep = insert_if_new(connection.dialect.name, run_times)
            for row in found:
                with ignoring_unstorable(f"how long shape {row['shape']} takes"):
                    keep.count(connection, row)

        await self._database.write(work, large=len(found) > FEW_ROWS)

    def _note_average(self, seconds: float) -> None:
        self.average = seconds if self.average is None else _blend(self.average, seconds)


def forget_oldest(connection: Connection) -> int:
    """Delete some rows beyond the newest KEPT_ROWS; return MAX_LIST_ROWS if there may be more."""
    times = run_times.c.updated_at
    newest_of_old = select(times).order_by(times.desc()).offset(KEPT_ROWS).limit(1)
    at = connection.scalar(newest_of_old)
    if at is None:
        return 0
    old = select(run_times.c.shape, run_times.c.server).where(times <= at).limit(MAX_LIST_ROWS)
    found = [{"of_shape": row.shape, "on_server": row.server} for row in connection.execute(old)]
    connection.execute(_FORGET, found)
    return len(found)


_FORGET = delete(run_times).where(
    and_(run_times.c.shape == bindparam("of_shape"), run_times.c.server == bindparam("on_server"))
)
