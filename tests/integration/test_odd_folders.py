"""Folders that are not as we left them: gone, with links to themselves, pipes, sockets, devices."""

import asyncio
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app.files.stores.local import LocalStore
from app.files.stores.store import once
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import WAIT, RunningGateway, model_free, run_gateway

ODD = ("pipe", "socket", "folder", "loop", "nowhere", "device")
EACH = [pytest.param("pipe", marks=pytest.mark.posix("no pipes are in folders")), *ODD[1:]]


@contextmanager
def odd(kind: str, path: Path) -> Iterator[None]:
    """Something of that kind in the place of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        match kind:
            case "pipe":
                os.mkfifo(path)
            case "socket":
                before = Path.cwd()
                os.chdir(path.parent)  # a socket's path is short
                listening.bind(path.name)
                os.chdir(before)
            case "folder":
                path.mkdir()
            case "loop":
                path.symlink_to(path)
            case "nowhere":
                path.symlink_to(path.parent / "gone")
            case "device":
                path.symlink_to("/dev/zero")
        yield


async def quickly(http: httpx.AsyncClient, method: str, path: str, **options: object) -> int:
    """The status of the answer, which comes within seconds."""
    async with asyncio.timeout(WAIT):
        return (await http.request(method, path, **options)).status_code  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", EACH)
async def test_what_is_no_workflow_file(gateway: RunningGateway, tmp_path: Path, kind: str) -> None:
    http = gateway.http
    good = {"file": ("good.json", b'{"1": {"class_type": "A", "inputs": {}}}')}
    assert await quickly(http, "POST", "/api/workflow/upload", files=good) == 201
    with odd(kind, tmp_path / "workflows" / "x.json"):
        listed = (await http.get("/api/workflows")).json()["workflows"]
        assert [entry["filename"] for entry in listed] == ["good.json"]
        for path in ("", "/openapi.json"):
            assert await quickly(http, "GET", f"/api/workflow/x.json{path}") == 404
        assert await quickly(http, "GET", "/api/workflow/x.json/versions") == 404
        assert await quickly(http, "POST", "/api/workflow/x.json/run", json={}) == 404
        assert await quickly(http, "DELETE", "/api/workflow/x.json") == 404
        body = {"filename": "x.json", "params": {"1.a": 1}}
        assert await quickly(http, "POST", "/api/workflow/update", json=body) == 404
        files = {"file": ("x.json", good["file"][1])}
        made = await quickly(http, "POST", "/api/workflow/upload", files=files)
        assert made == (201 if kind in ("loop", "nowhere") else 409)
        again = await quickly(
            http, "POST", "/api/workflow/upload", files=files, data={"overwrite": "true"}
        )
        assert again in (201, 507)


@pytest.mark.parametrize("kind", EACH)
async def test_what_is_no_version(gateway: RunningGateway, tmp_path: Path, kind: str) -> None:
    http = gateway.http
    for number in (1, 2):
        content = b'{"%d": {"class_type": "A", "inputs": {}}}' % number
        files = {"file": ("x.json", content)}
        await http.post("/api/workflow/upload", files=files, data={"overwrite": "true"})
    name = "20240101T000000000000Z-000000000000"
    with odd(kind, tmp_path / "workflows" / ".versions" / "x.json" / f"{name}.json"):
        assert await quickly(http, "GET", "/api/workflow/x.json/versions") == 200
        assert await quickly(http, "GET", f"/api/workflow/x.json/versions/{name}") == 404
        body = {"version": name}
        assert await quickly(http, "POST", "/api/workflow/x.json/restore", json=body) == 404


async def test_folders_that_are_gone(
    settings_for: Callable[..., Settings], demo: DemoServer, tmp_path: Path
) -> None:
    """They are made again by what is saved; until then there is an error, or nothing in them."""
    async with run_gateway(settings_for(demo.address)) as running:
        await running.online()
        task = await running.submit(model_free())
        url = task["outputs"][0]["url"]
        for name in ("workflows", "uploads", "outputs"):
            shutil.rmtree(tmp_path / name)
        http = running.http
        assert await quickly(http, "GET", "/api/workflows") == 503
        assert await quickly(http, "GET", "/api/workflow/x.json") == 404
        files = {"file": ("x.json", b'{"1": {"class_type": "A", "inputs": {}}}')}
        assert await quickly(http, "POST", "/api/workflow/upload", files=files) == 507
        assert await quickly(http, "GET", url) == 404
        assert await quickly(http, "GET", f"{url}&width=9") == 404
        assert await quickly(http, "GET", "/api/image/a.png?type=input") == 404
        files = {"image": ("a.png", b"1")}
        assert await quickly(http, "POST", "/api/image/upload", files=files) == 201
        assert (await running.submit(model_free(3)))["status"] == "succeeded"


async def test_a_file_where_a_folder_should_be(
    settings_for: Callable[..., Settings], demo: DemoServer, tmp_path: Path
) -> None:
    async with run_gateway(settings_for(demo.address)) as running:
        await running.online()
        for name in ("workflows", "uploads"):
            shutil.rmtree(tmp_path / name)
            (tmp_path / name).write_text("no folder", encoding="utf-8")
        http = running.http
        assert await quickly(http, "GET", "/api/workflows") == 503
        assert await quickly(http, "GET", "/api/workflow/x.json") in (404, 503)
        assert await quickly(http, "GET", "/api/image/a.png?type=input") == 404
        for path, field in (("/api/image/upload", "image"), ("/api/workflow/upload", "file")):
            files = {field: ("x.json", b'{"1": {"class_type": "A", "inputs": {}}}')}
            assert await quickly(http, "POST", path, files=files) in (503, 507)


@pytest.mark.parametrize("kind", EACH)
async def test_what_is_no_upload_and_no_result(
    gateway: RunningGateway, tmp_path: Path, kind: str
) -> None:
    http = gateway.http
    task = await gateway.submit(model_free())
    name = task["outputs"][0]["filename"]
    (tmp_path / "outputs" / task["task_id"] / name).unlink()
    with (
        odd(kind, tmp_path / "uploads" / "a.png"),
        odd(kind, tmp_path / "outputs" / task["task_id"] / name),
    ):
        for path in ("/api/image/a.png?type=input", task["outputs"][0]["url"]):
            for view in ("", "&width=9", "&metadata=strip"):
                assert await quickly(http, "GET", path + view) == 404
        masks = {"image": ("m.png", b"1")}
        form = {"original": "a.png"}
        assert await quickly(http, "POST", "/api/image/upload/mask", files=masks, data=form) == 404
        assert await quickly(http, "GET", f"/api/task/{task['task_id']}/outputs.zip") == 200
        if kind != "folder":
            files = {"image": ("a.png", b"1")}
            # A link that leads nowhere, or out of the folder, is not replaced.
            wanted = (404,) if kind in ("loop", "device") else (201,)
            assert await quickly(http, "POST", "/api/image/upload", files=files) in wanted
        assert await quickly(http, "DELETE", f"/api/task/{task['task_id']}") in (200, 204)


async def test_a_store_with_odd_things_in_it(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "files")
    await store.save("a/good", once(b"1"))
    (store.folder / "a" / "round").symlink_to(store.folder)
    for number, kind in enumerate(ODD):
        stack = odd(kind, store.folder / "a" / f"odd{number}")
        stack.__enter__()
    async with asyncio.timeout(WAIT):
        assert [info.key async for info in store.files()] == ["a/good"]
        assert [info.key async for info in store.files("a/round")] in ([], ["a/good"])
        await store.delete("a")
        assert [info.key async for info in store.files()] == []
