"""The queue on both databases: order, claims, leases, fencing."""

import asyncio
import time
from collections.abc import Sequence
from itertools import permutations
from types import SimpleNamespace
from urllib.parse import parse_qsl
from uuid import uuid4

import pytest
from sqlalchemy import update

from app.db import task_time
from app.db.claimed import Claim
from app.db.claims import Claims
from app.db.engine.database import Database, open_database
from app.db.engine.postgresql import Unreachable
from app.db.idempotency import IdempotencyKey
from app.db.lease import Lease
from app.db.queue import Queue
from app.db.run_steps import LostClaim
from app.db.tables import tasks
from app.db.task_filters import Selection
from app.db.tasks import TaskRepository
from app.errors import TaskNotFound
from app.tasks.model import (
    Assignment,
    Attempt,
    CancelReason,
    NewTask,
    Output,
    Progress,
    Status,
    Task,
    WaitingTask,
)
from app.tasks.outcome import Succeeded
from app.tasks.view import output_view
from app.tasks.webhook import Webhook
from app.workflows.requirements import Needs, requirements_of
from tests import services

PROMPT = {"1": {"class_type": "A", "inputs": {"text": "nul \x00, emoji \U0001f98a"}}}


class Process:
    """What one gateway process has of the store."""

    def __init__(self, database: Database, runner_id: str = "me", lease: float = 60) -> None:
        self.queue = Queue(database, Lease(runner_id, lease))
        self.claims = Claims(database, Lease(runner_id, lease))

    async def claim(self, server: str = "s") -> Claim | None:
        """The next task for a server: what is there already, or else the first that waits."""

        chosen: list[Assignment] = []

        def choose(waiting: Sequence[WaitingTask]) -> list[Assignment]:
            fits = [task for task in waiting if task.wanted_server in (None, server)]
            chosen[:] = [Assignment(task.seq, server) for task in fits[:1]]
            return chosen

        claims = await self.queue.take_over([server])
        while not claims:
            claims, _ = await self.queue.assign(lambda held: ((), choose))
            if not claims and not chosen:
                return None
        return claims[0]  # if there are none, another process was faster: once more


async def add(store: TaskRepository, **fields: object) -> Task:
    new = NewTask(task_id=str(uuid4()), prompt=PROMPT, **fields)  # type: ignore[arg-type]
    return (await store.add([new]))[0]


async def take(queue: Process, server: str = "s") -> Claim:
    claim = await queue.claim(server)
    assert claim is not None
    return claim


async def test_a_task_comes_back_as_it_was(store: TaskRepository) -> None:
    task = await add(
        store, params={"1.text": "\x00"}, metadata={"a": [1, None]}, timeout=1.5, filename="f.json"
    )
    assert await store.get(task.task_id) == task
    assert await store.prompt(task.task_id) == PROMPT
    assert (task.status, task.params, task.metadata) == (
        Status.QUEUED,
        {"1.text": "\x00"},
        {"a": [1, None]},
    )
    with pytest.raises(TaskNotFound):
        await store.get("nope")


async def test_a_claimed_task_has_its_own_webhook(
    database: Database, store: TaskRepository
) -> None:
    another = Webhook("https://another.example/hook", events=("task.failed",))
    await add(store, webhooks=[another], owner="another")
    for webhook in (Webhook("https://own.example/hook", events=("task.succeeded",)), None):
        task = await add(store, webhooks=[webhook] if webhook else [], priority=9, owner="own")
        claim = await take(Process(database))
        assert claim.task.task_id == task.task_id
        assert claim.task.webhook == task.webhook == (await store.get(task.task_id)).webhook
        assert (task.webhook is None) is (webhook is None)


async def test_priority_then_age(database: Database, store: TaskRepository) -> None:
    first, second = await add(store), await add(store)
    urgent, last = await add(store, priority=5), await add(store, priority=-1)
    order = [urgent, first, second, last]
    places = [(await store.get(task.task_id)).queue_position for task in order]
    assert [place and place.position for place in places] == [1, 2, 3, 4]
    queue = Process(database)
    assert [(await take(queue)).task.task_id for _ in range(4)] == [t.task_id for t in order]
    assert await queue.claim("s") is None


async def test_a_wish_for_a_server(database: Database, store: TaskRepository) -> None:
    await add(store, requirements=requirements_of(Needs(), "b"))
    queue = Process(database)
    assert await queue.claim("a") is None
    assert (await take(queue, "b")).task.server == "b"


async def test_two_never_get_the_same(database: Database, store: TaskRepository) -> None:
    for _ in range(20):
        await add(store)
    queues = [Process(database, f"owner {n}") for n in range(4)]
    found = await asyncio.gather(*(queue.claim("s") for queue in queues for _ in range(5)))
    taken = [claim.task.task_id for claim in found if claim]
    assert len(taken) == len(set(taken)) == 20


