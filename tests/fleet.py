"""Gateways and stand-ins as processes of their own: to be killed, frozen and started again."""

import asyncio
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import httpx

from tests import known_settings
from tests.conftest import ROOT, WAIT, wait_until, whole

Json = dict[str, Any]

ACTIVE = ("queued", "running", "canceling")
DATABASE = "FLEET_DATABASE_URL"  # where gateways keep their tasks that are told nothing else
WAITED = "timeout graceful shutdown exceeded"  # logged after the time that requests get to end
LOOK = 0.1  # seconds between two looks at a whole fleet: it has work to do


class Chance(random.Random):
    """Random moments that can be had again: FAULTS_SEED=<seed>."""

    def __init__(self) -> None:
        self.number = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(10**6))
        super().__init__(self.number)

    def __str__(self) -> str:
        return f"to have it again: FAULTS_SEED={self.number}"

    __repr__ = __str__


class Program:
    """One process of ours. Started again it has the same port; `http` speaks to it."""

    says = re.compile("")  # how its output tells its address

    def __init__(self, folder: Path, command: list[str], environment: dict[str, str]) -> None:
        self.log = folder / f"log-{time.monotonic_ns()}"
        self._command = command
        self._environment = environment
        self.port = 0
        self.process: asyncio.subprocess.Process
        self.http = httpx.AsyncClient()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """HOST:PORT, which is also the id that the gateway gives a server."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._command,
                *("--port", str(self.port)),
                env={**os.environ, **self._environment},
                stdout=output,
                stderr=output,
                cwd=ROOT,
            )

        def told() -> Any:
            text = self.log.read_text(encoding="utf-8")[before:]
            assert self.process.returncode is None, text
            return self.says.search(text)

        try:
            self.port = int((await wait_until(told, 60)).group(1))
        except BaseException:
            await self._end()
            raise
        await self.http.aclose()
        self.http = httpx.AsyncClient(base_url=self.base, timeout=60, trust_env=False)

    async def stop(self, number: int = signal.SIGTERM) -> float:
        """Seconds until the process is gone."""
        begin = time.monotonic()
        self.process.send_signal(number)
        async with asyncio.timeout(WAIT):
            await self.process.wait()
        return time.monotonic() - begin

    async def kill(self) -> None:
        """SIGKILL, if it still lives: it has no chance to tidy up."""
        await self._end()
        await self.http.aclose()

    async def _end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    def freeze(self) -> None:
        """Not scheduled any more; its kernel goes on taking connections for it."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


class Gateway(Program):
    """`python start.py` on a folder of data; settings by their names in lower case."""

    says = re.compile(r"running on http://127\.0\.0\.1:(\d+)")

    def __init__(self, folder: Path, *arguments: str, **settings: Any) -> None:
        places = {
            "database_url": os.environ.get(DATABASE) or f"sqlite:///{folder}/gateway.db",
            "outputs_dir": folder / "outputs",
            "uploads_dir": folder / "uploads",
            "workflows_dir": folder / "workflows",
        }
        environment = known_settings.variables({**places, **settings})
        super().__init__(folder, [str(ROOT / "start.py"), *arguments], environment)

    async def submit(self, workflow: Json, **form: Any) -> str:
        """The task_id."""
        body = {"workflow": workflow, **form}
        answer = await self.http.post("/api/workflow/submit", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["task_id"])

    async def task(self, task_id: str) -> Json:
        answer = await self.http.get(f"/api/task/{task_id}")
        assert answer.status_code == 200, answer.text
        return whole(answer.json())

    async def until(self, task_id: str, *statuses: str, seconds: float = 60) -> Json:
        async def has() -> Json | None:
            task = await self.task(task_id)
            return task if task["status"] in statuses else None

        found: Json = await wait_until(has, seconds)
        return found

    async def tasks(self, *statuses: str, limit: int = 100) -> list[Json]:
        """All tasks of these statuses, or all, page after page."""
        query: Json = {"limit": limit, "status": list(statuses)}
        found: list[Json] = []
        while True:
            answer = await self.http.get("/api/tasks", params=query)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found += page["tasks"]
            if page["next_cursor"] is None:
                return found
            query["cursor"] = page["next_cursor"]

    async def all_final(self, seconds: float = 90) -> dict[str, Json]:
        """All tasks by id, when none of them has still to end."""
        until = time.monotonic() + seconds
        while active := await self.tasks(*ACTIVE):
            left = [(task["task_id"], task["status"], task["server"]) for task in active]
            assert time.monotonic() < until, f"not ended: {left}\n{self.tail()}"
            await asyncio.sleep(LOOK)
        return {task["task_id"]: task for task in await self.tasks()}

    async def online(self, count: int) -> None:
        """So many servers are online."""

        async def are() -> bool:
            health = (await self.http.get("/api/health")).json()
            return sum(bool(server["online"]) for server in health["servers"]) >= count

        await wait_until(are)

    async def fetch_outputs(self, task: Json) -> int:
        """How many results the task has; each is there, and whole."""
        for output in task["outputs"]:
            assert output["url"], task
            answer = await self.http.get(output["url"])
            assert answer.status_code == 200, answer.text
            assert len(answer.content) == output["size_bytes"] > 0, task
        return len(task["outputs"])

    def tail(self) -> str:
        """The end of its log, without the requests."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return "\n".join([line for line in lines if "uvicorn.access" not in line][-40:])

    @property
    def memory(self) -> int:
        """Bytes of memory that the process holds (its resident set); Linux only."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="utf-8").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


