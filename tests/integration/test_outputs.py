"""Results as clients get them, from a folder and from a bucket alike: parts, views, archives."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.files.images import views
from app.scheduler.retention import Limits, Retention
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, run_gateway, text_to_image
from tests.s3 import s3, s3_endpoint  # noqa: F401 (fixtures)

Json = dict[str, Any]


@pytest.fixture(params=["folder", "bucket"])
async def gateway(
    request: pytest.FixtureRequest, demo: DemoServer, settings_for: Callable[..., Settings]
) -> AsyncIterator[RunningGateway]:
    url = request.getfixturevalue("s3") if request.param == "bucket" else ""
    async with run_gateway(settings_for(demo.address, files_url=url)) as running:
        await running.online()
        yield running


async def upload(gateway: RunningGateway, name: str, content: bytes) -> str:
    answer = await gateway.http.post("/api/image/upload", files={"image": (name, content)})
    return str(answer.json()["url"])


async def stored_keys(gateway: RunningGateway) -> list[str]:
    return sorted([info.key async for info in gateway.gateway.files.files()])


async def test_parts_of_a_result(gateway: RunningGateway) -> None:
    url = (await gateway.submit(text_to_image()))["outputs"][0]["url"]
    whole = await gateway.http.get(url)
    size, etag = len(whole.content), whole.headers["etag"]
    head = await gateway.http.head(url)
    assert (head.status_code, head.content) == (200, b"")
    for header in ("content-length", "etag", "content-type", "accept-ranges"):
        assert head.headers[header] == whole.headers[header]
    for wanted, start, end in (
        ("bytes=10-19", 10, 20),
        ("bytes=-5", size - 5, size),
        (f"bytes={size - 3}-", size - 3, size),
        ("bytes=0-99999999", 0, size),
    ):
        part = await gateway.http.get(url, headers={"range": wanted, "if-range": etag})
        assert (part.status_code, part.content) == (206, whole.content[start:end])
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    for wanted in ("bytes=5-3", "bytes=-", "lines=1-2", "bytes=0-1,4-5"):
        assert (await gateway.http.get(url, headers={"range": wanted})).status_code == 200
    changed = {"range": "bytes=0-1", "if-range": '"other"'}
    assert (await gateway.http.get(url, headers=changed)).status_code == 200
    for wanted in ("bytes=99999999-", "bytes=-0"):
        beyond = await gateway.http.get(url, headers={"range": wanted})
        assert beyond.status_code == 416
        assert beyond.headers["content-range"] == f"bytes */{size}"
    for known in (etag, f'"x", W/{etag}', "*"):
        same = await gateway.http.get(url, headers={"if-none-match": known})
        assert (same.status_code, same.content) == (304, b"")


async def test_a_view_is_made_once(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = (await gateway.submit(text_to_image()))["outputs"][0]["url"]
    made, make = [], views.make_view

    def counting(*arguments: Any) -> None:
        made.append(arguments)
        make(*arguments)

    monkeypatch.setattr(views, "make_view", counting)
    asking = [gateway.http.get(f"{url}&width=32&format=avif") for _ in range(8)]
    answers = await asyncio.gather(*asking)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == len(made) == 1
    assert Image.open(io.BytesIO(answers[0].content)).size == (32, 32)
    await gateway.http.get(f"{url}&width=32&format=avif&quality=40")
    assert len(made) == 2


async def test_a_file_has_so_many_views(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "MAX_VIEWS", 3)
    url = (await gateway.submit(text_to_image()))["outputs"][0]["url"]
    kept: list[set[str]] = []
    for width in range(10, 15):
        assert (await gateway.http.get(f"{url}&width={width}")).status_code == 200
        kept.append({key for key in await stored_keys(gateway) if key.startswith(views.VIEWS)})
    assert [len(keys) for keys in kept] == [1, 2, 3, 3, 3]
    assert kept[4] - kept[3], "the newest is there"
    assert (await gateway.http.get(f"{url}&width=10")).status_code == 200


async def test_views_go_with_their_task(gateway: RunningGateway) -> None:
    task = await gateway.submit(text_to_image())
    await gateway.http.get(f"{task['outputs'][0]['url']}&width=32")
    assert len(await stored_keys(gateway)) == 2
    await gateway.http.delete(f"/api/task/{task['task_id']}")
    assert await stored_keys(gateway) == []


async def test_a_picture_without_its_workflow(gateway: RunningGateway) -> None:
    url = (await gateway.submit(text_to_image(text="a secret fox")))["outputs"][0]["url"]
    assert b"a secret fox" in (await gateway.http.get(url)).content
    plain = await gateway.http.get(f"{url}&metadata=strip")
    assert plain.headers["content-type"] == "image/png"
    assert b"secret" not in plain.content
    assert not Image.open(io.BytesIO(plain.content)).info.get("prompt")


async def test_what_no_view_can_be_made_of(gateway: RunningGateway) -> None:
    for name, content in (("a.txt", b"text"), ("a.png", b"\x89PNG\r\n\x1a\n"), ("a.flac", b"fLaC")):
        url = await upload(gateway, name, content)
        for wish in ("width=10", "format=jpeg", "metadata=strip"):
            answer = await gateway.http.get(f"{url}&{wish}")
            assert answer.status_code == 422
            assert answer.json()["code"] == "invalid_input"
    assert (await gateway.http.get("/api/health")).status_code == 200


async def test_all_outputs_in_one_archive(gateway: RunningGateway) -> None:
    texts = {
        f"{number}:1": {"class_type": "PreviewAny", "inputs": {"source": f"text {number}"}}
        for number in (7, 8)
    }
    saving = {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "a/t"}}
    task = await gateway.submit({**model_free(prefix="b/t"), "4": saving, **texts})
    assert task["status"] == "succeeded", task["error"]
    gone = next(output for output in task["outputs"] if output["kind"] == "image")
    key = next(key for key in await stored_keys(gateway) if key.endswith(gone["filename"]))
    answer = await gateway.http.get(f"/api/task/{task['task_id']}/outputs.zip")
    assert answer.headers["content-type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    assert sorted(archive.namelist()) == [
        "node7_1.txt",
        "node8_1.txt",
        "t_00001_ (2).png",
        "t_00001_.png",
    ]
    assert archive.read("node7_1.txt") == b"text 7"
    await gateway.gateway.files.delete(key)
    answer = await gateway.http.get(f"/api/task/{task['task_id']}/outputs.zip")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert len(archive.namelist()) == 4
    assert gone["filename"].encode() in archive.read("MISSING.txt")


async def test_no_archive_of_what_still_runs(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.stall = True
    task = await gateway.submit(text_to_image(), wait=0)
    answer = await gateway.http.get(f"/api/task/{task['task_id']}/outputs.zip")
    assert (answer.status_code, answer.json()["code"]) == (409, "task_not_finished")
    assert (await gateway.http.get("/api/task/none/outputs.zip")).status_code == 404
    demo.knobs.stall = False


async def test_results_are_removed_after_their_time(
    gateway: RunningGateway, settings_for: Callable[..., Settings], demo: DemoServer
) -> None:
    task = await gateway.submit(text_to_image())
    await gateway.http.get(f"{task['outputs'][0]['url']}&width=32")
    url = gateway.gateway.settings.files_url
    changed = settings_for(demo.address, files_url=url, retention_age=0.4)
    async with run_gateway(changed) as second:
        expired = await second.until(task["task_id"], "expired")
        assert expired["error"]["code"] == "expired"
        (output,) = expired["outputs"]
        assert (output["url"], output["error"]["code"]) == (None, "expired")
        assert output["filename"] == task["outputs"][0]["filename"]
        assert await stored_keys(second) == []
        for gone in (task["outputs"][0]["url"], f"/api/task/{task['task_id']}/outputs.zip"):
            answer = await second.http.get(gone)
            assert (answer.status_code, answer.json()["code"]) == (410, "expired")
        again = await second.http.post(f"/api/task/{task['task_id']}/retry")
        assert again.status_code == 202
        await second.until(again.json()["task_id"], "expired")


async def test_the_oldest_results_go_when_there_are_too_many(
    gateway: RunningGateway, settings_for: Callable[..., Settings], demo: DemoServer
) -> None:
    tasks = [await gateway.submit(text_to_image(seed=seed)) for seed in range(3)]
    sizes = [task["outputs"][0]["size_bytes"] for task in tasks]
    demo.knobs.stall = True
    running = await gateway.submit(text_to_image(seed=9), wait=0)
    limits = Limits(bytes=sum(sizes[1:]))
    here, database = gateway.gateway, await gateway.database()
    retention = Retention(database, here.files, here.hub, limits, uploads=here.uploads.store)
    assert await retention.sweep() == 1
    assert await retention.sweep() == 0
    view = await gateway.http.get(f"{tasks[2]['outputs'][0]['url']}&width=8")
    limits = Limits(bytes=sum(sizes[1:]) + len(view.content) - 1)
    assert (
        await Retention(database, here.files, here.hub, limits, uploads=here.uploads.store).sweep()
        == 1
    )
    states = [(await gateway.task(task["task_id"]))["status"] for task in [*tasks, running]]
    assert states[:3] == ["expired", "expired", "succeeded"], "views count, too"
    assert states[3] in ("queued", "running")
    demo.knobs.stall = False


async def test_info_shows_no_credentials(gateway: RunningGateway) -> None:
    shown = (await gateway.http.get("/api/system/info")).text
    assert "tests-secret-key" not in shown
    assert "tests-access-key" not in shown


async def test_a_bucket_that_is_away_fails_the_task_with_the_remedy(
    s3: str,  # noqa: F811
    demo: DemoServer,
    settings_for: Callable[..., Settings],
) -> None:
    url = s3.replace("results", "nowhere")
    async with run_gateway(settings_for(demo.address, files_url=url)) as running:
        await running.online()
        task = await running.submit(model_free())
        assert task["status"] == "failed"
        assert task["error"]["code"] == "storage_unavailable"
        assert "COMFYUI_FILES_URL" in task["error"]["message"]


async def test_local_results_stay_where_they_were(
    demo: DemoServer, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    """The layout of the folder is <task_id>/<name>: an upgrade finds what it had."""
    async with run_gateway(settings_for(demo.address)) as running:
        await running.online()
        task = await running.submit(model_free())
        name = task["outputs"][0]["filename"]
        assert (tmp_path / "outputs" / task["task_id"] / name).is_file()