async def test_what_a_key_made_before_brings_no_new_route(
    database: Database, store: TaskRepository
) -> None:
    first, again, other = [
        NewTask(str(uuid4()), PROMPT, requirements=requirements_of(Needs(), wanted))
        for wanted in (None, "s", "s")
    ]
    for new in (first, again):
        (added,) = await store.add([new], IdempotencyKey("once", "the same"))
        assert added.task_id == first.task_id
    await store.add([other])
    queue = Process(database)
    found = {(await take(queue)).task.task_id for _ in range(2)}
    assert found == {first.task_id, other.task_id}


async def test_a_lapsed_lease_is_taken_over(database: Database, store: TaskRepository) -> None:
    await add(store)
    dead, alive = Process(database, "dead", lease=-1), Process(database, "alive")
    claim = await take(dead)
    task_id = claim.task.task_id
    await dead.claims.submitted(claim.task, client_id="c", attempts=[Attempt("s", 1.0)])
    assert await alive.claim("other server") is None
    taken = await take(alive)
    assert (taken.task.task_id, taken.task.client_id) == (task_id, "c")
    assert taken.task.attempts == (Attempt("s", 1.0),)
    with pytest.raises(LostClaim):
        await dead.claims.started(claim.task, 2.0)
    with pytest.raises(LostClaim):
        await dead.claims.add_output(task_id, Output("1", "image"))
    with pytest.raises(LostClaim):
        await dead.claims.settle(claim.task, Succeeded(), [])
    assert (await store.get(task_id)).status is Status.QUEUED


async def test_a_heartbeat_keeps_the_lease(database: Database, store: TaskRepository) -> None:
    await add(store)
    mine, other = Process(database, "mine", lease=-1), Process(database, "other")
    await take(mine)
    await Process(database, "mine", lease=60).claims.renew()
    assert await other.claim("s") is None
    assert await mine.claim("s") is None, "late or not, our own is not claimed again"


async def test_the_life_of_a_task(database: Database, store: TaskRepository) -> None:
    await add(store)
    queue = Process(database)
    task = (await take(queue)).task
    await queue.claims.submitted(task, client_id="c", attempts=[])
    running = await queue.claims.started(task, 5.0)
    assert (running.status, running.started_at) == (Status.RUNNING, 5.0)
    assert (await queue.claims.started(task, 9.0)).started_at == 5.0
    await queue.claims.save_progress({task.task_id: Progress(value=0.5)})
    assert (await store.get(task.task_id)).progress.value == 0.5
    await queue.claims.add_output(task.task_id, Output("9", "image", "a.png", key="k"))
    assert (
        await queue.claims.settle(running, Succeeded(), [Attempt("s", 1.0, 2.0)])
    ).status is Status.SUCCEEDED
    done = await store.get(task.task_id)
    assert done.status is Status.SUCCEEDED
    assert done.runner_id is None
    assert done.attempts == (Attempt("s", 1.0, 2.0),)
    assert [output.filename for output in done.outputs] == ["a.png"]
    found = await store.find_output("a.png")
    assert found is not None
    assert found.key == "k"
    assert await store.find_output("a.png", task_id="other") is None
    with pytest.raises(LostClaim):
        await queue.claims.started(task, 1.0)


PLACES = [("", "output"), ("", "temp"), ("a b", "output"), ("a b", "temp")]


async def test_the_url_of_each_result_leads_to_it(
    database: Database, store: TaskRepository
) -> None:
    """Of one name, wherever the others are and whichever came first."""
    queue = Process(database)
    for places in permutations(PLACES):
        await add(store)
        task_id = (await take(queue)).task.task_id
        for subfolder, type_ in places:
            key = f"{task_id}/{subfolder}/{type_}"
            output = Output("9", "image", "x.png", subfolder, type_, key=key)
            await queue.claims.add_output(task_id, output)
        for output in (await store.get(task_id)).outputs:
            path, _, query = str(output_view(task_id, output)["url"]).partition("?")
            found = await store.find_output(path.rpartition("/")[2], **dict(parse_qsl(query)))
            assert found == output


@pytest.mark.parametrize("canceling", [False, True])
async def test_back_into_the_queue(
    database: Database, store: TaskRepository, canceling: bool
) -> None:
    await add(store)
    queue = Process(database)
    task = (await take(queue)).task
    await queue.claims.submitted(task, client_id="c", attempts=[])
    if canceling:
        await store.request_cancel(task.task_id)
    lost = await queue.claims.requeue(task.task_id, [])
    assert lost.status is (Status.CANCELED if canceling else Status.QUEUED)
    assert (lost.server, lost.submitted_at, lost.runner_id) == (None, None, None)
    assert (lost.client_id, lost.sent_as) == (None, None), "who sent it has nothing to do with it"


