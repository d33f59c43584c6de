"""A page of 50 tasks out of few, and out of very many."""

import time

from benchmarks.bench import Bench, by_turns
from benchmarks.figures import median, ms, ratios, spread
from benchmarks.programs import Gateway
from benchmarks.report import Row
from benchmarks.seeding import add_finished, multiply
from benchmarks.wire import Connection

FEW = 1_000
PATH = "/api/tasks?limit=50"


async def measure(bench: Bench) -> Row:
    many, asks = bench.effort.of(1_000_000, 2_000), bench.effort.of(40, 3)
    folder = bench.scratch()
    sizes = {"few": FEW, "many": many}
    gateways = {name: Gateway(folder / name, bench.comfyui) for name in sizes}
    for name, gateway in gateways.items():
        await add_finished(gateway.database_url, {"one.png": b"1"}, gateway.outputs)
        await multiply(gateway.database_url, sizes[name])
    async with gateways["few"] as one, gateways["many"] as other:
        few, lots = await Connection.open(one.base), await Connection.open(other.base)

        async def of_few() -> float:
            return await _ask(few)

        async def of_many() -> float:
            return await _ask(lots)

        found = await by_turns(asks, {"few": of_few, "many": of_many})
        few.close()
        lots.close()
    times = ratios(found["many"], found["few"])
    return Row(
        what=f"list of 50 tasks at {FEW:,} and {many:,} rows",
        goal="equal within 20 %",
        result=f"{median(times) - 1:+.0%} of the time",
        met=median(times) <= 1.2,
        figures={"gateway": f"{ms(median(found['few']))} and {ms(median(found['many']))}"},
        spread=f"quarters {spread(_quarters(times))} x",
    )


def _quarters(times: list[float]) -> list[float]:
    """The middle half: single requests vary."""
    ordered = sorted(times)
    return ordered[len(ordered) // 4 : len(ordered) * 3 // 4 + 1]


async def _ask(http: Connection) -> float:
    begin = time.perf_counter()
    answer = await http.ask("GET", PATH)
    seconds = time.perf_counter() - begin
    if len(answer.json["tasks"]) != 50:
        raise RuntimeError("not a page of 50")
    return seconds
