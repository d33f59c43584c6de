"""Submits a second over 32 connections, while the server does not get on with its work."""

import time

from benchmarks.bench import Bench, by_turns
from benchmarks.figures import median, ms, percentile, rate, ratios, spread
from benchmarks.load import NUMBER, Load, Outcome
from benchmarks.programs import Floor, Gateway, Measured, Proxy, StandIn, dump, workflow
from benchmarks.report import Row

WHAT = "submits a second (durable, 32 connections)"
GOAL = "≥ 0.2 x the floor's rate, ≥ 0.7 x comfy-api-proxy's, whose jobs are in memory"


async def measure(bench: Bench) -> Row:
    """With programs of their own: their queues are full afterwards."""
    count, latencies = bench.effort.of(1000, 20), list[float]()
    body = dump({"workflow": workflow("floor")})
    alone = await Floor().measure("/submit", 202, body, connections=32, count=count)
    folder = bench.scratch()
    async with StandIn(folder / "one") as one, StandIn(folder / "other") as other:
        for server in (one, other):
            await server.knobs(stall=True)
        async with Gateway(folder / "gateway", one.address) as gateway:

            async def native() -> float:
                outcome = await _submit(gateway.base, "/api/workflow/submit", 202, count)
                latencies.extend(outcome.latencies)
                return outcome.rate

            async def v2() -> float:
                return (await _submit(gateway.base, "/api/v2/jobs", 201, count)).rate

            measures = {"gateway": native, "gateway v2": v2}
            if not bench.peers.proxy:
                return _row(await by_turns(bench.effort.rounds, measures), latencies, alone)
            async with Proxy(bench.peers.proxy, other.base) as proxy:

                async def peer() -> float:
                    return (await _submit(proxy.base, "/api/v2/jobs", 201, count)).rate

                found = await by_turns(bench.effort.rounds, {**measures, "proxy": peer})
                return _row(found, latencies, alone)


async def _submit(base: str, path: str, status: int, count: int) -> Outcome:
    body = dump({"workflow": workflow(f"submit-{time.monotonic_ns():x}-{NUMBER.decode()}")})
    load = Load(base, [path], "POST", body, connections=32, count=count)
    return (await load.run()).check(status)


def _row(found: dict[str, list[float]], latencies: list[float], alone: Measured) -> Row:
    of_floor = median(found["gateway"]) / alone.rate
    result, met, spreads = f"{of_floor:.2f} x the floor's", of_floor >= 0.2, ""
    if "proxy" in found:
        of_proxy = ratios(found["gateway"], found["proxy"])
        result += f", {median(of_proxy):.2f} x the proxy"
        met = met and median(of_proxy) >= 0.7
        spreads = f"{spread(of_proxy)} x the proxy"
    return Row(
        what=WHAT,
        goal=GOAL,
        result=result,
        met=met,
        figures={
            "gateway": f"{rate(median(found['gateway']))} (p99 {ms(percentile(latencies, 0.99))})",
            **({"proxy": rate(median(found["proxy"]))} if "proxy" in found else {}),
        },
        spread=spreads,
        note=f"by its own route; by Comfy API v2's, {rate(median(found['gateway v2']))}. Each "
        "is on disk before its answer; the proxy hands it to ComfyUI and keeps it in memory. "
        f"{alone}.",
    )
