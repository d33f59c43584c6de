"""What keeps a program from starting is one line, before any other, and nothing was begun."""

import asyncio
import errno
import os
import re
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.files.stores import temporary
from tests.conftest import ROOT, WAIT

START = str(ROOT / "start.py")
# A warning that each start has: nothing may come before the line, not even that.
WARNED = {"COMFYUI_POLL_INTERVAL": "1"}


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield str(other.getsockname()[1])


async def only_line(folder: Path, *command: str, code: int, **environment: str) -> str:
    """What a program says in all, in a folder of its own, before it ends with the code."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command),
        env={**os.environ, "PYTHONPATH": str(ROOT), **WARNED, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
    )
    try:
        async with asyncio.timeout(WAIT):
            said = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == code, said
    assert said.count("\n") == 1, said
    return said


@pytest.mark.parametrize("arguments", [[], ["--demo"], ["--host", "localhost"]])
async def test_a_port_that_is_taken(tmp_path: Path, taken: str, arguments: list[str]) -> None:
    said = await only_line(tmp_path, START, *arguments, "--port", taken, code=3)
    assert said == (
        f"Cannot listen on 127.0.0.1:{taken}: the port is taken, perhaps by another gateway. "
        "Stop that, or choose another port with --port or COMFYUI_PORT.\n"
    )
    assert not list(tmp_path.iterdir()), "nothing was begun"


@pytest.mark.posix("there are no workers")
async def test_a_port_that_is_taken_from_several_processes(tmp_path: Path, taken: str) -> None:
    nowhere = {
        "COMFYUI_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "COMFYUI_REDIS_URL": "redis://127.0.0.1:1/0",
    }
    said = await only_line(tmp_path, START, "--workers", "2", "--port", taken, code=3, **nowhere)
    assert said.startswith(f"Cannot listen on 127.0.0.1:{taken}: the port is taken")


async def test_two_that_have_bound_the_same_address(tmp_path: Path) -> None:
    """The second to listen is refused, by the same line."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        # What another one does between our two steps
        then = (
            "import socket, start; from app import main; real = main._open_database\n"
            f"other = socket.socket(fileno={other.fileno()})\n"
            "async def later(settings):\n"
            "    other.listen()\n"
            "    return await real(settings)\n"
            "main._open_database = later; raise SystemExit(start.main())"
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", then, "--port", str(port)),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=asyncio.subprocess.PIPE,
            cwd=tmp_path,
            pass_fds=[other.fileno()],
        )
        async with asyncio.timeout(WAIT):
            said = (await process.communicate())[1].decode()
    assert process.returncode == 3, said
    assert said.splitlines()[-1].startswith(f"Cannot listen on 127.0.0.1:{port}: "), said
    assert "Traceback" not in said


async def test_a_port_that_is_taken_from_the_stand_in(tmp_path: Path, taken: str) -> None:
    said = await only_line(tmp_path, "-m", "fake_comfyui", "--port", taken, code=3)
    assert said.startswith(f"Cannot listen on 127.0.0.1:{taken}: Address already in use. ")
    assert said.endswith("Choose another port with --port.\n")


@pytest.mark.parametrize("name", ["host", "comfyui-server"])
async def test_an_empty_argument(tmp_path: Path, name: str) -> None:
    said = await only_line(tmp_path, START, f"--{name}", "", code=2)
    assert said.startswith(f"Setting COMFYUI_{name.upper().replace('-', '_')}: ")


async def test_a_port_that_is_none(tmp_path: Path) -> None:
    said = await only_line(tmp_path, START, "--port", "65536", code=2)
    assert said.startswith("Setting COMFYUI_PORT: ")
    said = await only_line(tmp_path, "-m", "fake_comfyui", "--port", "65536", code=3)
    assert said.startswith("Cannot listen on 127.0.0.1:65536: ")


