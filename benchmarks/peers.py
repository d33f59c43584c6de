"""Other projects to compare with, each in a virtual environment of its own, run as programs.

comfy-cli is GPL: it is only ever run, never imported.
"""

import asyncio
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "comfyui-gateway-peers"


@dataclass(frozen=True, slots=True)
class Peers:
    proxy: Path | None = None
    comfy_cli: Path | None = None


async def installed() -> Peers:
    """Those that can be installed."""
    return Peers(
        await asyncio.to_thread(_program, "comfy-api-proxy==0.1.6", "comfy-api-proxy"),
        await asyncio.to_thread(_program, "comfy-cli==1.23.0", "comfy"),
    )


def _program(requirement: str, name: str) -> Path | None:
    folder = CACHE / requirement
    program = folder / "bin" / name
    if not program.exists():
        venv.create(folder, with_pip=True)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", requirement]
        if subprocess.run(pip, check=False).returncode:
            sys.stderr.write(f"{requirement} cannot be installed: not compared with it.\n")
            return None
    return program
