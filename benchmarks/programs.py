"""The programs that are measured, as processes on loopback: the gateway, ComfyUI, its proxy."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple, Self

from benchmarks.load import Load
from benchmarks.wire import Answer, Connection
from tests import known_settings
from tests.ports import free_port

ROOT = Path(__file__).parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


class Program:
    """One process. `ready` is the path that answers 200 once it works."""

    ready = "/"

    def __init__(self, *command: str, **environment: str) -> None:
        self._command = command
        self._environment = environment
        self.port = free_port()
        self.started_in = 0.0  # seconds until it was ready
        self._process: asyncio.subprocess.Process

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        begin = time.perf_counter()
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            *("--port", str(self.port)),
            env={**os.environ, **self._environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=ROOT,
        )
        try:
            async with asyncio.timeout(60):
                while not await self._is_ready():
                    await asyncio.sleep(0.005)
        except BaseException:
            await self.__aexit__()
            raise
        self.started_in = time.perf_counter() - begin
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(10):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _is_ready(self) -> bool:
        if self._process.returncode is not None:
            raise RuntimeError(f"{' '.join(self._command)} ended: {self._process.returncode}")
        try:
            return (await self.ask("GET", self.ready)).status == 200
        except OSError:
            return False

    async def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """One request over a connection of its own."""
        return await ask(self.base, method, path, body)

    @property
    def cpu_seconds(self) -> float:
        """What it has used so far, user and system; Linux only."""
        fields = (
            Path(f"/proc/{self._process.pid}/stat")
            .read_text(encoding="utf-8")
            .rpartition(")")[2]
            .split()
        )
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text(encoding="utf-8").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


class StandIn(Program):
    """The stand-in for ComfyUI; its nodes take no time unless `slow` says so, in seconds."""

    ready = "/queue"

    def __init__(self, folder: Path, *arguments: str, slow: float = 0.0) -> None:
        self.folder = folder
        self._slow = slow
        command = (sys.executable, "-m", "fake_comfyui", "--step-seconds", "0")
        command += ("--preview-method", "auto")
        super().__init__(*command, "--directory", str(folder), *arguments)

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        await super().__aenter__()
        if self._slow:
            await self.knobs(slow=self._slow)
        return self

    async def knobs(self, **changes: Any) -> None:
        answer = await self.ask("POST", "/demo/knobs", changes)
        if answer.status != 200:
            raise RuntimeError(answer.body.decode())


class Gateway(Program):
    """`python start.py` with all its data in one folder; settings by their names."""

    ready = "/api/ready"

    def __init__(self, folder: Path, *servers: str, **settings: str) -> None:
        self.database_url = f"sqlite:///{folder}/gateway.db"
        self.outputs = folder / "outputs"
        values = {
            "database_url": self.database_url,
            "workflows_dir": str(folder / "workflows"),
            "uploads_dir": str(folder / "uploads"),
            "outputs_dir": str(self.outputs),
            "max_queued": "1000000",
            **settings,
        }
        environment = known_settings.variables(values)
        named = [word for server in servers for word in ("--comfyui-server", server)]
        super().__init__(sys.executable, str(ROOT / "start.py"), *named, **environment)


class Proxy(Program):
    """comfy-api-proxy, the official one, with its jobs in memory as it has them by default."""

    ready = "/api/v2/health"

    def __init__(self, program: Path, comfyui: str) -> None:
        super().__init__(str(program), "run", "--comfyui", comfyui)


class Measured(NamedTuple):
    """What the floor answers, and what of that is CPU."""

    rate: float  # answers a second
    cpu: float  # seconds an answer

    def __str__(self) -> str:
        return f"FastAPI and uvicorn alone, doing nothing: {self.rate:,.0f}/s"


class Floor(Program):
    """FastAPI and uvicorn with next to nothing to do (floor.py)."""

    def __init__(self) -> None:
        super().__init__(sys.executable, "-m", "benchmarks.floor")

    async def measure(
        self, path: str, status: int = 200, body: str | None = None, **load: Any
    ) -> "Measured":
        """Its answers to such a load; it runs for that long only."""
        method = "GET" if body is None else "POST"
        async with self:
            before = self.cpu_seconds
            found = (await Load(self.base, [path], method, body, **load).run()).check(status)
            used = self.cpu_seconds - before
        return Measured(found.rate, used / len(found.latencies))


async def ask(base: str, method: str, path: str, body: Any = None) -> Answer:
    connection = await Connection.open(base)
    try:
        return await connection.ask(method, path, body)
    finally:
        connection.close()


def workflow(number: int | str) -> dict[str, Any]:
    """A picture of one colour, saved. Each number makes ComfyUI save another one."""
    return {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255},
        },
        "2": {
            "class_type": "SaveImage",
            "inputs": {"images": ["1", 0], "filename_prefix": f"{number}/picture"},
        },
    }


def dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
