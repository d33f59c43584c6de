"""How long prompts take: learnt from past runs, by workflow shape, server and node."""

import json
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, and_, bindparam, delete, insert, select

from app.tasks import rows
from app.tasks.database import FEW, Database
from app.tasks.tables import run_times

KEPT_SHAPES = 2_000
NEWEST = 0.3  # weight of the newest run in the average
OVERLAP = 60.0  # seconds by which the clocks of processes may differ
GUESS = 10.0  # seconds of a run, while nothing is known at all


@dataclass(frozen=True, slots=True)
class RunTime:
    """Seconds of a whole run and of its nodes: averages in which the newest runs weigh most."""

    seconds: float
    nodes: Mapping[str, float]

    def blend(self, newer: "RunTime") -> "RunTime":
        """Of nodes that did not run this time the last known time stays."""
        nodes = {
            node: _blend(self.nodes.get(node, seconds), seconds)
            for node, seconds in newer.nodes.items()
        }
        return RunTime(_blend(self.seconds, newer.seconds), {**self.nodes, **nodes})


def _blend(old: float, new: float) -> float:
    return round(old + (new - old) * NEWEST, 4)


class Estimates:
    """In memory, kept in the database by `save`. All times in seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[str, dict[str, RunTime]] = OrderedDict()
        self._read_to = 0.0  # when the newest was saved that was read
        self._unsaved: set[tuple[str, str]] = set()
        self.average: float | None = None  # of all runs lately

    async def load(self) -> None:
        newest = select(run_times).order_by(run_times.c.updated_at.desc()).limit(KEPT_SHAPES)

        def work(connection: Connection) -> Sequence[RowMapping]:
            found = connection.execute(newest).mappings().all()
            if len(found) == KEPT_SHAPES:  # there may be more, of shapes long out of use
                oldest = found[-1]["updated_at"]
                connection.execute(delete(run_times).where(run_times.c.updated_at < oldest))
            return found

        for row in reversed(await self._database.write(work, large=True)):
            self._take(row)

    async def learn_from_others(self) -> None:
        """Read what other processes have saved since the last time."""
        newer = select(run_times).where(run_times.c.updated_at > self._read_to - OVERLAP)
        found = await self._database.read(lambda c: c.execute(newer).mappings().all(), large=True)
        for row in sorted(found, key=lambda row: float(row["updated_at"])):
            if (row["shape"], row["server"]) not in self._unsaved:
                self._take(row)

    def _take(self, row: RowMapping) -> None:
        self._read_to = max(self._read_to, row["updated_at"])
        run = RunTime(row["seconds"], json.loads(row["nodes"]))
        known = self._known.setdefault(row["shape"], {})
        if known.get(row["server"]) != run:
            known[row["server"]] = run
            self._note_average(run.seconds)

    def learn(self, shape: str, server: str, run: RunTime) -> None:
        known = self._known.setdefault(shape, {})
        known[server] = known[server].blend(run) if server in known else run
        self._known.move_to_end(shape)
        self._unsaved.add((shape, server))
        self._note_average(run.seconds)
        if len(self._known) > KEPT_SHAPES:
            self._known.popitem(last=False)

    def known(self, shape: str, server: str | None = None) -> RunTime | None:
        """On that server; or else where it was fastest, since caches make the rest slower."""
        found = self._known.get(shape)
        if not found:
            return None
        # A copy: threads of the database ask, too.
        return found.get(server or "") or min(list(found.values()), key=lambda run: run.seconds)

    def proven(self, shape: str) -> bool:
        """Has it ever succeeded?"""
        return shape in self._known

    def seconds(self, shape: str, server: str) -> float:
        """The best guess there is."""
        run = self.known(shape, server)
        return run.seconds if run else self.average or GUESS

    async def save(self) -> None:
        """Write what was learnt since the last time."""
        changed, self._unsaved = self._unsaved, set()
        now = time.time()
        found = [
            {
                "shape": shape,
                "server": server,
                "seconds": run.seconds,
                "nodes": rows.dump(run.nodes),
                "updated_at": now,
            }
            for shape, server in changed
            if (run := self._known.get(shape, {}).get(server)) is not None
        ]
        if not found:
            return

        def work(connection: Connection) -> None:
            keys = [{"of_shape": row["shape"], "on_server": row["server"]} for row in found]
            connection.execute(_FORGET, keys)
            connection.execute(insert(run_times), found)

        await self._database.write(work, large=len(found) > FEW)

    def _note_average(self, seconds: float) -> None:
        self.average = seconds if self.average is None else _blend(self.average, seconds)


_FORGET = delete(run_times).where(
    and_(run_times.c.shape == bindparam("of_shape"), run_times.c.server == bindparam("on_server"))
)
