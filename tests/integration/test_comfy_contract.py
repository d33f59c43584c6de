"""Comfy API v2: every status that the contract gives an operation is provoked, and the answer held
against it; or it stands here why it cannot be had."""

import json
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from app.auth.secrets import hash_of as hash_of_key
from app.auth.secrets import new_key
from app.db.engine.database import Database
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.comfy_api import FACTS, Client
from tests.conftest import RunningGateway, model_free, over
from tests.integration.test_comfy_v2 import JOB, JOBS, ended, hash_of, loading, submitted, uploaded
from tests.integration.test_files import png

Json = dict[str, Any]
Provoke = Callable[["World"], Awaitable[httpx.Response]]

ASSETS, ASSET = "/api/v2/assets", "/api/v2/assets/{id}"
HEALTH = "GET /api/v2/health"
CONTENT = f"GET {ASSET}/content"
FROM_HASH, BY_HASH = f"POST {ASSETS}/from-hash", f"HEAD {ASSETS}/by-hash/{{hash}}"

STREAMS = 5  # at a time
CANNOT = {
    (None, 302): "the gateway sends the bytes itself",
    (None, 402): "nothing costs anything here",
    (None, 501): "there is live streaming",
    (HEALTH, 500): "it asks nothing that can fail",
}


class World:
    """A gateway, and bytes that it has not seen."""

    def __init__(
        self, gateway: RunningGateway, demo: DemoServer, number: int, database: Database
    ) -> None:
        self.v2 = Client(gateway.http)
        self.demo = demo
        self.photo = png((number, 2, 3))
        self.key = {"idempotency-key": f"key {number}"}
        self.hub = gateway.gateway.hub
        self.database = database

    async def job(self) -> Json:
        return await ended(self.v2, await submitted(self.v2, model_free()))


def plain(operation: str, **options: Any) -> Provoke:
    """As it is."""
    return lambda world: world.v2.call(operation, **options)


def of_job(operation: str, **options: Any) -> Provoke:
    async def provoke(world: World) -> httpx.Response:
        return await world.v2.call(operation, id=(await world.job())["id"], **options)

    return provoke


def of_asset(operation: str, **options: Any) -> Provoke:
    async def provoke(world: World) -> httpx.Response:
        asset = (await uploaded(world.v2, world.photo)).json()
        return await world.v2.call(operation, id=asset["id"], **options)

    return provoke


def upload(**form: Any) -> Provoke:
    return lambda world: uploaded(world.v2, world.photo, **form)


async def upload_with_key(world: World) -> httpx.Response:
    return await uploaded(world.v2, world.photo, headers=world.key)


async def mint(world: World) -> httpx.Response:
    body = {"hash": hash_of(world.photo), "file_path": "other.png"}
    return await world.v2.call(FROM_HASH, json=body)


async def look_for_hash(world: World) -> httpx.Response:
    return await world.v2.call(BY_HASH, hash=hash_of(world.photo))


def twice(first: Provoke, then: Provoke | None = None) -> Provoke:
    """The same again; or something else after it."""

    async def provoke(world: World) -> httpx.Response:
        await first(world)
        return await (then or first)(world)

    return provoke


def broken(provoke: Provoke) -> Provoke:
    """With a database that fails."""

    async def fail(*_: object) -> None:
        raise OperationalError("SELECT secret", {}, Exception("host db.internal"))

    async def provoke_broken(world: World) -> httpx.Response:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("read", "write"):
                patch.setattr(type(world.database), name, fail)
            answer = await provoke(world)
        assert "secret" not in answer.text
        assert "db.internal" not in answer.text
        return answer

    return provoke_broken


async def delete_output(world: World) -> httpx.Response:
    job = await world.job()
    return await world.v2.call(f"DELETE {ASSET}", id=job["outputs"][0]["id"])


async def fill_queue(world: World) -> httpx.Response:
    world.demo.knobs.stall = True
    while True:
        answer = await world.v2.call(f"POST {JOBS}", json={"workflow": model_free()})
        if answer.status_code != 201:
            break
    world.demo.knobs.stall = False
    for job in (await world.v2.json(f"GET {JOBS}"))["jobs"]:
        await ended(world.v2, job)
    return answer


SUBMIT = plain(f"POST {JOBS}", json={"workflow": model_free()})


async def open_streams(world: World) -> httpx.Response:
    with ExitStack() as stack:
        for _ in range(STREAMS):
            stack.enter_context(world.hub.subscribe())
        return await world.v2.call(f"{JOB}/events", id="any")