@pytest.mark.parametrize("stands_still", [False, True])
@pytest.mark.parametrize("priority", [0, 3, -3])
async def test_behind_what_waits(
    database: Database,
    store: TaskRepository,
    monkeypatch: pytest.MonkeyPatch,
    priority: int,
    stands_still: bool,
) -> None:
    if stands_still:
        stop_clock(monkeypatch)
    first, second = [await add(store, priority=priority) for _ in range(2)]
    await grow_older(database, 1000)  # a wait counts once, however often it comes back
    queue = Process(database)
    task = (await take(queue)).task
    assert task.task_id == first.task_id
    await queue.claims.requeue(task.task_id, [], behind=True)
    assert [(await take(queue)).task.task_id for _ in range(2)] == [second.task_id, first.task_id]
    for _ in range(3):
        before = await add(store, priority=priority)
        await queue.claims.requeue(task.task_id, [], behind=True)
        after = await add(store, priority=priority)
        order = [(await take(queue)).task.task_id for _ in range(3)]
        assert order == [before.task_id, first.task_id, after.task_id]


def stop_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tasks of this test come at one time, as those of 1/64 s do on Windows."""
    now = time.time()
    monkeypatch.setattr(task_time, "time", SimpleNamespace(time=lambda: now))


async def grow_older(database: Database, seconds: float) -> None:
    """All tasks, as if they had come so many seconds before."""
    earlier = {"created_at": tasks.c.created_at - seconds, "rank": tasks.c.rank - seconds}
    await database.write(lambda connection: connection.execute(update(tasks).values(earlier)))


async def test_cancel_in_each_state(database: Database, store: TaskRepository) -> None:
    queue = Process(database)
    waiting = await add(store)
    assert (await store.request_cancel(waiting.task_id)).status is Status.CANCELED
    claimed = await add(store)
    await take(queue)
    assert (await store.request_cancel(claimed.task_id)).status is Status.CANCELING
    canceling = await queue.claims.started(claimed, 1.0)
    assert canceling.status is Status.CANCELING
    done = await queue.claims.settle(canceling, Succeeded(), [])
    assert done.status is Status.SUCCEEDED, "the cancel came too late"
    assert (await store.request_cancel(claimed.task_id)).status is Status.SUCCEEDED


async def test_handing_back(database: Database, store: TaskRepository) -> None:
    there, not_yet, unwanted = [await add(store) for _ in range(3)]
    queue, other = Process(database, "going"), Process(database, "staying")
    for _ in range(3):
        await take(queue)
    await queue.claims.submitted(there, client_id="c", attempts=[])
    await store.request_cancel(unwanted.task_id)
    await queue.claims.hand_back()
    assert (await store.get(unwanted.task_id)).status is Status.CANCELED
    assert (await take(other, "elsewhere")).task.task_id == not_yet.task_id
    assert await other.claim("elsewhere") is None
    taken = (await take(other, "s")).task
    assert (taken.task_id, taken.sent_as) == (there.task_id, "c")


async def test_orphans(database: Database, store: TaskRepository) -> None:
    await add(store)
    queue, other = Process(database, "going"), Process(database, "staying")
    task = (await take(queue, "gone")).task
    await queue.claims.submitted(task, client_id="c", attempts=[])
    assert await other.queue.adopt(keep_servers=[]) == [], "its owner lives"
    await queue.claims.hand_back()
    assert await other.queue.adopt(keep_servers=["gone"]) == []
    (adopted,) = [claim.task for claim in await other.queue.adopt(keep_servers=["else"])]
    assert (adopted.task_id, adopted.server) == (task.task_id, "gone")
    assert await other.queue.runner_ids() == ["staying"]


async def test_pages(database: Database, store: TaskRepository) -> None:
    tasks = [await add(store) for _ in range(5)]
    newest = await store.page(limit=2)
    assert [task.task_id for task in newest] == [tasks[4].task_id, tasks[3].task_id]
    rest = await store.page(limit=10, before=newest[-1].seq)
    assert [task.task_id for task in rest] == [task.task_id for task in tasks[2::-1]]
    await store.request_cancel(tasks[0].task_id, CancelReason.REQUEST)
    canceled = await store.page(Selection(statuses=[Status.CANCELED]))
    assert [task.task_id for task in canceled] == [tasks[0].task_id]
    assert [task.task_id for task in await store.queue()] == [task.task_id for task in tasks[1:]]


async def test_only_finished_tasks_are_deleted(database: Database, store: TaskRepository) -> None:
    kept, gone = await add(store), await add(store)
    await store.request_cancel(gone.task_id)
    assert await store.delete([kept.task_id, gone.task_id]) == [gone.task_id]
    assert await store.ids_of([kept.task_id, gone.task_id]) == {kept.task_id}
    with pytest.raises(TaskNotFound):
        await store.prompt(gone.task_id)


async def test_a_database_that_does_not_answer_is_said_as_such() -> None:
    services.package("asyncpg")
    with pytest.raises(Unreachable, match="cannot be reached"):
        await open_database("postgresql://postgres@127.0.0.1:9/none", patience=0)


async def test_claims_come_in_the_order_of_the_queue(
    store: TaskRepository, database: Database
) -> None:
    tasks = [await add(store, priority=priority) for priority in (-5, 0, 5)]

    def choose(waiting: Sequence[WaitingTask]) -> list[Assignment]:
        return [Assignment(task.seq, "s") for task in waiting]

    claims, _ = await Process(database).queue.assign(lambda held: ((), choose))
    assert [claim.task.task_id for claim in claims] == [task.task_id for task in reversed(tasks)]
