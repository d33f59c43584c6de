"""The program as a process: start.py, signals, restarts."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from fake_comfyui.server import DemoServer
from tests import windows
from tests.conftest import ROOT, WAIT, model_free, text_to_image, wait_until
from tests.fleet import WAITED, Gateway, ended
from tests.integration.test_streams import sse


async def drain(socket: ClientConnection) -> None:
    """Read until the connection closes; raises ConnectionClosed."""
    while True:
        await socket.recv()


@pytest.mark.slow
async def test_sigterm_with_clients_connected(demo: DemoServer, tmp_path: Path) -> None:
    demo.knobs.step_seconds = 0.1
    tasks = []
    async with (
        Gateway(tmp_path, "--comfyui-server", demo.address) as first,
        httpx.AsyncClient(base_url=first.base) as http,
    ):
        for seed in range(3):
            workflow = text_to_image(steps=20, seed=seed)
            answer = await http.post("/api/workflow/submit", json=workflow)
            tasks.append(answer.json()["task_id"])
        await wait_until(lambda: tasks[0] in demo.records.executed)
        async with (
            connect(first.base.replace("http", "ws") + "/ws") as socket,
            http.stream("GET", f"/api/task/{tasks[0]}/events") as stream,
        ):
            last = {"workflow": text_to_image(seed=99), "priority": 9}
            waiting = asyncio.create_task(http.post("/api/workflow/submit?wait=60", json=last))
            await wait_until(lambda: len(demo.records.prompts) >= 2)
            async for line in stream.aiter_lines():
                if line.startswith("event: progress"):
                    break
            await first.stop()
            assert WAITED not in first.log.read_text(encoding="utf-8")
            assert first.process.returncode in (0, -signal.SIGTERM), first.log.read_text(
                encoding="utf-8"
            )
            with pytest.raises(ConnectionClosed) as closed:
                await drain(socket)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
            tasks.append((await waiting).json()["task_id"])
    assert "Traceback" not in first.log.read_text(encoding="utf-8")
    async with (
        Gateway(tmp_path, "--comfyui-server", demo.address) as second,
        httpx.AsyncClient(base_url=second.base) as http,
    ):
        for task_id in tasks:
            assert (await ended(http, task_id))["status"] == "succeeded"
    assert {run.starts for run in demo.records.executed.values()} == {1}


@pytest.mark.slow
async def test_killed_and_started_again(demo: DemoServer, tmp_path: Path) -> None:
    demo.knobs.step_seconds = 0.05
    tasks: list[str] = []
    for round_ in range(2):
        async with (
            Gateway(tmp_path, "--comfyui-server", demo.address) as gateway,
            httpx.AsyncClient(base_url=gateway.base) as http,
        ):
            for number in range(5):
                workflow = text_to_image(steps=5, seed=round_ * 100 + number)
                answer = await http.post("/api/workflow/submit", json=workflow)
                tasks.append(answer.json()["task_id"])
            await ended(http, tasks[round_ * 5])
            await gateway.stop(signal.SIGKILL)
    async with (
        Gateway(tmp_path, "--comfyui-server", demo.address) as gateway,
        httpx.AsyncClient(base_url=gateway.base) as http,
    ):
        for task_id in tasks:
            task = await ended(http, task_id)
            assert task["status"] == "succeeded", task["error"]
            assert len(task["outputs"]) == 1
            assert (await http.get(task["outputs"][0]["url"])).status_code == 200
    starts = {task_id: demo.records.executed[task_id].starts for task_id in tasks}
    assert set(starts.values()) == {1}, starts
    assert len(demo.records.executed) == len(tasks)


async def test_the_demo_flag_runs_everything(tmp_path: Path) -> None:
    (tmp_path / "workflows").mkdir()
    saved = (ROOT / "workflows" / "qwen_t2i_distill.json").read_bytes()
    async with (
        Gateway(tmp_path, "--demo") as gateway,
        httpx.AsyncClient(base_url=gateway.base, timeout=60) as http,
    ):

        async def ready() -> bool:
            return (await http.get("/api/ready")).status_code == 200

        await wait_until(ready)
        answer = await http.post("/api/workflow/submit?wait=60", content=saved)
        task = answer.json()
        assert (answer.status_code, task["status"]) == (200, "succeeded"), task
        assert task["params"]["3.seed"] >= 0
        assert (await http.get("/")).status_code == 200
        body = {"workflow": text_to_image(steps=8)}
        task = (await http.post("/api/workflow/submit", json=body)).json()
        events = [event async for event in sse(http, f"/api/task/{task['task_id']}/events")]
        assert "preview" in {event["event"] for event in events}, "the demo shows previews"
        await gateway.stop()
        assert WAITED not in gateway.log.read_text(encoding="utf-8")


# With a signal, however it is sent, a process ends by it on POSIX; on Windows it has an exit code.
ENDED_BY = 0 if windows.IS_ON else -signal.SIGTERM
ENDS = [("SIGTERM", ENDED_BY), ("SIGINT", 130)]


@pytest.mark.parametrize(("name", "code"), [*ENDS, *([("SIGHUP", ENDED_BY)] * (not windows.IS_ON))])
async def test_a_signal_leaves_nothing_of_the_demo(
    name: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    async with Gateway(tmp_path, "--demo") as gateway:
        assert list(temporary.glob("demo-*"))
        await gateway.stop(signal.Signals[name])
        said = gateway.log.read_text(encoding="utf-8")
        assert gateway.process.returncode == code, said
        assert "Finished server process" in said
        assert "Traceback" not in said
    assert not list(temporary.glob("demo-*"))


async def run_to_exit(*arguments: str, **environment: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "start.py"),
        *arguments,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
    )
    async with asyncio.timeout(WAIT):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_a_wrong_setting_is_named() -> None:
    code, output = await run_to_exit(COMFYUI_PORT="http")
    assert code == 2
    assert "COMFYUI_PORT" in output
    assert "Traceback" not in output


async def test_an_address_that_cannot_be_listened_on_is_named() -> None:
    code, output = await run_to_exit(COMFYUI_HOST="nonsense.invalid")
    assert (code, output.count("\n")) == (2, 1), output
    assert output.startswith("Setting COMFYUI_HOST: 'nonsense.invalid' is no address to listen on")


async def test_a_level_that_is_none_is_named() -> None:
    code, output = await run_to_exit(COMFYUI_LOG_LEVEL="loud")
    assert (code, output) == (
        2,
        "Setting COMFYUI_LOG_LEVEL: 'loud' is no level. Write DEBUG, INFO, WARNING or ERROR.\n",
    )


async def test_a_wrong_address_is_named() -> None:
    code, output = await run_to_exit("--comfyui-server", "not an address")
    assert code == 2
    assert "'not an address'" in output
    assert "HOST:PORT" in output


async def test_a_wrong_database_is_named() -> None:
    code, output = await run_to_exit(COMFYUI_DATABASE_URL="mysql://user:secret@host/db")
    assert code == 2
    assert "COMFYUI_DATABASE_URL" in output
    assert "postgresql://" in output
    assert "secret" not in output


async def test_a_database_that_cannot_be_opened_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no database" * 1000, encoding="utf-8")
    url = f"sqlite:///{tmp_path}/file"
    code, output = await run_to_exit("--port", "0", COMFYUI_DATABASE_URL=url)
    assert code == 3
    assert output.splitlines()[-1].startswith("Setting COMFYUI_DATABASE_URL cannot be used: ")
    assert "Traceback" not in output


async def test_settings_from_the_environment(demo: DemoServer, tmp_path: Path) -> None:
    os.environ["COMFYUI_COMFYUI_SERVER"] = f"{demo.address}, 127.0.0.1:1"
    try:
        async with (
            Gateway(tmp_path) as gateway,
            httpx.AsyncClient(base_url=gateway.base) as http,
        ):
            health = (await http.get("/api/health")).json()
            assert [server["id"] for server in health["servers"]] == [demo.address, "127.0.0.1:1"]
            answer = await http.post("/api/workflow/submit?wait=60", json=model_free())
            assert answer.json()["status"] == "succeeded"
            assert "gateway.db" not in json.dumps((await http.get("/api/system/info")).json())
    finally:
        del os.environ["COMFYUI_COMFYUI_SERVER"]


async def test_a_wrong_webhook_is_named() -> None:
    settings = {
        "COMFYUI_WEBHOOK_URL": "ftp://example.com/?key=sesame",
        "COMFYUI_WEBHOOK_SECRET": "sesame",
        "COMFYUI_WEBHOOK_EVENTS": "task.done",
        "COMFYUI_ALLOW_PRIVATE_URLS": "http://10.0.0.1",
    }
    code, output = await run_to_exit(**settings)
    assert code == 2
    assert "sesame" not in output
    for word in (*settings, "whsec_", "task.succeeded", "neither http nor https", "10.0.0.0/8"):
        assert word in output
