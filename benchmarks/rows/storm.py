"""Many tasks while others poll without pause."""

from benchmarks.bench import Bench, Measure, by_turns
from benchmarks.figures import median, rate, ratios, spread
from benchmarks.load import Load
from benchmarks.report import Row
from benchmarks.rows.many_tasks import through_gateway
from benchmarks.rows.polls import finished_tasks

POLLERS = 64
LONGEST = 60.0  # seconds of polls, which end with the tasks


async def measure(bench: Bench) -> Row:
    tasks, base = bench.effort.of(120, 4), bench.gateway.base
    paths = await finished_tasks(base, bench.effort.of(20, 2))

    async def rate_of_tasks() -> float:
        return tasks / await through_gateway(base, tasks)

    return await beside_polls(
        bench,
        rate_of_tasks,
        Load(base, paths, connections=POLLERS, seconds=LONGEST),
        what=f"{tasks} tasks while {POLLERS} clients poll without pause",
        least=0.4,
        note="meanwhile {polls} of their polls are answered.",
    )


async def beside_polls(
    bench: Bench, rate_of_tasks: Measure, polling: Load, *, what: str, least: float, note: str
) -> Row:
    """The rate of tasks while others poll, as a share of that without them, which is to be `least`.
    `note` has {polls} for how many a second are answered."""
    polls: list[float] = []

    async def polled() -> float:
        under_way = await polling.start()
        found = await rate_of_tasks()
        polls.append((await under_way.stop()).check(200).rate)
        return found

    found = await by_turns(bench.effort.rounds, {"quiet": rate_of_tasks, "polled": polled})
    share = ratios(found["polled"], found["quiet"])
    return Row(
        what=what,
        goal=f"≥ {least} x the rate without them",
        result=f"{median(share):.2f} x",
        met=median(share) >= least,
        figures={
            "gateway": f"{rate(median(found['polled']))}, {rate(median(found['quiet']))} without"
        },
        spread=f"{spread(share)} x",
        note=note.format(polls=rate(median(polls))),
    )
