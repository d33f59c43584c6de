"""Names that some system cannot hold, or takes for one: each result is kept and has its own name.

The server is a ComfyUI on Linux, which can name its files so; the gateway runs by the rules of its
own system, and by those of Windows.
"""

import io
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests import windows_files
from tests.conftest import RunningGateway, model_free, over

NAMES = ("a.bin", "A.bin", "aux.bin", "NUL", "a:b.bin", "dot.", "PLACIN~1", "<|>?*.bin", "é.bin")
pytestmark = pytest.mark.posix("the server's disk holds them not")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[DemoServer]:
    folder = tmp_path / "comfyui"
    async with DemoServer(step_seconds=0.01, directory=folder) as server:
        for name in NAMES:
            (folder / "output" / name).write_bytes(f"\0{name}".encode())
        yield server


@pytest.fixture(params=["here", "windows"])
async def gateway(
    request: pytest.FixtureRequest,
    settings_for: Callable[..., Settings],
    server: DemoServer,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[RunningGateway]:
    if request.param == "windows":
        windows_files.pretend(monkeypatch)
    async with over(settings_for, server) as gateway:
        yield gateway


async def all_names(gateway: RunningGateway, server: DemoServer) -> dict[str, Any]:
    told = [{"filename": name, "subfolder": "", "type": "output"} for name in NAMES]
    server.knobs.say = {"images": told}
    return await gateway.submit(model_free())


async def test_each_result_has_its_name(gateway: RunningGateway, server: DemoServer) -> None:
    task = await all_names(gateway, server)
    assert task["status"] == "succeeded"
    found = task["outputs"]
    assert [output["filename"] for output in found] == list(NAMES)
    for output, name in zip(found, NAMES, strict=True):
        for url in (output["url"], f"/api/image/{quote(name)}"):
            answer = await gateway.http.get(url)
            assert (answer.status_code, answer.content) == (200, f"\0{name}".encode())
            assert quote(name, safe="") in answer.headers["content-disposition"]


async def test_an_archive_of_them(gateway: RunningGateway, server: DemoServer) -> None:
    task = await all_names(gateway, server)
    answer = await gateway.http.get(f"/api/task/{task['task_id']}/outputs.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        contents = {archive.read(name) for name in archive.namelist()}
        assert {f"\0{name}".encode() for name in NAMES} <= contents
        assert not any(map(windows_files.is_device, archive.namelist()))


async def test_they_go_with_their_task(
    gateway: RunningGateway, server: DemoServer, tmp_path: Path
) -> None:
    task = await all_names(gateway, server)
    folder = tmp_path / "outputs" / task["task_id"]
    assert len(list(folder.iterdir())) >= len(NAMES)
    assert (await gateway.http.delete(f"/api/task/{task['task_id']}")).status_code < 300
    assert not folder.exists()


@pytest.mark.parametrize("name", ["aux.png", "PLACIN~1", "nul.txt"])
async def test_uploads(gateway: RunningGateway, name: str) -> None:
    """By a short name, such as PLACIN~1 of `.placing`, no other file is reached."""
    asked = await gateway.http.get(f"/api/image/{name}?type=input")
    assert asked.status_code == 404
    saved = await gateway.http.post("/api/image/upload", files={"image": (name, b"\0content")})
    assert saved.json()["name"] == name
    asked = await gateway.http.get(f"/api/image/{name}?type=input")
    assert asked.content == b"\0content"


async def test_uploads_are_inputs(gateway: RunningGateway, server: DemoServer) -> None:
    (first,) = (await gateway.submit(model_free()))["outputs"]
    picture = (await gateway.http.get(first["url"])).content
    saved = await gateway.http.post("/api/image/upload", files={"image": ("con.png", picture)})
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": saved.json()["name"]}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    task = await gateway.submit(graph)
    assert task["status"] == "succeeded", task
    view = await gateway.http.get(f"{task['outputs'][0]['url']}&width=16")
    assert view.status_code == 200
