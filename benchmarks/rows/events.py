"""From a ComfyUI event to the subscribers of the gateway's WebSocket, at 10 updates a second."""

import asyncio
import json
import resource
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from itertools import chain
from typing import Any

from benchmarks.bench import Bench
from benchmarks.figures import median, ms, percentile, spread
from benchmarks.programs import Floor, Gateway, StandIn
from benchmarks.report import Row
from benchmarks.tap import Tap

INTERVAL = 0.1  # seconds between two updates


async def measure(bench: Bench) -> list[Row]:
    """On a stand-in: its updates come when we want them."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))  # a socket each
    counts = (20,) if bench.effort.quick else (1, 1000)
    return [await _row(bench, count) for count in counts]


async def _row(bench: Bench, count: int) -> Row:
    rounds = [await _round(bench, count) for _ in range(bench.effort.rounds)]
    delays = list(chain(*rounds))
    alone = median(await _alone(count, bench.effort.of(50, 5)))
    middle, tail = median(delays), percentile(delays, 0.99)
    return Row(
        what=f"ComfyUI event → subscriber, {count:,} WebSocket subscriber{'s'[: count > 1]}",
        goal="p50 ≤ 1.3 x the floor's" if count > 1 else "p50 ≤ 2 ms, p99 ≤ 250 ms at 10 updates/s",
        result=f"p50 {ms(middle)}, {middle / alone:.2f} x the floor's, p99 {ms(tail)}",
        met=middle <= 1.3 * alone if count > 1 else middle <= 0.002 and tail <= 0.250,
        figures={"gateway": f"p50 {ms(middle)}, p99 {ms(tail)}"},
        spread=f"p50 {spread([median(delays) * 1000 for delays in rounds], '{:.1f}')} ms",
        note=f"FastAPI and uvicorn alone, sending one text to each: p50 {ms(alone)}.",
    )


async def _round(bench: Bench, count: int) -> list[float]:
    """Seconds from each event to each subscriber."""
    steps, folder = bench.effort.of(50, 5), bench.scratch()
    async with StandIn(folder / "comfyui") as comfyui:
        await comfyui.knobs(step_seconds=INTERVAL)
        async with (
            Tap(comfyui.port).listening() as tap,
            Gateway(folder / "gateway", tap.address) as gateway,
        ):
            hear = await _subscribers(gateway.base, count, steps)
            answer = await gateway.ask("POST", "/api/workflow/submit", _sampling(steps + 2))
            if answer.status != 202:
                raise RuntimeError(answer.body.decode())
            heard = await hear()
    return [now - tap.passed[step] for step, now in heard if step in tap.passed]


async def _alone(count: int, steps: int) -> list[float]:
    """The same where nothing else is to be done."""
    began: dict[int, float] = {}
    async with Floor() as floor:
        hear = await _subscribers(floor.base, count, steps)
        for step in range(1, steps + 1):
            began[step] = (await floor.ask("POST", f"/tell/{step}")).json
            await asyncio.sleep(INTERVAL)
        return [now - began[step] for step, now in await hear()]


async def _subscribers(
    base: str, count: int, steps: int
) -> Callable[[], Awaitable[list[tuple[int, float]]]]:
    """So many, all of them connected; the answer waits until they have heard of all steps, and
    says when each heard of which."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.subscribers"), stdin=PIPE, stdout=PIPE
    )
    order = {"base_url": base, "count": count, "steps": steps}
    assert process.stdin is not None
    assert process.stdout is not None
    output = process.stdout
    process.stdin.write(f"{json.dumps(order)}\n".encode())
    if await output.readline() != b"ready\n":
        raise RuntimeError("the subscribers failed")

    async def hear() -> list[tuple[int, float]]:
        heard = json.loads(await output.read())
        await process.wait()
        return [(step, now) for step, now in heard]

    return hear


def _sampling(steps: int) -> dict[str, Any]:
    """One sampler with so many steps, without a picture to look at."""
    text = {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["1", 1]}}
    sampler = {
        "model": ["1", 0],
        "positive": ["2", 0],
        "negative": ["2", 0],
        "latent_image": ["3", 0],
        "seed": 1,
        "steps": steps,
        "cfg": 7.0,
        "denoise": 1.0,
        "sampler_name": "euler",
        "scheduler": "normal",
    }
    return {
        "1": {
            "class_type": "CheckpointLoaderSimple",
            "inputs": {"ckpt_name": "v1-5-pruned-emaonly-fp16.safetensors"},
        },
        "2": text,
        "3": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1},
        },
        "4": {"class_type": "KSampler", "inputs": sampler},
        "5": {
            "class_type": "SaveLatent",
            "inputs": {"samples": ["4", 0], "filename_prefix": "benchmark"},
        },
    }
