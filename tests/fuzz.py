"""schemathesis against a running gateway: does it do what its OpenAPI document says?"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

CONFIG = Path(__file__).parent / "schemathesis.toml"
SECONDS = 20
GRACE = 60.0  # seconds beyond the budget, on a busy machine


async def fuzz(address: str, *options: str) -> None:
    """Fails with the report of what was found. `options` are the command line's, such as
    "--include-path-regex=^/api/v2". FUZZ_SECONDS is the budget; CI repeats one seed.
    """
    seconds = int(os.environ.get("FUZZ_SECONDS", SECONDS))
    if os.environ.get("CI"):
        options = ("--seed=1", *options)
    with tempfile.TemporaryDirectory() as folder:  # for what it keeps of failures
        status, report = await _run(folder, seconds, f"http://{address}/openapi.json", *options)
    assert status == 0, report
    assert "Test cases:" in report, report


async def _run(folder: str, seconds: int, *arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"),
        *("--no-color", "--warnings=off", "--continue-on-failure", "--generation-database=none"),
        *(f"--max-time={seconds}", *arguments),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(seconds + GRACE):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return process.returncode, output.decode(errors="replace")
