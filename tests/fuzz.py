"""schemathesis against a running gateway: does it do what its OpenAPI document says?"""

import asyncio
import os
import sys
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
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"),
        *("--no-color", "--warnings=off", "--continue-on-failure", "--generation-database=none"),
        *(f"--max-time={seconds}", *options, f"http://{address}/openapi.json"),
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
    report = output.decode(errors="replace")
    assert process.returncode == 0, report
    assert "Test cases:" in report, report
