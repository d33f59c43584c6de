"""What the figures were measured on, and with."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.programs import ROOT

PACKAGES = (
    "fastapi",
    "uvicorn",
    "uvloop",
    "httptools",
    "SQLAlchemy",
    "aiohttp",
    "httpx",
    "websockets",
)


def described(bench_comfyui: str, proxy: Path | None, comfy_cli: Path | None) -> list[str]:
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {_commit()}",
        f"{os.cpu_count()} x {_processor()}, {_memory()} GB, {platform.system()} "
        f"{platform.release()}; load average at the start: {load}",
        f"Python {platform.python_version()}, {', '.join(map(_named, PACKAGES))}",
        f"ComfyUI: {bench_comfyui}",
        f"peers: {_peer(proxy, 'comfy-api-proxy')}, {_peer(comfy_cli, 'comfy-cli')}",
    ]


def _named(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} not installed"


def _peer(program: Path | None, package: str) -> str:
    """Its version, asked of the Python that it is installed for."""
    if program is None:
        return f"{package} not installed"
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    python = program.parent / "python"
    version = subprocess.check_output([python, "-c", code], encoding="utf-8").strip()
    return f"{package} {version}"


def _commit() -> str:
    try:
        git = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
        return subprocess.check_output(git, cwd=ROOT, text=True, encoding="utf-8").strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "CPU")


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30))
