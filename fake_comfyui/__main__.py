"""`python -m fake_comfyui --port 8188`: the demo server alone."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from fake_comfyui.knobs import PREVIEW_METHODS
from fake_comfyui.order import SetOrder
from fake_comfyui.server import CannotListen, DemoServer, leave

log = logging.getLogger("fake_comfyui")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fake_comfyui", description=__doc__)
    parser.add_argument("--port", type=int, default=8188, help="0 picks a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--object-info", type=Path, metavar="FILE.json[.gz]")
    parser.add_argument("--step-seconds", type=float, default=0.12, metavar="S")
    parser.add_argument("--directory", type=Path, help="keep the files here, not in a temp folder")
    parser.add_argument("--no-jobs-api", action="store_true", help="pose as ComfyUI 0.3.64")
    parser.add_argument(
        "--preview-method",
        choices=PREVIEW_METHODS,
        default="none",
        help="as ComfyUI's own option: without it no previews are sent",
    )
    parser.add_argument(
        "--order-seed",
        type=int,
        metavar="N",
        help="always the same order of output nodes; without it another one each time",
    )
    return parser.parse_args()


async def main(options: argparse.Namespace) -> None:
    server = DemoServer(
        port=options.port,
        host=options.host,
        step_seconds=options.step_seconds,
        object_info=options.object_info,
        directory=options.directory,
        jobs_api=not options.no_jobs_api,
        preview_method=options.preview_method,
        order=SetOrder(options.order_seed),
        on_death=leave,
    )
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Not by `add_signal_handler`: loops on Windows have none. SIGBREAK is Ctrl+Break there.
    for number in filter(None, (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGBREAK", None))):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopped.set))
    async with server:
        log.info("A stand-in for ComfyUI listens on http://%s", server.address)
        await stopped.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    try:
        asyncio.run(main(arguments()))
    except CannotListen as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(3)
