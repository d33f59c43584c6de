"""`python -m benchmarks`: measures every row and writes RESULTS.md."""

import argparse
import asyncio
import contextlib
import logging
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import machine, peers
from benchmarks.bench import Bench, Effort, stage
from benchmarks.programs import ROOT
from benchmarks.report import Row, page
from benchmarks.rows import (
    conversion,
    downloads,
    events,
    idle,
    listing,
    many_tasks,
    native,
    one_task,
    polls,
    servers,
    start,
    storm,
    submits,
)

log = logging.getLogger(__name__)

LONGEST = 200.0  # seconds of a row
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
ROWS = {
    "one_task": one_task,
    "many_tasks": many_tasks,
    "submits": submits,
    "polls": polls,
    "storm": storm,
    "events": events,
    "downloads": downloads,
    "conversion": conversion,
    "listing": listing,
    "servers": servers,
    "native": native,
    "idle": idle,
    "start": start,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--comfyui-server", metavar="HOST:PORT", help="a real ComfyUI")
    parser.add_argument("--only", action="append", choices=ROWS, help="this row; repeatable")
    parser.add_argument("--quick", action="store_true", help="tiny counts: do the scripts run?")
    parser.add_argument("--no-peers", action="store_true", help="without other projects")
    parser.add_argument("--output", type=Path, help="instead of benchmarks/RESULTS.md")
    return parser.parse_args()


async def main(options: argparse.Namespace) -> None:
    names = options.only or list(ROWS)
    found = peers.Peers() if options.no_peers else await peers.installed()
    comfyui = f"http://{options.comfyui_server}" if options.comfyui_server else None
    about = machine.described(
        comfyui or "the stand-in (fake_comfyui)", found.proxy, found.comfy_cli
    )
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        effort = Effort(options.quick)
        async with stage(Path(folder), effort, comfyui=comfyui, peers=found) as bench:
            for name in names:
                begin = time.monotonic()
                rows += await _measured(name, bench)
                _say(f"{name}: {time.monotonic() - begin:.0f} s")
    output = options.output or (None if options.only or options.quick else RESULTS)
    text = page(rows, about, " ".join(["python -m benchmarks", *sys.argv[1:]]))
    _say(text)
    if output:
        output.write_text(text, encoding="utf-8")


async def _measured(name: str, bench: Bench) -> list[Row]:
    """One that fails does not spoil the others."""
    try:
        async with asyncio.timeout(LONGEST):
            measured = await ROWS[name].measure(bench)
    except Exception as error:
        log.exception("%s failed", name)
        return [Row(name, "", f"failed: {type(error).__name__}", None)]
    return measured if isinstance(measured, list) else [measured]


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(arguments()))
