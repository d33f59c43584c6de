"""GET /api/task/{id}: as many as one process answers, and how soon at half of what is wanted."""

from benchmarks.bench import Bench
from benchmarks.figures import median, ms, percentile, rate, spread
from benchmarks.load import Load
from benchmarks.programs import Floor, workflow
from benchmarks.report import Row
from benchmarks.wire import Connection

GOAL = 0.4  # of what FastAPI and uvicorn alone answer


async def measure(bench: Bench) -> Row:
    paths = await finished_tasks(bench.gateway.base, bench.effort.of(20, 2))
    rates, tails, seconds = [], [], bench.effort.of(30, 3) / 10
    alone = await Floor().measure("/task/a", connections=16, seconds=seconds)
    half = GOAL * alone.rate / 2
    for _ in range(bench.effort.rounds):
        most = Load(bench.gateway.base, paths, connections=16, seconds=seconds)
        rates.append((await most.run()).check(200).rate)
        steady = Load(bench.gateway.base, paths, connections=16, seconds=seconds, rate=half)
        tails.append(percentile((await steady.run()).check(200).latencies, 0.99))
    share = median(rates) / alone.rate
    return Row(
        what="GET /api/task/{id}",
        goal="≥ 0.4 x the floor's rate, p99 ≤ 10 ms at half of that",
        result=f"{share:.2f} x the floor's, p99 {ms(median(tails))} at {rate(half)}",
        met=share >= GOAL and median(tails) <= 0.010,
        figures={"gateway": rate(median(rates))},
        spread=f"{spread(rates, '{:,.0f}')}/s; "
        f"p99 {spread([tail * 1000 for tail in tails], '{:.1f}')} ms",
        note=f"{alone}.",
    )


async def finished_tasks(base: str, count: int) -> list[str]:
    http = await Connection.open(base)
    paths = []
    for number in range(count):
        body = {"workflow": workflow(f"poll-{number}")}
        task = (await http.ask("POST", "/api/workflow/submit?wait=30", body)).json
        paths.append(f"/api/task/{task['task_id']}")
    http.close()
    return paths
