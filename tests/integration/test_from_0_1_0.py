"""What version 0.1.0 made is brought up, and used; see tests/fixtures/v0_1_0."""

import contextlib
import hashlib
import json
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Boolean, Connection, MetaData, insert, text

from app.db.schema import migrate
from fake_comfyui.server import DemoServer
from tests.conftest import ROOT, wait_until
from tests.databases import KINDS, database_url
from tests.fleet import Gateway
from tests.integration.test_migrations import opened
from tests.receivers import Receiver, receiving

Json = dict[str, Any]
DATA = ROOT / "tests" / "fixtures" / "v0_1_0" / "data"
TOLD: Json = json.loads((DATA / "told.json").read_text(encoding="utf-8"))
BOSS, IT = ({"Authorization": f"Bearer {TOLD['keys'][name]}"} for name in ("boss", "it"))
# Of make.py
GATEWAY, SERVER, OTHER, RECEIVER = (f"127.0.0.1:{port}" for port in (27900, 27901, 27902, 27903))
FINAL = [one for one in TOLD["tasks"] if one["status"] not in ("queued", "running")]
OPEN = [one for one in TOLD["tasks"] if one["status"] in ("queued", "running")]
# What follows from the present state, and what an answer has only while a task is not final
OF_THE_MOMENT = {"queue_position", "eta_seconds", "waiting_for"}


@dataclass
class Upgraded:
    gateway: Gateway
    receiver: Receiver
    demo: DemoServer

    def now(self, value: Any) -> Any:
        """What version 0.1.0 told, with the addresses of this test."""
        here = placed(json.dumps(value), self.demo, self.receiver)
        return json.loads(here.replace(GATEWAY, self.gateway.address))

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.gateway.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Json | None = None, **options: Any) -> Any:
        answer = await self.gateway.http.post(path, json=body, **options)
        assert answer.is_success, answer.text
        return answer.json()

    async def succeeded(self, task_id: str) -> Json:
        return await self.gateway.until(task_id, "succeeded")


def placed(told: str, demo: DemoServer, receiver: Receiver) -> str:
    told = told.replace(SERVER, demo.address)
    return told.replace(RECEIVER, f"127.0.0.1:{receiver.port}")


def lasting(job: Json) -> Json:
    """Without until when its URLs are good, which is as of now."""
    outputs = [{**one, "url_expires_at": None} for one in job["outputs"]]
    return {**job, "outputs": outputs}


def as_of_now(database: sqlite3.Connection) -> None:
    """The next try of a webhook is due, and keys of requests are not a day old."""
    database.execute("UPDATE deliveries SET next_at = ? WHERE next_at IS NOT NULL", [time.time()])
    database.execute("UPDATE idempotency_keys SET created_at = ?", [time.time()])
    database.commit()


def copy_rows(source: sqlite3.Connection, target: Connection) -> None:
    """Into the tables that version 0.1.0 made on PostgreSQL."""
    migrate(target, "0006")
    source.row_factory = sqlite3.Row
    made = MetaData()
    made.reflect(target)
    for table in made.sorted_tables:
        if table.name == "alembic_version":
            continue
        bools = {column.name for column in table.columns if isinstance(column.type, Boolean)}
        for row in source.execute(f"SELECT * FROM {table.name}"):
            values = {
                name: bool(row[name]) if name in bools and row[name] is not None else row[name]
                for name in row.keys()  # noqa: SIM118
            }
            target.execute(insert(table).values(values))
        for column in table.primary_key:
            sequence = "SELECT pg_get_serial_sequence(:table, :column)"
            named = {"table": table.name, "column": column.name}
            if name := target.scalar(text(sequence), named):
                highest = f"SELECT setval('{name}', (SELECT max({column.name}) FROM {table.name}))"
                target.execute(text(highest))


@pytest.fixture(params=KINDS)
async def upgraded(
    request: pytest.FixtureRequest,
    demo: DemoServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Upgraded]:
    """Today's gateway on what 0.1.0 left when it was killed."""
    shutil.copytree(DATA, tmp_path, dirs_exist_ok=True)
    async with receiving() as receiver, database_url(request.param, tmp_path) as url:
        file = tmp_path / ("tasks.db" if request.param == "sqlite" else "old.db")
        with contextlib.closing(sqlite3.connect(file)) as database:
            dump = (DATA / "gateway.sql").read_text(encoding="utf-8")
            database.executescript(placed(dump, demo, receiver))
            as_of_now(database)
            if request.param == "postgresql":
                copied = await opened(url, monkeypatch, lambda target: copy_rows(database, target))
                await copied.close()
        places = {"database_url": url, "api_keys": tmp_path / "keys.json"}
        async with Gateway(
            *(tmp_path, "--comfyui-server", demo.address),
            **places,
            allow_private_urls="127.0.0.1",
        ) as gateway:
            gateway.http.headers.update(BOSS)
            yield Upgraded(gateway, receiver, demo)
            assert "Traceback" not in gateway.log.read_text(encoding="utf-8")