class Demo(Program):
    """`python -m fake_comfyui`: one stand-in for ComfyUI. Its records die with its process."""

    says = re.compile(r"listens on http://127\.0\.0\.1:(\d+)")

    def __init__(self, folder: Path, *arguments: str) -> None:
        super().__init__(folder, ["-m", "fake_comfyui", "--preview-method", "auto", *arguments], {})

    async def knobs(self, **changes: Any) -> Json:
        """Set some, and read them all."""
        answer = await self.http.post("/demo/knobs", json=changes)
        assert answer.status_code == 200, answer.text
        knobs: Json = answer.json()
        return knobs

    async def records(self) -> Json:
        records: Json = (await self.http.get("/demo/records")).json()
        return records

    async def executed(self) -> dict[str, Json]:
        """By prompt_id how often it was started, and how each run ended."""
        runs: dict[str, Json] = (await self.records())["executed"]
        return runs

    async def restart_empty(self) -> None:
        answer = await self.http.post("/demo/restart")
        assert answer.is_success, answer.text

    async def held(self) -> tuple[list[str], list[str]]:
        """The prompt_ids that run and those that wait."""
        queue = (await self.http.get("/queue")).json()
        running, pending = (
            [item[1] for item in queue[f"queue_{key}"]] for key in ("running", "pending")
        )
        return running, pending

    async def queue_strangers(self, prompt_id: str, workflow: Json) -> None:
        """A prompt that does not come from the gateway."""
        body = {"prompt": workflow, "prompt_id": prompt_id, "client_id": "a stranger"}
        assert (await self.http.post("/prompt", json=body)).status_code == 200


def on(demos: Iterable[Demo]) -> list[str]:
    """The command line that names these servers."""
    return [word for demo in demos for word in ("--comfyui-server", demo.address)]


@asynccontextmanager
async def stand_ins(folder: Path, count: int, *, step: float = 0.0) -> AsyncIterator[list[Demo]]:
    """So many stand-ins. `step`: seconds of a step of sampling."""
    async with AsyncExitStack() as stack:
        made = [Demo(folder, "--step-seconds", str(step)) for _ in range(count)]
        for demo in made:
            await stack.enter_async_context(demo)
        yield made


async def starts_on(demos: Iterable[Demo]) -> Counter[str]:
    """By prompt_id how often it was started on all these servers together."""
    found: Counter[str] = Counter()
    for demo in demos:
        for prompt_id, run in (await demo.executed()).items():
            found[prompt_id] += run["starts"]
    return found


async def ended(http: httpx.AsyncClient, task_id: str) -> Json:
    async def look() -> Json | None:
        task: Json = (await http.get(f"/api/task/{task_id}")).json()
        return task if task["status"] in ("succeeded", "failed", "canceled") else None

    task: Json = await wait_until(look)
    return task


def lives(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
