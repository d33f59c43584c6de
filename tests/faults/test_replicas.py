"""Several gateways on one PostgreSQL and one Redis: they are killed, restarted one after the other,
and the database is restarted under them. Every task runs exactly once, and every end is seen."""

import asyncio
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests import services
from tests.conftest import WAIT, text_to_image
from tests.fleet import Chance, Demo, Gateway, Json, on, stand_ins, starts_on
from tests.ports import free_port
from tests.redis_server import running_redis

TASKS = int(os.environ.get("FAULTS_REPLICA_TASKS", "60"))
REPLICAS, SERVERS = 3, 4
STEP = 0.1
KILLS = 3  # at the least
AT_ONCE = 12  # clients
LOST = (httpx.TransportError,)  # connections that are refused or cut: tried again elsewhere
FINAL = ("succeeded", "failed", "canceled")

pytestmark = pytest.mark.only_postgresql


class ServerService:
    """Replicas, and clients that go to another one when a connection is lost."""

    def __init__(self, replicas: list[Gateway], chance: Chance) -> None:
        self.replicas = replicas
        self.chance = chance
        self.lost = 0  # connections
        self.failed: list[Json] = []  # problems that are no client's fault

    async def ask(self, method: str, path: str, **more: object) -> httpx.Response:
        until = time.monotonic() + 60
        while True:
            replica = self.chance.choice(self.replicas)
            try:
                answer = await replica.http.request(method, path, **more)  # type: ignore[arg-type]
            except (*LOST, RuntimeError) as error:  # the latter of a client that was just closed
                if isinstance(error, RuntimeError) and "closed" not in str(error):
                    raise
                assert time.monotonic() < until, f"no replica answers {self.chance}"
                self.lost += 1
                await asyncio.sleep(0.05)
                continue
            if answer.status_code < 500:
                return answer
            is_ours = "json" in answer.headers.get("content-type", "")
            self.failed.append(answer.json() if is_ours else {"code": None, "text": answer.text})
            await asyncio.sleep(0.2)

    async def submit(self, seed: int, steps: int = 3) -> str:
        """A lost answer is asked for again: the same key, the same task."""
        headers, body = {"Idempotency-Key": str(uuid4())}, text_to_image(steps=steps, seed=seed)
        answer = await self.ask("POST", "/api/workflow/submit", json=body, headers=headers)
        # 200 if the task is over by the time that it is asked for again
        assert answer.status_code in (200, 202), answer.text
        return str(answer.json()["task_id"])

    async def follow(self, task_id: str) -> str:
        """The final status, as streams tell it; a stream that ends is opened again elsewhere."""
        while True:
            replica = self.chance.choice(self.replicas)
            try:
                url = f"/api/task/{task_id}/events"
                async with replica.http.stream("GET", url) as answer:
                    async for line in answer.aiter_lines():
                        if line.startswith("data:"):
                            said = json.loads(line.removeprefix("data:"))
                            if said.get("status") in FINAL:
                                return str(said["status"])
            except (*LOST, RuntimeError):
                self.lost += 1
            await asyncio.sleep(0.05)

    async def all_final(self, count: int, seconds: float) -> dict[str, Json]:
        until = time.monotonic() + seconds
        while True:
            active = await self.ask(
                "GET", "/api/tasks", params={"status": ["queued", "running"], "limit": 1000}
            )
            if not active.json()["tasks"]:
                break
            tails = "\n\n".join(replica.tail() for replica in self.replicas)
            assert time.monotonic() < until, f"{active.text[:2000]}\n{tails}\n{self.chance}"
            await asyncio.sleep(0.2)
        found = (await self.ask("GET", "/api/tasks", params={"limit": 1000})).json()["tasks"]
        assert len(found) == count, self.chance
        return {task["task_id"]: task for task in found}


@asynccontextmanager
async def fleet(
    folder: Path, chance: Chance, demos: list[Demo], count: int, **settings: object
) -> AsyncIterator[ServerService]:
    async with running_redis(folder) as redis, AsyncExitStack() as stack:
        replicas = []
        for number in range(count):
            place = folder / f"replica-{number}"
            place.mkdir()
            shared = {"outputs_dir": folder / "outputs", "uploads_dir": folder / "uploads"}
            shared["redis_url"] = redis.url
            replica = Gateway(place, *on(demos), **shared, **settings)
            replicas.append(await stack.enter_async_context(replica))
        for replica in replicas:
            await replica.online(len(demos))
        yield ServerService(replicas, chance)


async def assert_each_ran_once(
    tasks: dict[str, Json], demos: list[Demo], chance: Chance, fleet: ServerService
) -> None:
    statuses = Counter(task["status"] for task in tasks.values())
    assert set(statuses) == {"succeeded"}, f"{statuses} {chance}"
    starts = await starts_on(demos)
    often = {id: task["attempts"] for id, task in tasks.items() if starts[id] != 1}
    tails = "\n\n".join(replica.tail() for replica in fleet.replicas) if often else ""
    assert not often, f"run never, or more than once: {json.dumps(often)} {chance}\n{tails}"
    assert len(starts) == len(tasks)


