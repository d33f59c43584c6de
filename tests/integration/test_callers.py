"""Services as a caller has them: no method of one answers what belongs to another.

test_access_matrix.py asks the routes; this asks the services themselves, each public method of
them, so a new method or a new collaborator is in it by itself.
"""

import inspect
import io
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from PIL import Image

from app.auth.model import AccessLevel, Caller
from app.db.task_filters import Selection
from app.db.tasks import TaskRepository
from app.errors import (
    AssetNotFound,
    BatchNotFound,
    BlobNotFound,
    DeliveryNotFound,
    FileNotFound,
    MissingAsset,
    TaskNotFound,
)
from app.files.uploads import Uploads
from app.gateway import Gateway
from app.services.assets import AssetService, Wish
from app.services.input_files import InputFiles
from app.services.jobs import Jobs
from app.services.result_files import Results
from app.services.submissions import SubmissionService
from app.services.tasks import TaskService
from app.settings import Settings
from app.tasks.model import Many
from fake_comfyui.server import DemoServer
from tests.conftest import model_free, wait_until
from tests.keyholders import Guarded, guarded

Things = Mapping[str, str]
Call = Callable[[Gateway, Things], Any]
OTHER = Caller(AccessLevel.RUN, "other", visible_owner="other")
EVERYTHING = Selection()
BOUND = (
    *(AssetService, InputFiles, Jobs, Results),
    *(SubmissionService, TaskRepository, TaskService, Uploads),
)

CALLS: dict[str, Call] = {
    "TaskService.get": lambda g, t: g.tasks.get(t["task"]),
    "TaskService.several": lambda g, t: g.tasks.several([t["task"]]),
    "TaskService.prompt": lambda g, t: g.tasks.prompt(t["task"]),
    "TaskService.page": lambda g, t: g.tasks.page(EVERYTHING, 9, None),
    "TaskService.total": lambda g, t: g.tasks.total(EVERYTHING),
    "TaskService.queue": lambda g, t: g.tasks.queue(),
    "TaskService.known": lambda g, t: g.tasks.known([t["task"], t["waiting"]]),
    "TaskService.wait": lambda g, t: g.tasks.wait([t["task"]], 0),
    "TaskService.cancel": lambda g, t: g.tasks.cancel(t["waiting"]),
    "TaskService.cancel_queued": lambda g, t: g.tasks.cancel_queued(),
    "TaskService.counts": lambda g, t: g.tasks.counts(t["batch"]),
    "TaskService.cancel_all": lambda g, t: g.tasks.cancel_all([t["waiting"], t["task"]]),
    "TaskService.cancel_batch": lambda g, t: g.tasks.cancel_batch(t["batch"]),
    "TaskService.retry": lambda g, t: g.tasks.retry(t["task"]),
    "TaskService.delete": lambda g, t: g.tasks.delete([t["task"]]),
    "TaskService.result_file": lambda g, t: g.tasks.result_file(
        t["result"], task_id=None, subfolder=None, type=None
    ),
    "TaskService.archive": lambda g, t: g.tasks.archive(t["task"]),
    "AssetService.get": lambda g, t: g.assets.get(t["asset"]),
    "AssetService.from_hash": lambda g, t: g.assets.from_hash(t["hash"], Wish()),
    "AssetService.is_known": lambda g, t: g.assets.is_known(t["hash"]),
    "AssetService.uploads_by_kind": lambda g, t: g.assets.uploads_by_kind(),
    "AssetService.delete": lambda g, t: g.assets.delete(t["asset"]),
    "AssetService.resolved": lambda g, t: g.assets.resolved(
        {"1": {"inputs": {"image": {"__type": "core/ASSET", "info": {"id": t["asset"]}}}}}
    ),
    "Jobs.page": lambda g, t: g.jobs.page((), {}, 9, None),
    "Outbox.of_task": lambda g, t: g.outbox.of_task(g.caller, t["task"]),
    "Outbox.page": lambda g, t: g.outbox.page(g.caller, (), 9, None),
    "Outbox.replay": lambda g, t: g.outbox.replay(g.caller, t["delivery"]),
    "Uploads.get": lambda g, t: g.uploads.get(t["upload"]),
    "Uploads.exists": lambda g, t: g.uploads.exists(t["upload"]),
    "Uploads.find": lambda g, t: g.uploads.find(t["upload"]),
    "Uploads.head": lambda g, t: g.uploads.head(t["upload"]),
    "Uploads.key_of": lambda g, t: g.uploads.key_of(t["upload"]),
    "Uploads.on_disk": lambda g, t: g.uploads.on_disk(t["upload"]).__aenter__(),
}
NOT_THERE = (
    *(AssetNotFound, BatchNotFound, BlobNotFound, DeliveryNotFound, FileNotFound),
    *(MissingAsset, TaskNotFound),
)
# These read nothing by a name that a client gives: they make things, or work on what is at hand.
MAKING = {
    *("TaskService.look_up", "TaskService.sees", "TaskService.view"),
    *("AssetService.keep", "AssetService.note", "AssetService.content", "AssetService.run"),
    *("Jobs.submit", "Uploads.save", "Uploads.arriving", "Uploads.settle", "Uploads.may_name"),
    *("Uploads.staged_name", "Uploads.forget"),
}


