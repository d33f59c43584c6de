"""`start.py --workers 2`: two gateway processes on one port, with PostgreSQL and Redis."""

import asyncio
import contextlib
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from fake_comfyui.server import DemoServer
from tests.conftest import text_to_image, wait_until
from tests.databases import POSTGRESQL, postgresql
from tests.fleet import WAITED, Gateway, lives
from tests.integration.test_process import run_to_exit
from tests.redis_server import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.service]

UP = re.compile(r"Started server process \[(\d+)\] worker=(\d)")


class Several(Gateway):
    """A parent and its workers."""

    def workers(self) -> dict[int, int]:
        """The process id of each worker by its number, of those that were started last."""
        return {
            int(number): int(pid)
            for pid, number in UP.findall(self.log.read_text(encoding="utf-8"))
        }

    async def all_up(self, starts: int = 2) -> None:
        await wait_until(
            lambda: len(UP.findall(self.log.read_text(encoding="utf-8"))) >= starts, 60
        )

    def requests(self) -> Counter[str]:
        """How many requests each worker answered."""
        return Counter(
            re.findall(r"app\.api\.\S+: GET .* worker=(\d)", self.log.read_text(encoding="utf-8"))
        )


@contextlib.asynccontextmanager
async def two_workers(
    folder: Path, demo: DemoServer, redis: RedisServer, **settings: object
) -> AsyncIterator[Several]:
    async with (
        postgresql() as url,
        Several(
            folder,
            *("--workers", "2", "--comfyui-server", demo.address),
            database_url=url,
            redis_url=redis.url,
            lease_seconds=300,
            **settings,
        ) as gateway,
    ):
        try:
            await gateway.all_up()
            yield gateway
            if gateway.process.returncode is None:
                await gateway.stop()
                assert gateway.process.returncode == 0, gateway.tail()
        finally:  # of a test that failed
            for pid in gateway.workers().values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


async def test_requests_reach_both_and_tasks_succeed(
    demo: DemoServer, tmp_path: Path, redis: RedisServer
) -> None:
    async with two_workers(tmp_path, demo, redis) as gateway:
        tasks = [await gateway.submit(text_to_image(steps=1, seed=seed)) for seed in range(6)]

        async def both() -> bool:
            async def ask(http: httpx.AsyncClient) -> None:
                (await http.get(f"{gateway.base}/api/task/{tasks[0]}")).raise_for_status()

            async with httpx.AsyncClient(timeout=60) as http, asyncio.TaskGroup() as group:
                for _ in range(50):
                    group.create_task(ask(http))
            return set(gateway.requests()) == {"1", "2"}

        await wait_until(both)
        figures = (await gateway.http.get("/metrics")).text
        for worker in (1, 2):  # whichever of them answers
            assert f'comfyui_gateway_info{{worker="{worker}",version=' in figures
        assert figures.count("# TYPE comfyui_gateway_info ") == 1
        assert figures.count('comfyui_gateway_tasks_active{status="queued"}') == 1
        final = await gateway.all_final()
        assert {task["status"] for task in final.values()} == {"succeeded"}
        assert set(final) == set(tasks)
        await stops(gateway, signal.SIGHUP)
    assert {run.starts for run in demo.records.executed.values()} == {1}


async def test_a_killed_worker_is_replaced_and_no_task_is_lost(
    demo: DemoServer, tmp_path: Path, redis: RedisServer
) -> None:
    demo.knobs.step_seconds = 0.05
    async with two_workers(tmp_path, demo, redis) as gateway:
        before = gateway.workers()
        tasks = [await gateway.submit(text_to_image(steps=5, seed=seed)) for seed in range(12)]
        await wait_until(lambda: len(demo.records.executed) >= 2)
        os.kill(before[1], signal.SIGKILL)
        os.kill(before[2], signal.SIGKILL)
        await gateway.all_up(4)
        assert not set(gateway.workers().values()) & set(before.values())
        assert "worker 1 ended (-9); another one starts in 1 s" in gateway.log.read_text(
            encoding="utf-8"
        )
        final = await gateway.all_final(60)  # far less than a lease
        assert {task["status"] for task in final.values()} == {"succeeded"}
        assert set(final) == set(tasks)
        await stops(gateway, signal.SIGINT)
    assert {run.starts for run in demo.records.executed.values()} == {1}


async def test_workers_stop_without_their_parent(
    demo: DemoServer, tmp_path: Path, redis: RedisServer
) -> None:
    async with two_workers(tmp_path, demo, redis) as gateway:
        await gateway.kill()
        await wait_until(lambda: not any(map(lives, gateway.workers().values())))
        text = gateway.log.read_text(encoding="utf-8")
        assert text.count("the parent of this process is gone") == 2
        assert text.count("Finished server process") == 2, "in good order"


async def stops(gateway: Several, number: int) -> None:
    """In good order. Ctrl-C is for the parent only."""
    workers = gateway.workers().values()
    assert os.getpgid(gateway.process.pid) not in {os.getpgid(pid) for pid in workers}
    await gateway.stop(number)
    assert gateway.process.returncode == 0, gateway.tail()
    assert not any(map(lives, workers))
    said = gateway.log.read_text(encoding="utf-8")
    assert "Traceback" not in said
    assert WAITED not in said


async def test_a_second_signal_waits_for_no_request(
    demo: DemoServer, tmp_path: Path, redis: RedisServer
) -> None:
    async with two_workers(tmp_path, demo, redis) as gateway:
        async with upload_that_stays_open(gateway):
            gateway.process.send_signal(signal.SIGTERM)
            await wait_until(
                lambda: gateway.log.read_text(encoding="utf-8").count("Shutting down") == 2
            )
            await gateway.stop()
        assert gateway.process.returncode == 0
        assert WAITED not in gateway.log.read_text(encoding="utf-8")
        assert not any(map(lives, gateway.workers().values()))


@contextlib.asynccontextmanager
async def upload_that_stays_open(gateway: Several) -> AsyncIterator[None]:
    """One whose body does not come, once the gateway waits for it."""
    host, port = gateway.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST /api/image/upload HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 1000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nExpect: 100-continue\r\n\r\n"
    )
    writer.write(head.encode())
    assert b"100 Continue" in await reader.readline()
    yield
    writer.close()


async def test_a_database_that_cannot_be_used_is_told_once(
    tmp_path: Path, redis: RedisServer
) -> None:
    code, output = await run_to_exit(
        *("--port", "0", "--workers", "3"),
        COMFYUI_DATABASE_URL=f"{POSTGRESQL.rpartition('/')[0]}/no_such_database",
        COMFYUI_REDIS_URL=redis.url,
    )
    assert code == 3, output
    assert output.count("Setting COMFYUI_DATABASE_URL cannot be used: ") == 1
    assert "Traceback" not in output
