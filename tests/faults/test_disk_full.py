"""A full disk: it is said, nothing is lost, and with room again all goes on by itself."""

import os
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.conftest import model_free, text_to_image, wait_until
from tests.fleet import DATABASE, Demo, Gateway, Json, on, stand_ins

MB = 1 << 20
SmallDisk = Callable[[str, int], Path]


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)) == 4096:
                pass
        except OSError:
            pass
    return filler


def says_full(task: Json) -> bool:
    """By its error, or by a warning while it waits for room."""
    code = (task["error"] or {}).get("code")
    return code == "storage_full" or any("storage_full" in text for text in task["warnings"])


async def test_no_room_for_results(tmp_path: Path, small_disk: SmallDisk) -> None:
    outputs = small_disk("outputs", MB)
    async with (
        stand_ins(tmp_path, 1) as (demo,),
        Gateway(tmp_path, *on([demo]), outputs_dir=outputs) as gateway,
    ):
        before = await gateway.submit(model_free(1))
        await gateway.until(before, "succeeded")
        filler = fill(outputs)
        task_id = await gateway.submit(model_free(2, size=256))

        async def said() -> Json | None:
            task = await gateway.task(task_id)
            return task if says_full(task) else None

        task = await wait_until(said)
        assert task["status"] != "succeeded"
        assert (await gateway.http.get("/api/health")).status_code == 200
        filler.unlink()
        after = await gateway.submit(model_free(3, size=256))
        final = await gateway.all_final()
        assert final[after]["status"] == "succeeded", final[after]
        for done in (final[before], final[after]):
            assert await gateway.fetch_outputs(done) == 1
        # It may have failed, or have waited; what it must not do is say that all is well.
        if final[task_id]["status"] == "succeeded":
            assert await gateway.fetch_outputs(final[task_id]) == 1
        else:
            assert final[task_id]["error"]["code"] == "storage_full", final[task_id]
    assert not list(outputs.rglob("*.part"))


@pytest.mark.only_sqlite
async def test_no_room_in_the_database(tmp_path: Path, small_disk: SmallDisk) -> None:
    disk = small_disk("database", 16 * MB)
    async with (
        stand_ins(tmp_path, 1, step=0.2) as (demo,),
        Gateway(tmp_path, *on([demo]), database_url=f"sqlite:///{disk}/gateway.db") as gateway,
    ):
        running = [await gateway.submit(text_to_image(steps=5, seed=seed)) for seed in range(4)]
        await gateway.until(running[0], "running")
        filler = fill(disk)
        accepted, _ = await submit_until_refused(gateway)
        await wait_until(lambda: is_idle(demo))  # what ran has ended, which cannot be written down
        there = await gateway.tasks()
        assert {*running, *accepted} == {task["task_id"] for task in there}, "half of a task"
        assert {task["status"] for task in there} <= {"queued", "running"}, there
        filler.unlink()

        async def takes_tasks() -> bool:
            answer = await gateway.http.post("/api/workflow/submit", json=model_free(999))
            return answer.status_code == 202

        await wait_until(takes_tasks)
        final = await gateway.all_final()
        assert {task["status"] for task in final.values()} == {"succeeded"}, final
        assert set(final) >= {*running, *accepted}
        for task in final.values():
            assert await gateway.fetch_outputs(task) == 1
        runs = await demo.executed()
        assert set(runs) == set(final), "what was refused must not run"
        assert {run["starts"] for run in runs.values()} == {1}
        await gateway.stop()
    with sqlite3.connect(disk / "gateway.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()
    assert not list((tmp_path / "outputs").rglob("*.part"))


@pytest.mark.only_sqlite
async def test_a_full_database_takes_no_task(tmp_path: Path, small_disk: SmallDisk) -> None:
    disk = small_disk("database", 16 * MB)
    async with Gateway(tmp_path, database_url=f"sqlite:///{disk}/gateway.db") as gateway:
        fill(disk)
        accepted, refused = await submit_until_refused(gateway)
        assert (refused.status_code, refused.json()["code"]) == (507, "storage_full"), refused.text
        assert len(await gateway.tasks()) == len(accepted)
        health = await gateway.http.get("/api/health")
        assert health.status_code == 200


async def is_idle(demo: Demo) -> bool:
    return await demo.held() == ([], [])


async def submit_until_refused(gateway: Gateway) -> tuple[list[str], httpx.Response]:
    """The log of the database has a little room of its own at first."""
    accepted = []
    for color in range(500):
        answer = await gateway.http.post("/api/workflow/submit", json=model_free(color))
        if answer.status_code != 202:
            return accepted, answer
        accepted.append(answer.json()["task_id"])
    raise AssertionError("the disk is full, and submits go on")


async def test_a_disk_that_cannot_be_written_is_not_ready(
    tmp_path: Path, small_disk: SmallDisk
) -> None:
    """Each of its places, one after the other."""
    faults = {"outputs_dir": "full", "uploads_dir": "read-only", "workflows_dir": "full"}
    if "postgresql" not in os.environ.get(DATABASE, ""):  # whose disk is not ours to look at
        faults["database_url"] = "full"
    disks = {place: small_disk(place, 4 * MB) for place in faults}
    settings: dict[str, object] = {**disks}
    if "database_url" in disks:
        settings["database_url"] = f"sqlite:///{disks['database_url']}/gateway.db"
    async with (
        stand_ins(tmp_path, 1) as (demo,),
        Gateway(tmp_path, *on([demo]), **settings) as gateway,
    ):
        for place, fault in faults.items():
            await check_place(gateway, disks[place], fault)
    for disk in disks.values():
        assert not list(disk.rglob(".room-*"))


async def check_place(gateway: Gateway, disk: Path, fault: str) -> None:
    """While its disk cannot be written the gateway is not ready, and says why."""

    async def ready() -> bool:
        return (await gateway.http.get("/api/ready")).status_code == 200

    async def told() -> Json | None:
        answer = await gateway.http.get("/api/ready")
        known = answer.status_code == 503 and answer.json()["code"] == "storage_full"
        return dict(answer.json()) if known else None

    async def degraded() -> bool:
        health = await gateway.http.get("/api/health")
        assert health.status_code == 200
        return "nothing can be written" in str(health.json()["reason"])

    await wait_until(ready)
    filler = fill(disk) if fault == "full" else None
    if fault == "read-only":
        remount(disk, "ro")
    assert "nothing can be written" in (await wait_until(told))["detail"]
    await wait_until(degraded)
    if filler is None:
        remount(disk, "rw")
    else:
        filler.unlink()
    await wait_until(ready)
    assert (await gateway.http.get("/api/health")).json()["status"] == "ok"


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)
