"""What a client of ComfyUI's own protocol stops: what waits, and at most one that runs."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.services import native_queue
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, text_to_image, wait_until
from tests.keyholders import guarded

Json = dict[str, Any]
SettingsFor = Callable[..., Settings]


@pytest.fixture
async def demo() -> AsyncIterator[DemoServer]:
    async with DemoServer(step_seconds=0.05) as server:
        yield server


@pytest.fixture
async def both(
    demo: DemoServer, settings_for: SettingsFor, url: str
) -> AsyncIterator[RunningGateway]:
    """A gateway over two servers, with each kind of database."""
    async with (
        DemoServer(step_seconds=0.05) as other,
        over(settings_for, demo, other, database_url=url, slots=1) as running,
    ):
        yield running


async def post(http: httpx.AsyncClient, seed: int, client_id: str | None = None) -> str:
    """The id of a prompt that runs for long."""
    body = {"prompt": text_to_image(steps=1000, seed=seed), "client_id": client_id}
    answer = await http.post("/prompt", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["prompt_id"])


async def queue(http: httpx.AsyncClient) -> tuple[list[str], list[str]]:
    """The ids of running and pending prompts."""
    found = (await http.get("/queue")).json()
    return tuple([row[1] for row in found[name]] for name in ("queue_running", "queue_pending"))  # type: ignore[return-value]


async def running(http: httpx.AsyncClient, *ids: str) -> None:
    async def are() -> bool:
        return set(ids) <= set((await queue(http))[0])

    await wait_until(are)


async def ended(http: httpx.AsyncClient, prompt_id: str) -> Json:
    async def entry() -> Json | None:
        found: Json = (await http.get(f"/history/{prompt_id}")).json()
        return found.get(prompt_id)

    return await wait_until(entry)


def interrupted(entry: Json) -> bool:
    status = entry["status"]
    assert (status["status_str"], status["completed"]) == ("error", False)
    kind, data = status["messages"][-1]
    assert {"prompt_id", "node_id", "node_type", "executed", "timestamp"} <= data.keys()
    return bool(kind == "execution_interrupted")


async def test_what_waits_is_deleted_and_what_runs_goes_on(both: RunningGateway) -> None:
    http = both.http
    ids = [await post(http, seed) for seed in range(6)]
    await running(http, ids[0])
    at_work, waiting = await queue(http)
    assert sorted([*at_work, *waiting]) == sorted(ids)
    gone = waiting[:2]
    answer = await http.post("/queue", json={"delete": [*gone, at_work[0], "nope", 5]})
    assert answer.status_code == 200
    for prompt_id in gone:
        assert interrupted(await ended(http, prompt_id)), "it is in the history from now on"
    assert set(at_work) <= set((await queue(http))[0])
    await http.post("/queue", json={"clear": True})
    for prompt_id in waiting[2:]:
        assert interrupted(await ended(http, prompt_id))
    assert set(at_work) <= set((await queue(http))[0])
    assert (await http.post("/queue", json={"delete": "abc"})).status_code == 200


async def test_an_interrupt_stops_one_at_most(both: RunningGateway) -> None:
    http = both.http
    first, second = await post(http, 1, "one"), await post(http, 2, "two")
    await running(http, first, second)
    await http.post("/interrupt", json={"prompt_id": "0e499658-607f-41b3-a014-ffc56ac0f255"})
    assert len((await queue(http))[0]) == 2
    await http.post("/interrupt", json={"client_id": "two"})
    assert interrupted(await ended(http, second))
    assert (await queue(http))[0] == [first]
    third = await post(http, 3, "three")
    await running(http, third)
    await http.post("/queue", json={"delete": [third]})
    await http.post("/interrupt", content=b"no JSON")
    assert interrupted(await ended(http, third)), "the one that it tried to delete"
    assert (await queue(http))[0] == [first]
    await http.post("/interrupt")
    assert interrupted(await ended(http, first)), "the only one from here"


async def test_what_ended_after_its_delete_keeps_no_other_one_from_an_interrupt(
    both: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It only does so for a moment, in which the two calls of one cancel come."""
    http = both.http
    first, second = await post(http, 1, "one"), await post(http, 2, "two")
    await running(http, first, second)
    await http.post("/queue", json={"delete": [first]})
    await http.post("/interrupt", json={"prompt_id": first})
    await ended(http, first)
    monkeypatch.setattr(native_queue, "AT_ONCE", 1000.0)
    await http.post("/interrupt")
    assert (await queue(http))[0] == [second]
    monkeypatch.setattr(native_queue, "AT_ONCE", 0.0)
    await http.post("/interrupt")
    assert interrupted(await ended(http, second))


