"""A large result passes through the gateway, and its memory stays flat."""

import asyncio
import logging
import os
import re
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from fake_comfyui.server import DemoServer
from tests.conftest import ROOT, model_free, wait_until
from tests.s3 import environment, s3, s3_endpoint  # noqa: F401 (fixtures)

log = logging.getLogger(__name__)

# More by hand: LARGE_MB=2048 pytest tests/integration/test_large_outputs.py --log-cli-level=INFO
SIZE = int(os.environ.get("LARGE_MB", "200")) << 20
MOST = 100 << 20  # bytes by which memory may grow; a file held whole would be twice that


@asynccontextmanager
async def gateway_process(
    folder: Path, server: str, extra: dict[str, str]
) -> AsyncIterator[tuple[int, str]]:
    """(process id, base URL) of a gateway of its own."""
    folders = {
        f"COMFYUI_{name.upper()}_DIR": str(folder / name)
        for name in ("outputs", "uploads", "workflows")
    }
    database = {"COMFYUI_DATABASE_URL": f"sqlite:///{folder}/gateway.db"}
    log = folder / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(ROOT / "start.py"), "--port", "0", "--comfyui-server", server),
            env={**os.environ, **folders, **database, **extra},
            stdout=output,
            stderr=output,
            cwd=ROOT,
        )
    try:
        found = await wait_until(
            lambda: re.search(
                r"running on (http://127\.0\.0\.1:\d+)", log.read_text(encoding="utf-8")
            )
        )
        yield process.pid, found.group(1)
    finally:
        process.terminate()
        await process.wait()


def memory(pid: int, what: str) -> int:
    """VmRSS or VmHWM (the highest so far) in bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(rf"^{what}:\s+(\d+) kB", status, re.MULTILINE)
    assert found
    return int(found.group(1)) << 10


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")
@pytest.mark.parametrize("where", ["folder", "bucket"])
async def test_a_large_result(
    where: str,
    demo: DemoServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(SIZE)
    monkeypatch.setattr("fake_comfyui.files._requested", lambda *_: (large, "output"))
    extra = {}
    if where == "bucket":
        endpoint = request.getfixturevalue("s3_endpoint")
        extra = {"COMFYUI_FILES_URL": request.getfixturevalue("s3"), **environment(endpoint)}
    async with (
        gateway_process(tmp_path, demo.address, extra) as (pid, base),
        httpx.AsyncClient(base_url=base, timeout=600) as http,
    ):
        before = memory(pid, "VmRSS")
        answer = await http.post("/api/workflow/submit?wait=500", json=model_free())
        task = answer.json()
        assert task["status"] == "succeeded", task["error"]
        (output,) = task["outputs"]
        assert output["size_bytes"] == SIZE
        archive = tmp_path / "outputs.zip"
        for url, target in (
            (output["url"], tmp_path / "whole"),
            (f"/api/task/{task['task_id']}/outputs.zip", archive),
        ):
            with target.open("wb") as file:
                async with http.stream("GET", url) as response:
                    async for chunk in response.aiter_raw():
                        file.write(chunk)
        assert (tmp_path / "whole").stat().st_size == SIZE
        with zipfile.ZipFile(archive) as found:
            assert [info.file_size for info in found.infolist()] == [SIZE]
        grown = memory(pid, "VmHWM") - before
        log.info("%s: %d MiB, memory %d + %d", where, SIZE >> 20, before >> 20, grown >> 20)
        assert grown < MOST
