"""From the start of the process until /api/ready answers 200."""

from benchmarks.bench import Bench
from benchmarks.figures import median, ms, spread
from benchmarks.programs import Gateway
from benchmarks.report import Row

GOAL = 1.2


async def measure(bench: Bench) -> Row:
    seconds = []
    for _ in range(bench.effort.of(5, 1)):
        async with Gateway(bench.scratch(), bench.comfyui) as gateway:
            seconds.append(gateway.started_in)
    return Row(
        what="start to ready",
        goal="≤ 1.2 s",
        result=ms(median(seconds)),
        met=median(seconds) <= GOAL,
        figures={"gateway": ms(median(seconds))},
        spread=f"{spread(seconds)} s",
    )