async def test_numbers_are_counted_for_each_caller(
    settings_for: SettingsFor, tmp_path: Path, demo: DemoServer
) -> None:
    """One counter for all would tell each how many prompts the others have."""
    keys: dict[str, str | Json] = {"alice": "run", "bob": "run"}
    async with guarded(settings_for, tmp_path, demo, keys=keys) as gate:
        alice, bob = await gate.client("alice"), await gate.client("bob")
        for http, number in ((alice, 1), (alice, 2), (bob, 1), (alice, 3), (bob, 2)):
            answer = await http.post("/prompt", json={"prompt": model_free(number)})
            assert answer.json()["number"] == number
        answer = await alice.post("/prompt", json={"prompt": model_free(9), "front": True})
        assert answer.json()["number"] == -4


async def test_another_program_is_not_interrupted(gateway: RunningGateway) -> None:
    theirs = await post(gateway.http, 1, "one")
    await running(gateway.http, theirs)
    for content in (b"", b"null", b"{}", b'{"prompt_id": ""}'):
        answer = await gateway.http.post(
            "/interrupt", content=content, headers={"user-agent": "another"}
        )
        assert answer.status_code == 200
    assert (await gateway.http.post("/interrupt", content=b"[]")).status_code == 400
    assert (await queue(gateway.http))[0] == [theirs]
    await gateway.http.post("/interrupt", json={"prompt_id": theirs})
    await ended(gateway.http, theirs)


async def test_nobody_sees_or_stops_what_belongs_to_another_key(
    settings_for: SettingsFor, tmp_path: Path, demo: DemoServer
) -> None:
    keys: dict[str, str | Json] = {"mine": "run", "other": "manage"}
    async with guarded(settings_for, tmp_path, demo, keys=keys) as gate:
        mine, other = await gate.client("mine"), await gate.client("other")
        ids = [await post(mine, seed, "same") for seed in range(3)]
        await running(mine, ids[0])
        assert await queue(other) == ([], [])
        assert (await other.get("/prompt")).json() == {"exec_info": {"queue_remaining": 0}}
        for path, body in (
            ("/queue", {"clear": True}),
            ("/queue", {"delete": ids}),
            ("/interrupt", {"prompt_id": ids[0]}),
            ("/interrupt", {"client_id": "same"}),
            ("/interrupt", {}),
            ("/api/jobs/cancel", {"job_ids": ids}),
            ("/history", {"clear": True}),
        ):
            assert (await other.post(path, json=body)).status_code == 200, path
        assert (await other.get("/api/jobs")).json()["jobs"] == []
        assert (await other.get(f"/api/jobs/{ids[0]}")).status_code == 404
        at_work, waiting = await queue(mine)
        assert {*at_work, *waiting} == set(ids)
        again = {"prompt": model_free(), "prompt_id": ids[0]}
        assert (await other.post("/prompt", json=again)).status_code == 400
        await mine.post("/queue", json={"clear": True})
        await mine.post("/interrupt", json={"prompt_id": ids[0]})
        for prompt_id in ids:
            assert interrupted(await ended(mine, prompt_id))
        assert (await other.get("/history")).json() == {}
        assert (await mine.get("/history")).json().keys() == set(ids)
