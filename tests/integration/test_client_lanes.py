"""Tasks of one client of ComfyUI's own protocol run one after the other, on both databases."""

from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from typing import Any

import pytest

from app.db.client_lanes import MOST_CROWDED
from app.db.engine.database import Database
from app.db.queue import MAX_CANDIDATES, Left
from app.db.tasks import TaskRepository
from app.settings import Settings
from app.tasks.model import Assignment, Attempt, Task, WaitingTask
from app.tasks.outcome import Succeeded
from app.workflows.requirements import Needs, requirements_of
from fake_comfyui.server import DemoServer
from tests import native_tasks
from tests.conftest import model_free, over, text_to_image
from tests.integration.test_claims import Process, add
from tests.native_tasks import native_prompt

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]

OTHER = requirements_of(Needs(frozenset({"Other"})))


async def of(store: TaskRepository, client: str, **fields: object) -> Task:
    return await add(store, native=native_prompt(client), **fields)


async def given(
    process: Process, slots: int = 10, passed_over: Collection[str] = ()
) -> tuple[list[str], Left]:
    """The ids of what a claim gives out, in their order, and what it leaves."""

    def choose(waiting: Sequence[WaitingTask]) -> list[Assignment]:
        return [Assignment(task.seq, "s") for task in waiting[:slots]]

    claims, left = await process.queue.assign(lambda held: (passed_over, choose))
    return [claim.task.task_id for claim in claims], left


async def end(process: Process, store: TaskRepository, task_id: str) -> None:
    await process.claims.settle(await store.get(task_id), Succeeded(), [])


async def test_one_of_a_lane_at_a_time_in_order(database: Database, store: TaskRepository) -> None:
    process = Process(database)
    one = [await of(store, "a") for _ in range(3)]
    other, plain = await of(store, "b"), await add(store)
    first = [one[0].task_id, other.task_id, plain.task_id]
    assert await given(process) == (first, Left.UNFIT)
    assert await given(process) == ([], Left.UNFIT)
    await end(process, store, other.task_id)
    assert await given(process) == ([], Left.UNFIT)
    for before, after in pairwise(one):
        await end(process, store, before.task_id)
        assert (await given(process))[0] == [after.task_id]


async def test_as_many_as_the_setting_says(database: Database, store: TaskRepository) -> None:
    process = Process(database)
    process.queue.in_lane = 2
    made = [await of(store, "a") for _ in range(4)]
    assert (await given(process))[0] == [task.task_id for task in made[:2]]
    await end(process, store, made[1].task_id)
    assert (await given(process))[0] == [made[2].task_id]
    assert (await given(process))[0] == []


async def test_without_a_client_there_is_no_lane(database: Database, store: TaskRepository) -> None:
    made = [await add(store, native=native_prompt(None)) for _ in range(3)]
    assert await given(Process(database)) == ([task.task_id for task in made], Left.NOTHING)


@pytest.mark.parametrize("behind", [False, True])
async def test_one_that_is_queued_again_stays_before_the_later_ones(
    database: Database, store: TaskRepository, behind: bool
) -> None:
    process = Process(database)
    made = [await of(store, "a") for _ in range(2)]
    await given(process)
    await process.claims.requeue(made[0].task_id, [Attempt("s", 1.0, 2.0, "lost")], behind=behind)
    assert (await given(process))[0] == [made[0].task_id]


async def test_one_that_waits_for_a_busy_server_is_not_passed_by_the_next(
    database: Database, store: TaskRepository
) -> None:
    """Unless no server accepts it at present: that may take days."""
    process = Process(database)
    made = [await of(store, "a", requirements=OTHER), await of(store, "a")]
    other = await of(store, "b")
    busy = [OTHER.requirements_id]
    assert await given(process, passed_over=busy) == ([other.task_id], Left.UNFIT)
    process.queue.note_stuck(busy)
    assert (await given(process, passed_over=busy))[0] == [made[1].task_id]
    process.queue.note_stuck([])
    await end(process, store, made[1].task_id)
    assert (await given(process))[0] == [made[0].task_id]


