"""The largest official workflows from UI to API format, beside comfy-cli."""

import asyncio
import importlib.resources
import json
import os
import resource
import time
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench
from benchmarks.figures import median, ms, spread
from benchmarks.programs import ROOT, Gateway, StandIn
from benchmarks.report import Row
from benchmarks.wire import Connection

FIXTURES = ROOT / "tests" / "fixtures" / "conversion"
# One node: what comfy-cli needs for it is the start of the program and the node types.
SMALLEST = {
    "nodes": [
        {
            "id": 1,
            "type": "EmptyImage",
            "mode": 0,
            "flags": {},
            "order": 0,
            "pos": [0, 0],
            "size": [200, 100],
            "inputs": [],
            "properties": {},
            "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}],
            "widgets_values": [64, 64, 1, 0],
        },
        {
            "id": 2,
            "type": "PreviewImage",
            "mode": 0,
            "flags": {},
            "order": 1,
            "pos": [300, 0],
            "size": [200, 100],
            "outputs": [],
            "properties": {},
            "inputs": [{"name": "images", "type": "IMAGE", "link": 1}],
            "widgets_values": [],
        },
    ],
    "links": [[1, 1, 0, 2, 0, "IMAGE"]],
    "groups": [],
    "config": {},
    "extra": {},
    "version": 0.4,
    "last_node_id": 2,
    "last_link_id": 1,
}


async def measure(bench: Bench) -> Row:
    folder, workflows = bench.scratch(), _largest(bench.effort.of(10, 2))
    object_info = ("--object-info", str(FIXTURES / "object_info.json.gz"))
    async with (
        StandIn(folder / "comfyui", *object_info) as comfyui,
        Gateway(folder / "gateway", comfyui.address) as gateway,
    ):
        ours, theirs, beyond = [], [], []
        for _ in range(bench.effort.rounds):
            http = await Connection.open(gateway.base)  # anew: idle ones are closed
            ours.append(sum([await _ours(http, workflow) for workflow in workflows]))
            http.close()
            if program := bench.peers.comfy_cli:
                paths = _written(folder, [SMALLEST, *workflows])
                startup, *used = [await _comfy_cli(program, path, comfyui.port) for path in paths]
                theirs.append(sum(used))
                beyond.append(sum(used) - len(used) * startup)
    return _row(len(workflows), ours, theirs, beyond)


def _largest(count: int) -> list[dict[str, Any]]:
    """Of those whose conversion by ComfyUI's own page is known."""
    known = json.loads((FIXTURES / "digests.json").read_text(encoding="utf-8"))
    folder = importlib.resources.files("comfyui_workflow_templates_json") / "templates"
    texts = [(folder / f"{name}.json").read_text(encoding="utf-8") for name in known]
    return [json.loads(text) for text in sorted(texts, key=len, reverse=True)[:count]]


async def _ours(http: Connection, workflow: dict[str, Any]) -> float:
    """The whole request: sent, parsed, converted, answered."""
    begin = time.perf_counter()
    answer = await http.ask("POST", "/api/workflow/convert", workflow)
    seconds = time.perf_counter() - begin
    if answer.status != 200:
        raise RuntimeError(answer.body.decode())
    return seconds


def _written(folder: Path, workflows: list[dict[str, Any]]) -> list[Path]:
    paths = [folder / f"{number}.json" for number in range(len(workflows))]
    for path, workflow in zip(paths, workflows, strict=True):
        path.write_text(json.dumps(workflow), encoding="utf-8")
    return paths


async def _comfy_cli(program: Path, path: Path, port: int) -> float:
    """Seconds of CPU of the whole program, which are steadier than those of the clock."""
    before = _children()
    process = await asyncio.create_subprocess_exec(
        *(str(program), "--skip-prompt", "run", "--workflow", str(path), "--print-prompt"),
        *("--host", "127.0.0.1", "--port", str(port)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "DO_NOT_TRACK": "1"},
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(output.decode()[-2000:])
    return _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _row(count: int, ours: list[float], theirs: list[float], beyond: list[float]) -> Row:
    apart = f" ({ms(median(beyond))}, {spread(beyond)} s over the rounds)" if beyond else ""
    return Row(
        what=f"conversion of the {count} largest official workflows",
        goal="≤ comfy-cli's time",
        result=f"{median(ours) / median(theirs):.2f} x comfy-cli's whole program"
        if theirs
        else "no peer",
        met=median(ours) <= median(theirs) if theirs else None,
        figures={
            "gateway": ms(median(ours)),
            "proxy": f"comfy-cli: {ms(median(theirs))}" if theirs else "",
        },
        spread=f"{spread([one * 1000 for one in ours], '{:.0f}')} ms",
        note="all of them together. Ours are whole requests over HTTP, by the clock; comfy-cli's "
        "is the CPU time of the whole program, mostly its start. What it needs beyond that of a "
        f"workflow of two nodes{apart} is less than its starts differ by.",
    )
