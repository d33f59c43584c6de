"""Asks a ComfyUI and the gateway in front of it the same, and tells where they differ.

    .venv/bin/python -m scripts.native_comparison DIRECT GATEWAY [--key KEY] [--keep FILE.json]

Both are base URLs. Nobody else should use the server meanwhile: its history is cleared. It needs
the checkpoint v1-5-pruned-emaonly-fp16.safetensors (any weights will do). Exits with 1 if there is
a difference that is not meant.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from scripts.native_comparison.calls import compared
from scripts.native_comparison.report import section, unwanted


async def main(options: argparse.Namespace) -> int:
    plays = await compared(options.direct, options.gateway, options.key)
    if options.keep:
        options.keep.write_text(json.dumps(plays, indent=1), encoding="utf-8")
    sys.stdout.write(section(plays))
    return int(bool(unwanted(plays)))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.native_comparison")
    parser.add_argument("direct", help="http://HOST:PORT of the ComfyUI")
    parser.add_argument("gateway", help="http://HOST:PORT/comfy of the gateway")
    parser.add_argument("--key", help="an API key of the gateway")
    parser.add_argument("--keep", type=Path, help="write all answers there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(arguments())))
