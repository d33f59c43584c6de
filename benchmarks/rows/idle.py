"""What a gateway uses that has nothing to do."""

import asyncio
from contextlib import AsyncExitStack

from benchmarks.bench import Bench
from benchmarks.programs import Gateway, StandIn
from benchmarks.report import Row


async def measure(bench: Bench) -> Row:
    seconds, count, folder = bench.effort.of(30, 2), bench.effort.of(4, 1), bench.scratch()
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(StandIn(folder / f"comfyui{number}"))
            for number in range(count)
        ]
        addresses = [server.address for server in servers]
        gateway = await stack.enter_async_context(Gateway(folder / "gateway", *addresses))
        await asyncio.sleep(bench.effort.of(5, 0))  # what it does at its start is not idling
        before = gateway.cpu_seconds
        await asyncio.sleep(seconds)
        share = (gateway.cpu_seconds - before) / seconds
        memory = gateway.resident_bytes / 1e6
    return Row(
        what=f"idle with {count} servers, no task",
        goal="< 1 % CPU, RSS < 110 MB",
        result=f"{share:.1%} CPU, {memory:.0f} MB",
        met=share < 0.01 and memory < 110,
        figures={"gateway": f"{share:.1%}, {memory:.0f} MB"},
        note=f"over {seconds} s.",
    )
