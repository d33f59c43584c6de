"""Idempotency keys, a full queue, batches, and what a task may expect."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from app.api.requests import RunRequest
from app.scheduler.presenter import TaskPresenter
from app.settings import Settings
from app.workflows.requirements import Needs
from fake_comfyui.server import DemoServer
from scripts.docs.reference import inlined
from tests.conftest import RunningGateway, model_free, over, run_gateway, text_to_image, wait_until

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]
SUBMIT = "/api/workflow/submit"


# -- idempotency --------------------------------------------------------------------------------


async def test_the_same_key_and_body_make_one_task(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    headers, body = {"Idempotency-Key": "k1"}, {"workflow": model_free()}
    answers = await asyncio.gather(
        *(gateway.http.post(SUBMIT, json=body, headers=headers) for _ in range(5))
    )
    assert {answer.status_code for answer in answers} <= {200, 202}
    assert len({answer.json()["task_id"] for answer in answers}) == 1
    task_id = answers[0].json()["task_id"]
    await gateway.until(task_id, "succeeded")
    late = await gateway.http.post(SUBMIT, json=body, headers=headers)
    assert (late.status_code, late.json()["task_id"]) == (200, task_id)
    assert len(demo.records.prompts) == 1


async def test_a_key_with_another_body_is_refused(gateway: RunningGateway) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await gateway.http.post(SUBMIT, json=model_free(1), headers=headers)
    other = await gateway.http.post(SUBMIT, json=model_free(2), headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len((await gateway.http.get("/api/tasks")).json()["tasks"]) == 1
    waiting = await gateway.http.post(f"{SUBMIT}?wait=60", json=model_free(1), headers=headers)
    assert waiting.json()["task_id"] == first.json()["task_id"], "to wait is no other request"
    server = gateway.gateway.pool.online()[0].id
    there = await gateway.http.post(
        f"{SUBMIT}?server={server}", json=model_free(1), headers=headers
    )
    assert there.status_code == 422


async def test_a_key_of_a_refused_request_is_free_again(gateway: RunningGateway) -> None:
    headers = {"Idempotency-Key": "k1"}
    bad = await gateway.http.post(SUBMIT, json={"workflow": {}}, headers=headers)
    assert bad.status_code == 422
    good = await gateway.http.post(SUBMIT, json=model_free(), headers=headers)
    assert good.status_code == 202


async def test_a_batch_has_a_key_too(gateway: RunningGateway) -> None:
    headers, body = (
        {"Idempotency-Key": "b"},
        {"workflow": model_free(), "batch": {"1.color": [1, 2]}},
    )
    first, again = [await gateway.http.post(SUBMIT, json=body, headers=headers) for _ in range(2)]
    assert first.json()["batch_id"] == again.json()["batch_id"]
    assert [t["task_id"] for t in first.json()["tasks"]] == [
        t["task_id"] for t in again.json()["tasks"]
    ]


@pytest.mark.parametrize("gone", [[0], [1], [2, 0], [0, 1]])
async def test_the_key_of_a_batch_is_kept_while_some_of_it_is_left(
    settings_for: MakeSettings, demo: DemoServer, url: str, gone: list[int]
) -> None:
    async with over(settings_for, demo, database_url=url) as gateway:
        http, headers = gateway.http, {"Idempotency-Key": "b"}
        body = {"workflow": model_free(), "batch": {"1.color": [1, 2, 3]}}
        ask = partial(http.post, f"{SUBMIT}?wait=60", json=body, headers=headers)
        batch = (await ask()).json()
        ids = [task["task_id"] for task in batch["tasks"]]
        for at in gone:
            assert (await http.delete(f"/api/task/{ids[at]}")).status_code == 204
        left = [task_id for at, task_id in enumerate(ids) if at not in gone]
        again = (await ask()).json()
        assert again["batch_id"] == batch["batch_id"]
        assert [task["task_id"] for task in again["tasks"]] == left
        await http.post("/api/history/delete", json={"task_ids": left})
        assert (await ask()).json()["batch_id"] != batch["batch_id"], "all is gone: it is free"
        assert len(demo.records.prompts) == 6


async def test_a_key_is_free_when_all_of_a_batch_is_deleted_at_once(
    settings_for: MakeSettings, demo: DemoServer, url: str
) -> None:
    async with over(settings_for, demo, database_url=url) as gateway:
        body = {"workflow": model_free(), "batch": {"1.color": [1, 2, 3, 4]}}
        for number in range(8):
            ask = partial(
                gateway.http.post,
                f"{SUBMIT}?wait=60",
                json=body,
                headers={"Idempotency-Key": f"{number}"},
            )
            batch = (await ask()).json()
            ids = [task["task_id"] for task in batch["tasks"]]
            await asyncio.gather(*(gateway.http.delete(f"/api/task/{id}") for id in ids))
            again = await ask()
            assert again.status_code == 200, again.text
            assert again.json()["batch_id"] != batch["batch_id"]


# -- a full queue -------------------------------------------------------------------------------


async def test_a_full_queue_says_when_to_come_again(
    settings_for: MakeSettings, demo: DemoServer
) -> None:
    demo.knobs.stall = True
    async with run_gateway(settings_for(demo.address, max_queued=4, slots=1)) as gateway:
        await gateway.online()
        await gateway.until((await gateway.submit(model_free(8), wait=0))["task_id"], "running")
        tasks = [await gateway.submit(model_free(n), wait=0) for n in range(4)]
        answer = await gateway.http.post(SUBMIT, json=model_free(9))
        assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        body = {"workflow": model_free(), "batch": {"1.color": [1, 2]}}
        assert (await gateway.http.post(SUBMIT, json=body)).status_code == 429, "all or none"
        await gateway.http.post(f"/api/task/{tasks[3]['task_id']}/cancel")
        assert (await gateway.http.post(SUBMIT, json=model_free(9))).status_code == 202


# -- batches ------------------------------------------------------------------------------------


async def test_a_batch_from_submit_to_end(gateway: RunningGateway) -> None:
    body = {
        "workflow": text_to_image(steps=1),
        "params": {"width": 32},
        "batch": {"seed": [1, 2, 3], "prompt": ["a cat", "a dog"]},
    }
    answer = await gateway.http.post(f"{SUBMIT}?wait=60", json=body)
    batch = answer.json()
    assert (answer.status_code, batch["total"], batch["finished"]) == (200, 6, True)
    assert answer.headers["location"] == f"/api/batch/{batch['batch_id']}"
    assert batch["counts"] == {"succeeded": 6}
    params = [(t["params"]["seed"], t["params"]["prompt"]) for t in batch["tasks"]]
    assert params == [(seed, text) for seed in (1, 2, 3) for text in ("a cat", "a dog")]
    assert all(task["params"]["width"] == 32 for task in batch["tasks"])
    assert (await gateway.http.get(f"/api/batch/{batch['batch_id']}")).json() == batch
    listed = await gateway.http.get("/api/tasks", params={"batch_id": batch["batch_id"]})
    assert len(listed.json()["tasks"]) == 6


async def test_a_batch_is_looked_at_once(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its tasks need is written once, and each is shown once."""
    dumped, shown = [], []
    dump, view = Needs.dump, TaskPresenter.view
    monkeypatch.setattr(Needs, "dump", lambda *a: dumped.append(a) or dump(*a))
    monkeypatch.setattr(TaskPresenter, "view", lambda *a: shown.append(a[1].task_id) or view(*a))
    body = {"workflow": model_free(), "batch": {"1.color": [1, 2, 3]}}
    batch = (await gateway.http.post(SUBMIT, json=body)).json()
    assert len(dumped) == 1
    assert [shown.count(task["task_id"]) for task in batch["tasks"]] == [1, 1, 1]