PROVOKED: dict[tuple[str, int], Provoke] = {
    (f"POST {ASSETS}", 201): upload(),
    (f"POST {ASSETS}", 200): twice(upload()),
    (f"POST {ASSETS}", 409): upload(expected_hash=hash_of(b"other")),
    (f"POST {ASSETS}", 422): twice(upload_with_key),
    (f"POST {ASSETS}", 500): broken(upload()),
    (FROM_HASH, 201): twice(upload(), mint),
    (FROM_HASH, 200): twice(upload(), twice(mint)),
    (FROM_HASH, 404): mint,
    (FROM_HASH, 422): plain(FROM_HASH, json={}),
    (FROM_HASH, 500): broken(mint),
    (BY_HASH, 200): twice(upload(), look_for_hash),
    (BY_HASH, 404): look_for_hash,
    (BY_HASH, 500): broken(look_for_hash),
    (f"GET {ASSET}", 200): of_asset(f"GET {ASSET}"),
    (f"GET {ASSET}", 404): plain(f"GET {ASSET}", id="nobody"),
    (f"GET {ASSET}", 500): broken(plain(f"GET {ASSET}", id="nobody")),
    (f"DELETE {ASSET}", 204): of_asset(f"DELETE {ASSET}"),
    (f"DELETE {ASSET}", 404): plain(f"DELETE {ASSET}", id="nobody"),
    (f"DELETE {ASSET}", 409): delete_output,
    (f"DELETE {ASSET}", 500): broken(plain(f"DELETE {ASSET}", id="nobody")),
    (CONTENT, 200): of_asset(CONTENT),
    (CONTENT, 206): of_asset(CONTENT, headers={"range": "bytes=0-3"}),
    (CONTENT, 404): plain(CONTENT, id="nobody"),
    (CONTENT, 416): of_asset(CONTENT, headers={"range": "bytes=99999-"}),
    (CONTENT, 500): broken(plain(CONTENT, id="nobody")),
    (f"POST {JOBS}", 201): SUBMIT,
    (f"POST {JOBS}", 422): plain(f"POST {JOBS}", json={"workflow": loading("nobody")}),
    (f"POST {JOBS}", 429): fill_queue,
    (f"POST {JOBS}", 500): broken(SUBMIT),
    (f"GET {JOBS}", 200): twice(of_job(JOB), plain(f"GET {JOBS}")),
    (f"GET {JOBS}", 400): plain(f"GET {JOBS}", params={"cursor": "x"}),
    (f"GET {JOBS}", 422): plain(f"GET {JOBS}", params={"limit": 0}),
    (f"GET {JOBS}", 500): broken(plain(f"GET {JOBS}")),
    (HEALTH, 200): plain(HEALTH),
    (f"{JOB}/events", 429): open_streams,
    **{
        (operation, status): provoke
        for operation in (JOB, f"{JOB}/workflow", f"{JOB}/events", f"POST {JOBS}/{{id}}/cancel")
        for status, provoke in (
            (200, of_job(operation)),
            (404, plain(operation, id="nobody")),
            (500, broken(plain(operation, id="nobody"))),
        )
    },
}


def documented() -> set[tuple[str, int]]:
    return {
        (operation, int(status))
        for operation, facts in FACTS["operations"].items()
        for status in (*facts["success"], *facts["errors"])
    }


async def test_every_answer_of_the_contract(
    demo: DemoServer, settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.gateway.MAX_STREAMS", STREAMS)
    async with over(settings_for, demo, max_queued=2, slots=1) as gateway:
        for number, (wanted, provoke) in enumerate(PROVOKED.items()):
            world = World(gateway, demo, number, await gateway.database())
            answer = await provoke(world)  # it is checked by the client
            method = answer.request.method
            assert (method, answer.status_code) == (wanted[0].split()[0], wanted[1]), wanted


# What keys and hosts are refused for. Whether the thing is there does not matter then.
REFUSED = {
    (operation, status)
    for operation, status in documented()
    if status in (401, 403, 429) and (operation, status) not in PROVOKED
}


async def test_every_refusal_of_the_contract(
    demo: DemoServer, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    key = new_key()
    limited = {"name": "seldom", "hash": hash_of_key(key), "scope": "manage", "rate": "1/hour"}
    keyed = {"api_keys": json.dumps([limited]), "database_url": f"sqlite:///{tmp_path}/keyed.db"}
    async with (
        over(settings_for, demo) as open_one,
        over(settings_for, demo, **keyed) as closed,
    ):
        await closed.http.get("/api/tasks", headers={"x-api-key": key})  # all that it may ask
        how: dict[int, tuple[RunningGateway, Json]] = {
            401: (closed, {}),
            403: (open_one, {"host": "rebound.example"}),
            429: (closed, {"authorization": f"Bearer {key}"}),
        }
        for operation, status in sorted(REFUSED):
            gateway, headers = how[status]
            names = {name: "nobody" for name in ("id", "hash") if f"{{{name}}}" in operation}
            answer = await Client(gateway.http).call(operation, headers=headers, **names)
            assert answer.status_code == status, (operation, answer.text)


def test_nothing_of_the_contract_is_left_out() -> None:
    cannot = {
        (operation, status)
        for operation, status in documented()
        if (operation, status) in CANNOT or (None, status) in CANNOT
    }
    assert set(PROVOKED) | REFUSED | cannot == documented()
    assert not (set(PROVOKED) | REFUSED) & cannot, "it can be had after all"


async def test_a_request_id_comes_back(gateway: RunningGateway) -> None:
    for sent, kept in (("order-7.3", True), ("x" * 129, False), ("a b", False)):
        answer = await gateway.http.get("/api/v2/jobs/x", headers={"x-comfy-request-id": sent})
        assert (answer.headers["x-comfy-request-id"] == sent) is kept