@pytest.mark.parametrize("name", ["OUTPUTS_DIR", "UPLOADS_DIR", "WORKFLOWS_DIR", "FILES_URL"])
async def test_a_folder_that_cannot_be_made(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("in its way", encoding="utf-8")
    folder = tmp_path / "file" / "folder"
    value = f"file://{folder}" if name == "FILES_URL" else str(folder)
    said = await only_line(tmp_path, START, "--port", "0", code=3, **{f"COMFYUI_{name}": value})
    assert said.startswith(f"Setting COMFYUI_{name} cannot be used: Not a directory: ")
    said = await only_line(
        tmp_path, START, "--port", "0", code=3, **{f"COMFYUI_{name}": value[: -len("/folder")]}
    )
    assert said.endswith(f"cannot be used: A file, not a folder: '{tmp_path}/file'\n")
    assert {path.name for path in tmp_path.iterdir()} == {"file"}, "nothing was begun"


@pytest.mark.skipif(not Path("/sys").is_dir(), reason="no folder that root cannot write to")
@pytest.mark.parametrize("name", ["OUTPUTS_DIR", "UPLOADS_DIR", "WORKFLOWS_DIR", "FILES_URL"])
async def test_a_folder_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    value = "file:///sys" if name == "FILES_URL" else "/sys"
    said = await only_line(tmp_path, START, "--port", "0", code=3, **{f"COMFYUI_{name}": value})
    assert re.fullmatch(rf"Setting COMFYUI_{name} cannot be used: [A-Z][a-z -]+: '/sys'\n", said)
    assert not list(tmp_path.iterdir()), "nothing was begun"


@pytest.mark.parametrize("full", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_keeps_no_gateway_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: int
) -> None:
    """Somebody has to be able to delete results."""

    def failing(folder: Path) -> None:
        raise OSError(full, os.strerror(full))

    monkeypatch.setattr(temporary, "open_part", failing)
    temporary.check_writable(tmp_path)


@pytest.mark.parametrize(
    "url",
    ["sqlite:////proc/gateway.db", "sqlite:///file", "sqlite:///file/gateway.db"],
)
async def test_a_database_that_cannot_be_opened(tmp_path: Path, url: str) -> None:
    (tmp_path / "file").write_text("no database" * 1000, encoding="utf-8")
    places = {"COMFYUI_DATABASE_URL": url, "COMFYUI_OUTPUTS_DIR": "data/outputs"}
    (tmp_path / "uploads").mkdir()
    said = await only_line(tmp_path, START, "--port", "0", code=3, **places)
    assert said.startswith("Setting COMFYUI_DATABASE_URL cannot be used: ")
    assert url.startswith("sqlite:////proc") or f"'{tmp_path}/file'" in said
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"file", "uploads"}, "what was there is there, and nothing else"


async def test_keys_that_cannot_be_read(tmp_path: Path) -> None:
    said = await only_line(tmp_path, START, "--port", "0", code=2, COMFYUI_API_KEYS=str(tmp_path))
    assert said.startswith("Setting COMFYUI_API_KEYS: ")
    assert f"'{tmp_path}'" in said
    (tmp_path / "keys").write_text("{", encoding="utf-8")
    said = await only_line(tmp_path, START, "--port", "0", code=2, COMFYUI_API_KEYS="keys")
    assert said.startswith("Setting COMFYUI_API_KEYS: ")


async def test_settings_that_are_no_text(tmp_path: Path) -> None:
    """As PowerShell's `>` writes them."""
    (tmp_path / ".env").write_text("COMFYUI_PORT=8000\n", encoding="utf-16")
    said = await only_line(tmp_path, START, code=2)
    assert said == "The file .env cannot be read: not all is in UTF-8. Save it as UTF-8.\n"


async def test_a_database_that_is_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "gateway.db"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE a AS SELECT zeroblob(50000)")
    os.truncate(file, 5000)
    said = await only_line(tmp_path, START, "--port", "0", code=3)
    assert f"'{file}' is no SQLite database, or it is damaged." in said


@pytest.mark.parametrize("without", ["-S", "uvicorn"])
async def test_packages_that_are_not_there(tmp_path: Path, without: str) -> None:
    """`python start.py` by another Python than that of .venv, or before pip after an update."""
    lacks = f"raise ModuleNotFoundError('No module named {without}', name='{without}')"
    (tmp_path / f"{without}.py").write_text(lacks, encoding="utf-8")
    switches = [without] if without == "-S" else []
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    said = await only_line(tmp_path, *switches, START, "--port", "0", code=3, PYTHONPATH=path)
    assert "cannot run the gateway: No module named " in said
    assert said.endswith("python -m pip install -r requirements.txt.\n")
