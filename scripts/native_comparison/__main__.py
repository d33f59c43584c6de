"""Asks a ComfyUI and the gateway in front of it the same, and tells where they differ.

    .venv/bin/python -m scripts.native_comparison DIRECT GATEWAY [--key KEY] [--keep FILE.json]

Both are base URLs. Nobody else should use the server meanwhile: its history is cleared.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

import httpx

from scripts.native_comparison.calls import play
from scripts.native_comparison.differences import Difference, differences, short, sorted_out
from scripts.native_comparison.wanted import WANTED


async def main(options: argparse.Namespace) -> int:
    plays = []
    for base, key in ((options.direct, None), (options.gateway, options.key)):
        async with httpx.AsyncClient(base_url=options.direct, timeout=60) as server:
            # So each play finds the server's cache empty.
            await server.post("/free", json={"unload_models": True, "free_memory": True})
        plays.append(await play(base, key))
    if options.keep:
        options.keep.write_text(json.dumps(plays, indent=1), encoding="utf-8")
    unwanted, meant = sorted_out(differences(*plays), WANTED)
    for reason, those in meant.items():
        sys.stdout.write(f"\nmeant: {reason.why}\n")
        sys.stdout.writelines(_line(one) for one in those)
    sys.stdout.write(f"\n{len(plays[0])} calls, {len(unwanted)} differences that are not meant\n")
    sys.stdout.writelines(_line(one) for one in unwanted)
    return int(bool(unwanted))


def _line(one: Difference) -> str:
    return f"- {one.call} · {one.at}: {short(one.direct)} → {short(one.gateway)}\n"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.native_comparison")
    parser.add_argument("direct", help="http://HOST:PORT of the ComfyUI")
    parser.add_argument("gateway", help="http://HOST:PORT, or …/comfy, of the gateway")
    parser.add_argument("--key", help="an API key of the gateway")
    parser.add_argument("--keep", type=Path, help="write all answers there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(arguments())))
