"""Secrets at any depth of extra_data reach ComfyUI, and stand nowhere else."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import inspect, text
from websockets.asyncio.client import connect

import fake_comfyui.submit as submit
from app.settings import Settings
from app.workflows.extra_data import parted, with_secrets
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, wait_until
from tests.integration.test_extra_data import page
from tests.integration.test_secrets import ANSWERS

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]
SECRET = "marker-0123456789-sesame"

EXTRA: Json = {
    "mine": {"nested": {"api_key": SECRET, "max_tokens": 512, "note": "kept"}},
    "list": [{"auth_token": SECRET}, "kept", [{"deep": {"Cookie": SECRET + "\n"}}]],
    "credentials": {"user": SECRET, "all": [1, SECRET, {"x": SECRET}]},
    "headers": [{"name": "Authorization", "value": SECRET}],
    "bearer": SECRET,
    "extra_pnginfo": {
        "only": {"client_secret": SECRET},
        "workflow": {**page(), "extra": {"dbPassword": SECRET, "key": "Music"}},
    },
}


@pytest.fixture
async def gateway(
    settings_for: MakeSettings, demo: DemoServer, url: str
) -> AsyncIterator[RunningGateway]:
    async with over(settings_for, demo, database_url=url) as running:
        yield running


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Json]:
    """The extra_data that the server got."""
    found: list[Json] = []
    take = submit._extra_data

    def taken(body: Json) -> tuple[Json, Json]:
        found.append(json.loads(json.dumps(body["extra_data"])))
        return take(body)

    monkeypatch.setattr(submit, "_extra_data", taken)
    return found


async def stored(gateway: RunningGateway) -> str:
    """All that the database holds."""
    database = await gateway.database()

    def dump(connection: Any) -> str:
        tables = inspect(connection).get_table_names()
        return "".join(repr(connection.execute(text(f"SELECT * FROM {t}")).all()) for t in tables)

    return await database.read(dump)


async def answers(gateway: RunningGateway, task_id: str) -> str:
    paths = [*ANSWERS, *(f"/api/task/{task_id}{part}" for part in ("", "/events", "/deliveries"))]
    paths += [f"/api/v2/jobs/{task_id}", f"/api/task/{task_id}/workflow"]
    return "".join([(await gateway.http.get(path)).text for path in paths])


async def test_they_reach_the_server_and_stand_nowhere(
    gateway: RunningGateway,
    demo: DemoServer,
    sent: list[Json],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", "app")
    said = {"exception_message": f"{SECRET} is refused: {SECRET + chr(10)!r}"}
    demo.knobs.fail_node, demo.knobs.say = "SaveImage", said
    demo.knobs.stall = True
    heard = ""
    async with connect(f"ws://{gateway.address}/ws") as socket:
        await socket.send(json.dumps({"type": "subscribe", "all": True}))
        body = {"workflow": model_free(), "extra_data": EXTRA}
        answer = await gateway.http.post("/api/workflow/submit", json=body)
        assert (answer.status_code, SECRET in answer.text) == (202, False)
        task_id = answer.json()["task_id"]
        await wait_until(lambda: sent)
        assert SECRET not in await stored(gateway)
        demo.knobs.stall = False
        failed = await gateway.until(task_id, "failed")
        assert failed["error"]["message"] == "RuntimeError: *** is refused: '***'"
        while f'"{task_id}"' not in heard or '"failed"' not in heard:
            heard += str(await socket.recv())
    found = {name: sent[0][name] for name in EXTRA}
    assert found == EXTRA
    assert SECRET not in await stored(gateway)
    assert '"max_tokens":512' in await stored(gateway)
    assert SECRET not in heard
    assert SECRET not in await answers(gateway, task_id)
    assert SECRET not in caplog.text
    await wait_until(lambda: not gateway.gateway.submissions._parts.paid_node_keys._keys)


async def test_those_beside_a_workflow_are_not_sent(
    gateway: RunningGateway, sent: list[Json]
) -> None:
    extra = {"extra_pnginfo": {"mine": {"api_key": SECRET, "a": 1}}}
    task = await gateway.submit({"prompt": model_free(), "extra_data": extra})
    assert sent[0]["extra_pnginfo"]["mine"] == {"a": 1}
    assert [warning for warning in task["warnings"] if "are not sent" in warning]
    assert SECRET not in await stored(gateway)


async def test_without_the_workflow_its_secrets_are_left_out_too(
    gateway: RunningGateway, sent: list[Json]
) -> None:
    body = {"workflow": model_free(), "extra_data": EXTRA, "embed_workflow": False}
    answer = await gateway.http.post("/api/workflow/submit?wait=60", json=body)
    assert answer.json()["status"] == "succeeded", answer.text
    assert sent[0]["extra_pnginfo"] == {"only": {"client_secret": SECRET}}


SECRETS = ("auth", "authorization", "bearer", "cookies", "password", "db_passwd", "clientSecret")
SECRETS += ("credentials", "x-api-key", "apikey", "accessToken", "authtoken", "HF_TOKEN", "jwt")
NONE = ("tokenizer", "secretary", "keyframe", "monkey", "author", "authority", "key_color", "note")


@pytest.mark.parametrize("name", [*SECRETS, *NONE])
def test_which_names_are_secret(name: str) -> None:
    for value in (SECRET, [SECRET], {"any": [{"thing": SECRET}]}):
        kept, secrets = parted({"deep": [{"er": {name: value}}]})
        assert (SECRET not in str(kept)) is (name in SECRETS)
        assert with_secrets(kept, secrets) == {"deep": [{"er": {name: value}}]}


@pytest.mark.parametrize("value", [512, 1.5, True, None, [1, 2], {"a": 3}, ""])
@pytest.mark.parametrize("name", ["max_tokens", "token_count", "password"])
def test_what_is_no_text_is_none(name: str, value: Any) -> None:
    given = {"deep": {name: value}, name: value}
    assert parted(given) == (given, {})


async def test_nested_ones_have_a_bound(gateway: RunningGateway) -> None:
    extra = {"deep": [{"token": f"sesame{number}"} for number in range(1000)]}
    body = {"workflow": model_free(), "extra_data": extra}
    answer = await gateway.http.post("/api/workflow/submit", json=body)
    assert answer.status_code == 422
    assert "extra_data" in answer.text
    assert "sesame" not in answer.text