def test_the_fixture_has_tasks_in_every_state() -> None:
    states = {"succeeded", "failed", "canceled", "expired", "queued", "running"}
    assert {one["status"] for one in TOLD["tasks"]} == states
    assert {one["status"] for one in TOLD["deliveries"]} == {"pending", "delivered"}


async def test_what_was_there_is_there(upgraded: Upgraded) -> None:
    listed = await upgraded.get("/api/tasks", limit=100)
    assert [one["task_id"] for one in listed["tasks"]] == [one["task_id"] for one in TOLD["tasks"]]
    for told in upgraded.now(FINAL):
        task = await upgraded.get(f"/api/task/{told['task_id']}")
        assert {name: task.get(name) for name in told} == told
    for told in OPEN:
        task = await upgraded.get(f"/api/task/{told['task_id']}")
        for name in ("created_at", "params", "metadata", "priority", "batch_id", "timeout"):
            assert task[name] == told[name]
    for task_id, workflow in TOLD["workflows"].items():
        assert await upgraded.get(f"/api/task/{task_id}/workflow") == workflow
    for url, digest in TOLD["files"].items():
        answer = await upgraded.gateway.http.get(url)
        assert hashlib.sha256(answer.content).hexdigest() == digest, url
    final = {one["task_id"] for one in FINAL}
    for task_id, told in TOLD["jobs"].items():
        job = await upgraded.get(f"/api/v2/jobs/{task_id}")
        assert {**told, **job} == job, "no field is gone"
        if task_id in final:
            assert lasting(job) == lasting(upgraded.now(told))
    saved = (await upgraded.get("/api/workflows"))["workflows"]
    checked_out = {"modified_at": None}  # git keeps no times of files
    assert [one | checked_out for one in saved] == [
        one | checked_out for one in TOLD["saved"]["workflows"]
    ]
    servers = {one["id"]: one for one in (await upgraded.get("/api/servers"))["servers"]}
    assert set(servers) == {upgraded.demo.address, OTHER}
    assert not servers[OTHER]["accepting"], "it was drained"


async def test_what_was_open_is_done(upgraded: Upgraded) -> None:
    for told in OPEN:
        task = await upgraded.succeeded(told["task_id"])
        answer = await upgraded.gateway.http.get(task["outputs"][0]["url"])
        assert answer.content.startswith(b"\x89PNG")
    for batch_id, told in TOLD["batches"].items():
        batch = await upgraded.get(f"/api/batch/{batch_id}")
        assert batch["counts"] == {"succeeded": told["total"]}
    (pending,) = (one for one in TOLD["deliveries"] if one["status"] == "pending")

    async def delivered() -> bool:
        found = (await upgraded.get("/api/deliveries"))["deliveries"]
        return {one["status"] for one in found} == {"delivered"}

    await wait_until(delivered)
    assert upgraded.receiver.ids() == [pending["delivery_id"]]
    assert TOLD["deliveries"][0]["task_id"].encode() in upgraded.receiver.got[0].body


async def test_it_is_used_as_if_it_were_new(upgraded: Upgraded) -> None:
    post = upgraded.post
    for told in FINAL:
        again = await post(f"/api/task/{told['task_id']}/retry")
        assert again["retry_of"] == told["task_id"]
        await upgraded.succeeded(again["task_id"])
    (once,) = (one for one in TOLD["tasks"] if one["timeout"])
    again = await post(
        "/api/workflow/submit", content=TOLD["once"], headers={"Idempotency-Key": "once"}
    )
    assert again["task_id"] == once["task_id"]
    saved = TOLD["saved"]["workflows"][0]["filename"]
    run = await post(f"/api/workflow/{saved}/run", {"params": {"1.color": 3}})
    await upgraded.succeeded(run["task_id"])
    (version,) = (await upgraded.get(f"/api/workflow/{saved}/versions"))["versions"]
    await post(f"/api/workflow/{saved}/restore", {"version": version["version"]})
    image = {"1": {"class_type": "LoadImage", "inputs": {"image": "any"}}}
    image["2"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    loaded = await post(
        "/api/workflow/submit",
        {"workflow": image, "params": {"1.image": {"upload": "mask #2.png"}}},
    )
    await upgraded.succeeded(loaded["task_id"])


async def test_what_belongs_to_a_key_is_seen_by_it_alone_and_can_go(upgraded: Upgraded) -> None:
    http = upgraded.gateway.http
    (its,) = (await http.get("/api/tasks", headers=IT)).json()["tasks"]
    assert its["outputs"][0]["filename"] == "of another key_00001_.png"
    for told in FINAL:
        path = f"/api/task/{told['task_id']}"
        is_its = told["task_id"] == its["task_id"]
        assert (await http.get(path, headers=IT)).status_code == (200 if is_its else 404)
        assert (await http.delete(path)).status_code == 204
        assert (await http.get(path)).status_code == 404
    for url in TOLD["files"]:
        assert (await http.get(url)).status_code == 404
