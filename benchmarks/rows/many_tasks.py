"""Many tasks at once, until all are final."""

import asyncio
import time

from benchmarks.bench import Bench, by_turns
from benchmarks.comfyui import direct
from benchmarks.figures import median, rate, ratios, spread
from benchmarks.load import NUMBER, Load
from benchmarks.programs import Floor, Measured, dump, workflow
from benchmarks.report import Row
from benchmarks.wire import Connection

LOOK = 0.02  # seconds between two looks whether all are final
# A task may cost this much CPU where an answer of FastAPI and uvicorn alone costs that much.
CPU_SECONDS, FLOOR_SECONDS = 0.0025, 0.0001

Found = dict[str, list[float]]  # tasks a second of each round, by party


async def measure(bench: Bench) -> Row:
    """A real ComfyUI is given fewer: it takes some milliseconds for each."""
    tasks = bench.effort.of(500 if bench.stand_in else 50, 5)
    used: list[float] = []
    floor = await Floor().measure("/task/a", connections=16, count=bench.effort.of(10_000, 100))

    async def gateway() -> float:
        before = bench.gateway.cpu_seconds
        seconds = await through_gateway(bench.gateway.base, tasks)
        used.append((bench.gateway.cpu_seconds - before) / tasks)
        return tasks / seconds

    async def alone() -> float:
        return tasks / await _direct(bench.comfyui, tasks)

    async def proxy() -> float:
        assert bench.proxy is not None
        return tasks / await _through_proxy(bench.proxy.base, bench.comfyui, tasks)

    measures = {"direct": alone, "gateway": gateway} | ({"proxy": proxy} if bench.proxy else {})
    found = await by_turns(bench.effort.rounds, measures)
    row = _row if bench.stand_in else _of_real
    return row(tasks, found, median(used), floor)


async def through_gateway(base: str, tasks: int) -> float:
    """Seconds from the first submit until none is unfinished."""
    body = dump({"workflow": workflow(f"many-{time.monotonic_ns():x}-{NUMBER.decode()}")})
    load = Load(base, ["/api/workflow/submit"], "POST", body, connections=8, count=tasks)
    http = await Connection.open(base)
    begin = time.perf_counter()
    submitting = asyncio.create_task(load.run())
    while not submitting.done() or await _unfinished(http):
        await asyncio.sleep(LOOK)
    seconds = time.perf_counter() - begin
    submitting.result().check(202)
    newest = (await http.ask("GET", f"/api/tasks?limit={tasks}")).json["tasks"]
    if any(task["status"] != "succeeded" for task in newest):
        raise RuntimeError("not all tasks succeeded")
    http.close()
    return seconds


async def _unfinished(http: Connection) -> bool:
    path = "/api/tasks?limit=1&status=queued&status=running"
    return bool((await http.ask("GET", path)).json["tasks"])


async def _direct(base: str, tasks: int) -> float:
    body = dump(
        {
            "prompt": workflow(f"direct-{time.monotonic_ns():x}-{NUMBER.decode()}"),
            "client_id": "benchmark",
        }
    )
    load = Load(base, ["/prompt"], "POST", body, connections=8, count=tasks)
    async with direct(base) as comfyui:
        begin = time.perf_counter()
        submitting = asyncio.create_task(load.run())
        while not submitting.done() or await comfyui.waiting():
            await asyncio.sleep(LOOK)
        seconds = time.perf_counter() - begin
    submitting.result().check(200)
    return seconds


async def _through_proxy(base: str, comfyui: str, tasks: int) -> float:
    """Its jobs are in ComfyUI's queue at once: they are final when that is empty."""
    body = dump({"workflow": workflow(f"proxy-{time.monotonic_ns():x}-{NUMBER.decode()}")})
    load = Load(base, ["/api/v2/jobs"], "POST", body, connections=8, count=tasks)
    async with direct(comfyui) as server:
        begin = time.perf_counter()
        submitting = asyncio.create_task(load.run())
        while not submitting.done() or await server.waiting():
            await asyncio.sleep(LOOK)
        seconds = time.perf_counter() - begin
    submitting.result().check(201)
    return seconds


def _row(tasks: int, found: Found, used: float, floor: Measured) -> Row:
    """On the stand-in, whose nodes take no time: what is left is overhead."""
    most = CPU_SECONDS * floor.cpu / FLOOR_SECONDS
    result, met = f"{used * 1000:.2f} ms of CPU a task", used <= most
    if "proxy" in found:
        of_proxy = ratios(found["gateway"], found["proxy"])
        result = f"{median(of_proxy):.2f} x the proxy, {result}"
        met = met and median(of_proxy) >= 0.4
    of_direct = ratios(found["gateway"], found["direct"])
    return Row(
        what=f"{tasks} tasks at once, until all are final",
        goal=f"≥ 0.4 x comfy-api-proxy's rate, ≤ {most * 1000:.2f} ms of CPU a task",
        result=result,
        met=met,
        figures={party: rate(median(rates)) for party, rates in found.items()},
        spread=f"{spread(of_direct)} of direct",
        note=f"an answer of FastAPI and uvicorn alone costs {floor.cpu * 1000:.3f} ms of CPU, and "
        f"a task may cost {CPU_SECONDS / FLOOR_SECONDS:.0f} of these. Neither a direct client nor "
        "the proxy fetches and keeps results, nor are their jobs on disk.",
    )


def _of_real(tasks: int, found: Found, used: float, _: Measured) -> Row:
    """On a real ComfyUI it is to be busy all the time."""
    of_direct = ratios(found["gateway"], found["direct"])
    return Row(
        what=f"{tasks} tasks at once on a real ComfyUI",
        goal="≥ 0.95 of the direct rate",
        result=f"{median(of_direct):.2f} of direct",
        met=median(of_direct) >= 0.95,
        figures={party: rate(median(rates)) for party, rates in found.items()},
        spread=f"{spread(of_direct)} of direct",
        note=f"the gateway uses {used * 1000:.1f} ms of CPU for a task.",
    )
