"""One task at a time, from the submit until its end is known."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import chain

from benchmarks.bench import Bench
from benchmarks.comfyui import direct
from benchmarks.figures import median, ms, percentile, spread
from benchmarks.programs import workflow
from benchmarks.report import Row
from benchmarks.wire import Connection

Run = Callable[[str], Awaitable[None]]


async def measure(bench: Bench) -> Row:
    found: dict[str, list[list[float]]] = {}
    async with direct(bench.comfyui) as comfyui:
        runs: dict[str, Run] = {"direct": comfyui.run}
        runs["gateway"] = partial(_through_gateway, await Connection.open(bench.gateway.base))
        if bench.proxy:
            runs["proxy"] = partial(_through_proxy, await Connection.open(bench.proxy.base))
        for _ in range(bench.effort.rounds):
            round_of = await _round(runs, bench.effort.of(100, 3))
            for party, seconds in round_of.items():
                found.setdefault(party, []).append(seconds)
    return _row(found)


async def _round(runs: dict[str, Run], tasks: int) -> dict[str, list[float]]:
    """By turns, task after task."""
    found: dict[str, list[float]] = {party: [] for party in runs}
    for number in range(-3, tasks):  # the first ones only warm up
        for party, run in runs.items():
            begin = time.perf_counter()
            await run(f"one-{party}-{time.monotonic_ns():x}")
            if number >= 0:
                found[party].append(time.perf_counter() - begin)
    return found


async def _through_gateway(http: Connection, number: str) -> None:
    body = {"workflow": workflow(number)}
    task = (await http.ask("POST", "/api/workflow/submit?wait=30", body)).json
    if task["status"] != "succeeded" or not task["outputs"][0]["size_bytes"]:
        raise RuntimeError(f"the task did not succeed: {task}")


async def _through_proxy(http: Connection, number: str) -> None:
    """It has no way to wait for the end but to ask again."""
    answer = await http.ask("POST", "/api/v2/jobs", {"workflow": workflow(number)})
    path = f"/api/v2/jobs/{answer.json['id']}"
    async with asyncio.timeout(30):
        # "expired" is said, too, of a job that is just on its way from the queue to the history.
        while (await http.ask("GET", path)).json["status"] != "succeeded":
            await asyncio.sleep(0.002)


def _row(found: dict[str, list[list[float]]]) -> Row:
    ours, theirs = found["gateway"], found["direct"]
    more = [median(a) - median(b) for a, b in zip(ours, theirs, strict=True)]
    everything = {party: list(chain(*rounds)) for party, rounds in found.items()}
    tail = percentile(everything["gateway"], 0.99) - percentile(everything["direct"], 0.99)
    return Row(
        what="one task at a time: submit until its end is known",
        goal="median ≤ 4 ms more than direct, p99 ≤ 15 ms more",
        result=f"median {ms(median(more))} more, p99 {ms(tail)} more",
        met=median(more) <= 0.004 and tail <= 0.015,
        figures={
            party: f"{ms(median(seconds))} (p99 {ms(percentile(seconds, 0.99))})"
            for party, seconds in everything.items()
        },
        spread=f"{spread([one * 1000 for one in more], '{:.1f}')} ms more",
    )
