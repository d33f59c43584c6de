"""The Dockerfile: hadolint accepts it, its files are enough, and what it makes runs as a container
does. No image is built here: that needs Docker. Its instructions are read and followed instead."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import yaml

from fake_comfyui.server import DemoServer
from tests.conftest import ROOT, WAIT, wait_until
from tests.containers import Containers
from tests.dockerfile import USER, image, instructions, is_ignored, lay_out
from tests.ports import free_port

HADOLINT = Path(sys.executable).parent / "hadolint"
SECRET_OR_LARGE = (
    *(".env", "app/.env", ".env.example", "api_keys.json", "workflows/api_keys.json"),
    *("gateway.db", "gateway.db-wal", "app/gateway.db", "uploads/a.png", "outputs/a.png"),
    *(".git/config", ".venv/bin/python", "node_modules/a/b.js", "tests/conftest.py"),
    *("workflows/.versions/a/1.json", "workflows/.lock", "static/.DS_Store"),
    *("app/__pycache__/main.cpython-313.pyc", "app/api/__pycache__/a.pyc"),
)


def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run([HADOLINT, "Dockerfile"], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("path", SECRET_OR_LARGE)
def test_what_is_secret_or_large_is_kept_from_the_build(path: str) -> None:
    assert is_ignored(path)


def test_what_the_image_takes_is_not_ignored() -> None:
    stages = map(image, ("packages", "demo-packages", "demo", "gateway"))
    taken = {name for stage in stages for copy in stage.copies() for name in copy.sources}
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    assert sorted(taken) == sorted(re.findall(r"^!(.+)$", lines, re.MULTILINE))
    for name in taken:
        assert (ROOT / name).exists()
        for path in [ROOT / name, *(ROOT / name).rglob("*")]:
            by_chance = path.suffix == ".pyc" or path.name.startswith((".", "__pycache__"))
            assert by_chance or not is_ignored(str(path.relative_to(ROOT)))


def test_packages_come_from_the_locks_only() -> None:
    installs = [text for name, text in instructions() if name == "RUN" and "pip" in text]
    assert len(installs) == 2
    for text in installs:
        assert "--require-hashes" in text
        assert "--only-binary :all:" in text
        assert all(name.endswith(".lock") for name in re.findall(r"-r (\S+)", text))


@pytest.mark.parametrize("stage", ["gateway", "demo"])
def test_the_image_does_not_run_as_root(stage: str) -> None:
    assert image(stage).user == f"{USER}:{USER}"
    assert image(stage).volumes == ["/data"]


def test_it_asks_itself_at_the_port_that_it_listens_on() -> None:
    gateway = image("gateway")
    assert gateway.ports == [int(gateway.environment["COMFYUI_PORT"])]
    assert "os.environ['COMFYUI_PORT']" in gateway.health[-1]


def test_the_image_has_all_files_that_it_needs(tmp_path: Path) -> None:
    """They are alone in a folder; what the gateway writes is in /data, which it starts in."""
    gateway = image("gateway")
    lay_out(gateway, tmp_path)
    code, data = tmp_path / "gateway", tmp_path / "data"
    assert gateway.folder == "/data"
    before = sorted(code.rglob("*"))
    script = (
        "import sys; sys.path.insert(0, '../gateway')\n"
        "import start, asyncio, fake_comfyui.server\n"
        "from app.main import create_app, running\n"
        "async def main():\n"
        "    async with running(start.settings_of(start.parse_args([]))) as gateway:\n"
        "        print(len(create_app(gateway.settings).routes), gateway.settings.host)\n"
        "asyncio.run(main())\n"
    )
    environment = {**os.environ, **gateway.environment, "COMFYUI_PORT": "0", "PYTHONPATH": ""}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=data, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == "0.0.0.0"
    assert sorted(code.rglob("*")) == before
    assert {path.name for path in data.iterdir()} >= {"gateway.db", "workflows", "uploads"}


# -- as a container -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Containers:
    made = Containers(image("gateway"), tmp_path_factory.mktemp("container"))
    made.build()
    return made


async def healthy(containers: Containers, process: asyncio.subprocess.Process, port: int) -> None:
    """Wait until it listens; then the image's own health check is content."""

    async def listens() -> bool:
        assert process.returncode is None, (await process.communicate())[1].decode()
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True
        return False

    await wait_until(listens)
    check = image("gateway").health
    status, said = await containers.execute(process, *check, COMFYUI_PORT=str(port))
    assert status == 0, said


async def stopped(process: asyncio.subprocess.Process) -> str:
    """Stop it as Docker does, in the time that Compose gives it; its log."""
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    grace = int(compose["services"]["gateway"]["stop_grace_period"].removesuffix("s"))
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(max(grace, WAIT)):
        _, log = await process.communicate()
    assert process.returncode in (0, -signal.SIGTERM)
    return log.decode()


@pytest.mark.service
async def test_a_container_keeps_all_in_its_volume(
    containers: Containers, demo: DemoServer
) -> None:
    """Its root is read-only: whatever it writes elsewhere than in /data and /tmp would fail."""
    port = free_port()
    settings = {"COMFYUI_COMFYUI_SERVER": demo.address, "COMFYUI_PORT": str(port)}
    settings["COMFYUI_API_KEYS"] = "api_keys.json"
    request = {"filename": "qwen_t2i_distill.json", "params": {"prompt": "a fox"}}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=WAIT) as http:
        async with containers.start(**settings) as process:
            await healthy(containers, process, port)
            assert (await http.get("/api/tasks")).status_code == 401
            command = ("python", "/gateway/start.py", "keys", "add", "me", "--scope", "manage")
            status, key = await containers.execute(process, *command, **settings)
            assert status == 0, key
            http.headers["Authorization"] = f"Bearer {key.strip()}"
            answer = await http.post("/api/workflow/submit?wait=60", json=request)
            task = answer.json()
            assert task["status"] == "succeeded", task
            assert "Traceback" not in await stopped(process)
        async with containers.start(**settings) as process:
            await healthy(containers, process, port)
            assert (await http.get(f"/api/task/{task['task_id']}")).json() == task
            picture = await http.get(task["outputs"][0]["url"])
            assert picture.content[:4] == b"\x89PNG"
            assert "Traceback" not in await stopped(process)
    owners = {path.stat().st_uid for path in containers.data.rglob("*")}
    assert owners == {USER}


@pytest.mark.service
async def test_the_demo_runs_with_an_empty_folder(containers: Containers) -> None:
    """Below a path, too: the health check asks without it, as it comes past the proxy."""
    containers.empty(owner=USER)
    port = free_port()
    settings = {"COMFYUI_PORT": str(port), "COMFYUI_ROOT_PATH": "/studio"}
    async with containers.start("--demo", **settings) as process:
        await healthy(containers, process, port)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            assert (await http.get("/api/workflows")).json()["workflows"] == []
        assert "Traceback" not in await stopped(process)


@pytest.mark.service
async def test_a_folder_of_somebody_else_is_told_in_one_line(containers: Containers) -> None:
    containers.empty(owner=0)
    async with containers.start(COMFYUI_PORT="0") as process:
        _, log = await process.communicate()
    last = log.decode().splitlines()[-1]
    assert process.returncode == 3
    assert last == "Setting COMFYUI_OUTPUTS_DIR cannot be used: Permission denied: '/data/outputs'"