async def test_replicas_are_killed_again_and_again(tmp_path: Path, chance: Chance) -> None:
    async with (
        stand_ins(tmp_path, SERVERS, step=STEP) as demos,
        fleet(tmp_path, chance, demos, REPLICAS, lease_seconds=3) as replicas,
    ):
        kills = 0

        async def kill() -> None:
            nonlocal kills
            while True:
                await asyncio.sleep(chance.uniform(0.5, 3))
                replica = chance.choice(replicas.replicas)
                await replica.kill()
                kills += 1
                await asyncio.sleep(chance.choice([0, chance.uniform(0, 4)]))
                await replica.start()

        killing = asyncio.create_task(kill())
        try:
            final, ends = await run(replicas, TASKS, 60 + TASKS / 2, lambda: kills >= KILLS)
        finally:
            killing.cancel()
            await asyncio.wait([killing])
        if not killing.cancelled() and (error := killing.exception()):
            raise error
        for replica in replicas.replicas:
            if replica.process.returncode is not None:
                await replica.start()
        assert ends == Counter(succeeded=len(final)), chance
        await assert_each_ran_once(final, demos, chance, replicas)
        for task in final.values():
            answer = await replicas.ask("GET", task["outputs"][0]["url"])
            assert len(answer.content) == task["outputs"][0]["size_bytes"], chance
    assert not replicas.failed, replicas.failed[:3]


async def run(
    replicas: ServerService, count: int, seconds: float, enough: Callable[[], bool] = lambda: True
) -> tuple[dict[str, Json], Counter[str]]:
    """So many tasks by some clients, and more until it is enough, each followed to its end: all
    tasks, and the ends seen."""
    seeds = itertools.count()
    ends: Counter[str] = Counter()
    following: list[asyncio.Task[str]] = []

    async def submit() -> None:
        while (seed := next(seeds)) < count or not enough():
            task_id = await replicas.submit(seed)
            following.append(asyncio.create_task(replicas.follow(task_id)))
            await asyncio.sleep(replicas.chance.uniform(0, 0.5))

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(submit())
    final = await replicas.all_final(len(following), seconds)
    async with asyncio.timeout(WAIT):
        for end in following:
            ends[await end] += 1
    return final, ends


async def test_one_after_the_other_is_restarted(tmp_path: Path, chance: Chance) -> None:
    """Nobody waits for a lease, and no request fails: lost connections are made again."""
    async with (
        stand_ins(tmp_path, 3, step=STEP) as demos,
        fleet(tmp_path, chance, demos, 2, lease_seconds=300) as replicas,
    ):
        running = asyncio.create_task(run(replicas, TASKS, 60))
        for replica in replicas.replicas:
            await asyncio.sleep(1)
            await replica.stop()
            await replica.kill()  # closes its client
            await replica.start()
            await replica.online(len(demos))
        final, ends = await running
        assert ends == Counter(succeeded=TASKS), chance
        await assert_each_ran_once(final, demos, chance, replicas)
        assert replicas.lost, "no client was attached"
    assert not replicas.failed, replicas.failed[:3]


class Postgresql:
    """A server of our own, to be restarted."""

    def __init__(self, folder: Path) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        if not found or os.geteuid() != 0 or not services.find("runuser"):
            services.absent("PostgreSQL's programs are not installed, or this is not root")
        self._bin, self._data = found[-1], folder
        shutil.chown(folder, "postgres")
        self.port = free_port()
        self._run("initdb", "--auth", "trust", "--pgdata", folder)
        self.control("start")
        self._run("createdb", "--host", "127.0.0.1", "--port", self.port, "test")
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/test"

    def control(self, command: str, *more: str) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        said = ["--options", options] if command != "stop" else []
        log = ["--log", self._data / "log"]
        self._run("pg_ctl", "--pgdata", self._data, "--wait", command, *said, *log, *more)

    def _run(self, program: str, *arguments: object) -> None:
        command = ["runuser", "-u", "postgres", "--", self._bin / program, *arguments]
        text = [str(part) for part in command]
        subprocess.run(text, check=True, stdout=subprocess.DEVNULL, cwd="/")


@pytest.fixture
def own_postgresql() -> Iterator[Postgresql]:
    with tempfile.TemporaryDirectory(prefix="gateway-") as folder:  # its user must get there
        server = Postgresql(Path(folder))
        yield server
        server.control("stop", "--mode", "immediate")


@pytest.mark.service
async def test_the_database_is_restarted(
    tmp_path: Path, chance: Chance, own_postgresql: Postgresql
) -> None:
    async with (
        stand_ins(tmp_path, 3, step=STEP) as demos,
        fleet(
            # No process dies. On a busy machine a short lease ends while its owner only waits.
            tmp_path,
            chance,
            demos,
            2,
            lease_seconds=10,
            database_url=own_postgresql.url,
        ) as replicas,
    ):
        running = asyncio.create_task(run(replicas, TASKS, 90))
        for mode in ("fast", "immediate"):
            await asyncio.sleep(chance.uniform(1, 2))
            await asyncio.to_thread(own_postgresql.control, "restart", "--mode", mode)
        final, ends = await running
        assert ends == Counter(succeeded=TASKS), chance
        await assert_each_ran_once(final, demos, chance, replicas)
    # What was just being committed cannot be known: that is said, and the client asks again.
    assert {said["code"] for said in replicas.failed} <= {"database_unavailable"}, replicas.failed