@pytest.fixture
async def gate(
    settings_for: Callable[..., Settings], tmp_path: Path, demo: DemoServer
) -> AsyncIterator[Guarded]:
    private = {"allow_private_urls": ["127.0.0.1"]}
    keys: dict[str, Any] = {"owner": "run", "other": "run"}
    async with guarded(settings_for, tmp_path, demo, keys=keys, **private) as found:
        yield found


async def things_of(gate: Guarded, demo: DemoServer) -> Things:
    """Something of each kind that a key may own."""
    client, picture = await gate.client("owner"), io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(picture, "PNG")
    webhook = {"url": "http://127.0.0.1:9/hook", "events": ["task.succeeded"]}
    body = {"workflow": model_free(), "webhook": webhook, "batch": {"1.color": [1]}}
    answer = (await client.post("/api/workflow/submit?wait=60", json=body)).json()
    task = answer["tasks"][0]
    file = {"image": ("mine.png", picture.getvalue())}
    upload = (await client.post("/api/image/upload", files=file)).json()
    form = {"content_type": "image/png", "file_path": "mine.png"}
    file = {"file": ("mine.png", picture.getvalue())}
    asset = (await client.post("/api/v2/assets", data=form, files=file)).json()
    demo.knobs.stall = True
    waiting = (await client.post("/api/workflow/submit", json={"workflow": model_free(2)})).json()

    async def deliveries() -> list[dict[str, Any]]:
        found = await client.get(f"/api/task/{task['task_id']}/deliveries")
        return list(found.json()["deliveries"])

    return {
        "task": task["task_id"],
        "batch": task["batch_id"],
        "result": task["outputs"][0]["filename"],
        "waiting": waiting["task_id"],
        "upload": upload["name"],
        "asset": asset["id"],
        "hash": asset["hash"],
        "delivery": (await wait_until(deliveries))[0]["delivery_id"],
    }


async def answered(call: Call, gateway: Gateway, things: Things) -> Any:
    """What a method answers; None if it says that there is no such thing."""
    try:
        found = await call(gateway, things)
    except NOT_THERE:
        return None
    nothing = ([], {}, set(), False, ([], None), (0, False), Many())
    return None if found in nothing else found


async def test_no_method_answers_what_belongs_to_another(gate: Guarded, demo: DemoServer) -> None:
    things = await things_of(gate, demo)
    other = gate.gateway.for_caller(OTHER, "")
    for name, call in CALLS.items():
        assert await answered(call, other, things) is None, name
    client = await gate.client("owner")
    assert (await client.get(f"/api/task/{things['waiting']}")).json()["status"] != "canceled"
    assert (await client.get(f"/api/task/{things['task']}")).status_code == 200
    upload = {"type": "input"}
    assert (await client.get(f"/api/image/{things['upload']}", params=upload)).status_code == 200
    assert (await client.get(f"/api/v2/assets/{things['asset']}")).status_code == 200


async def test_the_same_methods_answer_their_owner(gate: Guarded, demo: DemoServer) -> None:
    things = await things_of(gate, demo)
    owner = gate.gateway.for_caller(Caller(AccessLevel.RUN, "owner", visible_owner="owner"), "")
    endings = (".delete", ".retry", "cancel", "cancel_all", "cancel_queued", "cancel_batch")
    for name in (name for name in CALLS if not name.endswith(endings)):
        assert await answered(CALLS[name], owner, things), name


def test_each_method_of_a_service_is_asked() -> None:
    for service in (TaskService, AssetService, Jobs, Uploads):  # SubmissionService: only makes
        for name, _ in inspect.getmembers(service, inspect.isfunction):
            full = f"{service.__name__}.{name}"
            assert name.startswith("_") or full in CALLS or full in MAKING, full


def test_what_has_a_caller_is_kept_nowhere() -> None:
    """Parts are shared by all callers: what one caller has is made when it is asked for."""
    shared = [Gateway]
    while shared:
        parts = shared.pop()
        hints = get_type_hints(parts)
        for field in fields(parts):
            kind = hints[field.name]
            assert kind not in BOUND, f"{parts.__name__}.{field.name}"
            if inspect.isclass(kind) and kind.__name__.endswith("Parts"):
                shared.append(kind)