async def test_those_behind_a_crowd_are_given_out_at_once(
    database: Database, store: TaskRepository
) -> None:
    """Also behind several ones, and in the order of the queue."""
    process = Process(database)
    crowds = [[await of(store, client) for _ in range(MAX_CANDIDATES + 1)] for client in ("a", "b")]
    plain = await add(store)
    found, _ = await given(process)
    assert found == [crowds[0][0].task_id, crowds[1][0].task_id, plain.task_id]
    assert len(crowds) <= MOST_CROWDED


async def test_replicas_keep_to_it_and_to_the_order(
    database: Database, store: TaskRepository
) -> None:
    one, other = Process(database, "host:1:one"), Process(database, "host:2:other")
    made = [await of(store, "a") for _ in range(3)]
    assert (await given(one))[0] == [made[0].task_id]
    assert (await given(other))[0] == []
    await one.claims.hand_back()  # it had not been sent
    assert (await given(other))[0] == [made[0].task_id]
    task = await store.get(made[0].task_id)
    await other.claims.submitted(task, client_id="c", attempts=[])
    await other.claims.hand_back()  # it is on its server
    assert (await given(one))[0] == []
    (claim,) = await one.queue.take_over(["s"])
    await end(one, store, claim.task.task_id)
    assert (await given(other))[0] == [made[1].task_id]


async def test_a_canceled_one_makes_room(database: Database, store: TaskRepository) -> None:
    process = Process(database)
    made = [await of(store, "a") for _ in range(3)]
    await store.request_cancel(made[0].task_id)
    assert (await given(process))[0] == [made[1].task_id]


async def test_two_servers_take_turns_with_one_client(settings_for: MakeSettings, url: str) -> None:
    """The others do not wait for it, and it is told why its tasks wait."""
    async with (
        DemoServer(step_seconds=0) as one,
        DemoServer(step_seconds=0) as other,
        over(settings_for, one, other, database_url=url) as gateway,
    ):
        one.knobs.stall = other.knobs.stall = True
        made = [await native_tasks.submit(gateway, model_free(color)) for color in range(4)]
        first = await gateway.until(made[0].task_id, "running")
        plain = await gateway.submit(text_to_image(), wait=0)
        assert (await gateway.until(plain["task_id"], "running"))["server"] != first["server"]
        waiting = await gateway.task(made[1].task_id)
        assert (waiting["status"], waiting["server"]) == ("queued", None)
        assert "another task of its client" in waiting["waiting_for"]
        assert waiting["eta_seconds"] is None
        one.knobs.stall = other.knobs.stall = False
        ended = [await gateway.until(task.task_id, "succeeded") for task in made]
        for before, after in pairwise(ended):
            assert before["finished_at"] <= after["attempts"][0]["started_at"]


async def test_a_task_tells_its_client_and_lists_are_found_by_it(
    settings_for: MakeSettings, url: str, demo: DemoServer
) -> None:
    async with over(settings_for, demo, database_url=url) as gateway:
        made = {
            client: (await native_tasks.submit(gateway, model_free(), client=client)).task_id
            for client in ("krita", "Krita", None)
        }
        await gateway.submit(model_free())

        async def found(**query: str) -> list[tuple[str, str | None]]:
            told = (await gateway.http.get("/api/tasks", params=query)).json()["tasks"]
            return [(task["task_id"], task["client_id"]) for task in told]

        assert await found(client_id="krita") == [(made["krita"], "krita")]
        assert await found(client_id="nobody") == []
        assert {client for _, client in await found(q="krita")} == {"krita", "Krita"}
        assert len(await found()) == 4
        assert (await gateway.task(made[None]))["client_id"] is None
        again = await gateway.http.post(f"/api/task/{made['krita']}/retry?wait=60")
        assert again.json()["client_id"] is None
