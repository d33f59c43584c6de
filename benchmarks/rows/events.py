"""From a ComfyUI event to the subscribers of the gateway's WebSocket, at 10 updates a second."""

import asyncio
import json
import resource
import sys
from asyncio.subprocess import PIPE
from itertools import chain
from typing import Any

from benchmarks.bench import Bench
from benchmarks.figures import median, ms, percentile, spread
from benchmarks.programs import Gateway, StandIn
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
    middle, tail = median(delays), percentile(delays, 0.99)
    return Row(
        what=f"ComfyUI event → subscriber, {count:,} WebSocket subscriber{'s'[: count > 1]}",
        goal="p50 ≤ 2 ms, p99 ≤ 250 ms at 10 updates/s",
        result=f"p50 {ms(middle)}, p99 {ms(tail)}",
        met=middle <= 0.002 and tail <= 0.250,
        figures={"gateway": f"p50 {ms(middle)}, p99 {ms(tail)}"},
        spread=f"p50 {spread([median(delays) * 1000 for delays in rounds], '{:.1f}')} ms",
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
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.subscribers"), stdin=PIPE, stdout=PIPE
            )
            assert process.stdin is not None
            assert process.stdout is not None
            order = {"base_url": gateway.base, "count": count, "steps": steps}
            process.stdin.write(f"{json.dumps(order)}\n".encode())
            if await process.stdout.readline() != b"ready\n":
                raise RuntimeError("the subscribers failed")
            answer = await gateway.ask("POST", "/api/workflow/submit", _sampling(steps + 2))
            if answer.status != 202:
                raise RuntimeError(answer.body.decode())
            heard = json.loads(await process.stdout.read())
            await process.wait()
    return [now - tap.passed[step] for step, now in heard if step in tap.passed]


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