async def test_random_seeds_of_a_batch_differ(gateway: RunningGateway) -> None:
    batch = await gateway.submit(text_to_image(steps=1), batch={"seed": [-1, -1, -1]})
    assert len({task["params"]["seed"] for task in batch["tasks"]}) == 3


async def test_a_batch_is_canceled_together(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.stall = True
    alone = await gateway.submit(model_free(9), wait=0)
    batch = await gateway.submit(model_free(), wait=0, batch={"1.color": list(range(5))})
    answer = await gateway.http.post(f"/api/batch/{batch['batch_id']}/cancel")
    assert answer.status_code == 200

    async def over() -> bool:
        found = (await gateway.http.get(f"/api/batch/{batch['batch_id']}")).json()
        return bool(found["finished"] and found["counts"] == {"canceled": 5})

    await wait_until(over)
    demo.knobs.stall = False
    assert (await gateway.until(alone["task_id"], "succeeded", "canceled"))["error"] is None


async def test_one_bad_value_queues_nothing(gateway: RunningGateway) -> None:
    body = {"workflow": text_to_image(), "batch": {"steps": [1, 2, "many"]}}
    answer = await gateway.http.post(SUBMIT, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
    assert (await gateway.http.get("/api/tasks")).json()["tasks"] == []
    missing = await gateway.http.get("/api/batch/none")
    assert (missing.status_code, missing.json()["code"]) == (404, "batch_not_found")


# -- what to expect -----------------------------------------------------------------------------

at = datetime.fromisoformat


async def test_eta_and_position_are_learnt(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.step_seconds = 0.1
    first = await gateway.submit(text_to_image(steps=5), wait=0)
    assert first["eta_seconds"] is None, "nothing is known yet"
    await gateway.until(first["task_id"], "succeeded")
    demo.knobs.step_seconds = 60  # none of the others ends meanwhile
    tasks = [await gateway.submit(text_to_image(steps=5, seed=n), wait=0) for n in range(2, 8)]
    found = [await gateway.task(task["task_id"]) for task in tasks]
    etas = [task["eta_seconds"] for task in found]
    assert all(eta is not None for eta in etas)
    waiting = [task for task in found if task["queue_position"] and not task["server"]]
    assert len(waiting) >= 3
    assert [t["queue_position"] for t in waiting] == sorted(t["queue_position"] for t in waiting)
    assert [t["eta_seconds"] for t in waiting] == sorted(t["eta_seconds"] for t in waiting)
    assert waiting[-1]["eta_seconds"] > waiting[0]["eta_seconds"]
    # Each of those before it is expected to take what the first took, however fast the machine is.
    done = await gateway.task(first["task_id"])
    took = (at(done["finished_at"]) - at(done["started_at"])).total_seconds()
    assert took * len(waiting) / 2 < waiting[-1]["eta_seconds"] < took * len(tasks) * 2


async def test_what_was_learnt_outlives_a_restart(
    settings_for: MakeSettings, demo: DemoServer
) -> None:
    settings = settings_for(demo.address)
    async with run_gateway(settings) as gateway:
        await gateway.online()
        await gateway.submit(text_to_image(steps=2))
    async with run_gateway(settings) as gateway:
        await gateway.online()
        demo.knobs.stall = True
        task = await gateway.submit(text_to_image(steps=2, seed=5), wait=0)
        assert (await gateway.task(task["task_id"]))["eta_seconds"] is not None


async def test_null_in_an_optional_field_is_as_absent(gateway: RunningGateway) -> None:
    openapi = (await gateway.http.get("/openapi.json")).json()
    fields = RunRequest.model_fields
    assert len(fields) > 10
    body = {"workflow": model_free(), **dict.fromkeys(fields)}
    answer = await gateway.http.post(f"{SUBMIT}?wait=60", json=body)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["params"], answer.json()["metadata"]) == ({}, {})
    wrong = await gateway.http.post(SUBMIT, json={**body, "parms": None})
    assert wrong.status_code == 422
    body = openapi["paths"][SUBMIT]["post"]["requestBody"]
    assert "null" in str(inlined(body, openapi["components"]["schemas"]))


async def test_a_fault_of_a_webhook_is_told_of_the_form_that_was_sent(
    gateway: RunningGateway,
) -> None:
    for webhook, field in (({"url": "http://a", "events": []}, "webhook.events"), (5, "webhook")):
        answer = await gateway.http.post(
            SUBMIT, json={"workflow": model_free(), "webhook": webhook}
        )
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == [field], answer.text
