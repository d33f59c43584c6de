"""GET /api/task/{id}: as many as one process answers, and how soon at half the goal."""

from benchmarks.bench import Bench
from benchmarks.figures import median, ms, percentile, rate, spread
from benchmarks.load import Load
from benchmarks.programs import Floor, workflow
from benchmarks.report import Row
from benchmarks.wire import Connection

GOAL = 2000.0  # answers a second


async def measure(bench: Bench) -> Row:
    paths = await _finished_tasks(bench.gateway.base, bench.effort.of(20, 2))
    rates, tails = [], []
    for _ in range(bench.effort.rounds):
        seconds = bench.effort.of(30, 3) / 10
        most = Load(bench.gateway.base, paths, connections=16, seconds=seconds)
        rates.append((await most.run()).check(200).rate)
        steady = Load(bench.gateway.base, paths, connections=16, seconds=seconds, rate=GOAL / 2)
        tails.append(percentile((await steady.run()).check(200).latencies, 0.99))
    alone = await Floor().rate("/task/a", connections=16, seconds=bench.effort.of(30, 3) / 10)
    return Row(
        what="GET /api/task/{id}",
        goal="≥ 2,000/s on one process, p99 ≤ 10 ms at 1,000/s",
        result=f"{rate(median(rates))}, p99 {ms(median(tails))} at 1,000/s",
        met=median(rates) >= GOAL and median(tails) <= 0.010,
        figures={"gateway": rate(median(rates))},
        spread=f"{spread(rates, '{:,.0f}')}/s; "
        f"p99 {spread([tail * 1000 for tail in tails], '{:.1f}')} ms",
        note=f"{alone}.",
    )


async def _finished_tasks(base: str, count: int) -> list[str]:
    http = await Connection.open(base)
    paths = []
    for number in range(count):
        body = {"workflow": workflow(f"poll-{number}")}
        task = (await http.ask("POST", "/api/workflow/submit?wait=30", body)).json
        paths.append(f"/api/task/{task['task_id']}")
    http.close()
    return paths
