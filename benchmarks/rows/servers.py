"""Eight servers against one, with prompts that take their time."""

from contextlib import AsyncExitStack

from benchmarks.bench import Bench, by_turns
from benchmarks.figures import median, rate, ratios, spread
from benchmarks.programs import Gateway, StandIn
from benchmarks.report import Row
from benchmarks.rows.many_tasks import through_gateway

SERVERS = 8
SLOW = 0.05  # seconds of a prompt: of its one node that is not in the cache


async def measure(bench: Bench) -> Row:
    folder, per_server = bench.scratch(), bench.effort.of(50, 2)
    count = bench.effort.of(SERVERS, 2)
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(StandIn(folder / f"comfyui{number}", slow=SLOW))
            for number in range(count)
        ]
        addresses = [server.address for server in servers]
        one = await stack.enter_async_context(Gateway(folder / "one", addresses[0]))
        all_of_them = await stack.enter_async_context(Gateway(folder / "all", *addresses))

        async def with_one() -> float:
            return per_server / await through_gateway(one.base, per_server)

        async def with_all() -> float:
            tasks = count * per_server
            return tasks / await through_gateway(all_of_them.base, tasks)

        measures = {"one": with_one, "all": with_all}
        found = await by_turns(bench.effort.rounds, measures)
    times = ratios(found["all"], found["one"])
    return Row(
        what=f"{count} servers against 1, with 50 ms prompts",
        goal="≥ 7 x",
        result=f"{median(times):.2f} x",
        met=median(times) >= 7,
        figures={"gateway": f"{rate(median(found['all']))} against {rate(median(found['one']))}"},
        spread=f"{spread(times)} x",
    )
