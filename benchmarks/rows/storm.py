"""Many tasks while others poll without pause."""

from benchmarks.bench import Bench, by_turns
from benchmarks.figures import median, rate, ratios, spread
from benchmarks.load import Load
from benchmarks.report import Row
from benchmarks.rows.many_tasks import through_gateway
from benchmarks.rows.polls import finished_tasks

POLLERS = 64
LONGEST = 60.0  # seconds of polls, which end with the tasks


async def measure(bench: Bench) -> Row:
    tasks, base = bench.effort.of(120, 4), bench.gateway.base
    polls: list[float] = []
    paths = await finished_tasks(base, bench.effort.of(20, 2))

    async def quiet() -> float:
        return tasks / await through_gateway(base, tasks)

    async def stormy() -> float:
        polling = await Load(base, paths, connections=POLLERS, seconds=LONGEST).start()
        rate_of_tasks = tasks / await through_gateway(base, tasks)
        polls.append((await polling.stop()).check(200).rate)
        return rate_of_tasks

    found = await by_turns(bench.effort.rounds, {"quiet": quiet, "storm": stormy})
    share = ratios(found["storm"], found["quiet"])
    return Row(
        what=f"{tasks} tasks while {POLLERS} clients poll without pause",
        goal="≥ 0.4 x the rate without them",
        result=f"{median(share):.2f} x",
        met=median(share) >= 0.4,
        figures={
            "gateway": f"{rate(median(found['storm']))}, {rate(median(found['quiet']))} without"
        },
        spread=f"{spread(share)} x",
        note=f"meanwhile {rate(median(polls))} of their polls are answered.",
    )
