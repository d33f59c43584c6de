"""A run with every kind of secret, failures too: then all that is left behind is searched."""

import base64
import contextlib
import json
import sqlite3
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import start
from app import logs
from app.errors import InvalidInput
from app.servers.addresses import base_url
from app.settings import Settings
from app.tasks.webhook import without_values
from fake_comfyui.server import DemoServer
from tests import services
from tests.conftest import model_free, wait_until
from tests.fleet import Gateway
from tests.receivers import Got, Reply, receiving

Json = dict[str, Any]

# Each says where it came from, so that a leak names its source.
WORDS = (
    *("operatorpath", "operatorquery", "operatorsecret", "taskpath", "taskquery", "taskheader"),
    *("tasksecret", "inputquery", "failedquery", "nodekey", "nextkey", "awssecret", "awskey"),
    *("wsquery", "bearer", "idempotency"),
)


def secret(word: str) -> str:
    assert word in WORDS
    return f"canary-{word}-0123456789"


def signing(word: str) -> str:
    """A webhook's secret; its base64 is searched for, too."""
    return "whsec_" + base64.b64encode(secret(word).encode().ljust(32, b"x")).decode()


def found_in(text: str) -> list[str]:
    """Whose secrets are in it."""
    said = [word for word in WORDS if secret(word) in text]
    return said + [word for word in ("operatorsecret", "tasksecret") if signing(word) in text]


ANSWERS = (
    *("/api/health", "/api/ready", "/api/system/info", "/api/tasks", "/api/history", "/api/queue"),
    *("/api/deliveries", "/api/deliveries?status=dead", "/api/servers", "/api/workflows"),
    *("/metrics", "/api/v2/jobs", "/openapi.json", "/api/history?include_servers=true"),
)


async def answers_of(gateway: Gateway, tasks: list[str]) -> Iterator[tuple[str, str]]:
    paths = [*ANSWERS, *(f"/api/task/{task_id}" for task_id in tasks)]
    paths += [
        f"/api/task/{task_id}/{part}" for task_id in tasks for part in ("events", "deliveries")
    ]
    paths += [f"/api/v2/jobs/{task_id}" for task_id in tasks]
    return iter([(path, (await gateway.http.get(path)).text) for path in paths])


def tables_of(path: Path) -> Iterator[tuple[str, str]]:
    database = sqlite3.connect(path)
    try:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in names:
            yield name, repr(database.execute(f"SELECT * FROM {name}").fetchall())
    finally:
        database.close()


async def repeating(got: Got) -> Reply:
    """A receiver that says back all it was sent, and refuses."""
    said = json.dumps([got.path, dict(got.headers)])
    is_last_try = "webhook-id" in got.headers
    return Reply(410 if is_last_try else 400, body=said.encode())


async def run_with_secrets(gateway: Gateway, receiver: str) -> list[str]:
    """Submits, good ones and bad ones; the ids of their tasks."""
    http = gateway.http
    webhook = {
        "url": f"{receiver}/{secret('taskpath')}?token={secret('taskquery')}",
        "headers": {"Authorization": f"Bearer {secret('taskheader')}"},
        "secret": signing("tasksecret"),
    }
    ids = [await gateway.submit(model_free(), webhook=webhook)]
    load = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    for word in ("inputquery", "failedquery"):
        url = f"{receiver}/input.png?signature={secret(word)}"
        refused = await http.post(
            "/api/workflow/submit", json={"workflow": load, "params": {"1.image": url}}
        )
        assert refused.status_code == 422
        assert not found_in(refused.text)
    with_user = f"http://user:{secret('taskquery')}@127.0.0.1/x.png"
    for body in (
        {"workflow": load, "params": {"1.image": with_user}},
        {"workflow": model_free(), "webhook": with_user},
    ):
        refused = await http.post("/api/workflow/submit", json=body)
        assert refused.status_code == 422
        assert not found_in(refused.text)
    for word in ("nodekey", "nextkey"):
        extra = {"api_key_comfy_org": secret(word)}
        job = await http.post("/api/v2/jobs", json={"workflow": model_free(), "extra_data": extra})
        ids.append(job.json()["id"])
    server = await http.post("/api/servers", json={"address": f"http://u:{secret('bearer')}@h:1"})
    assert server.status_code == 422
    assert not found_in(server.text)
    headers = {"authorization": f"Bearer {secret('bearer')}", "x-api-key": secret("bearer")}
    await http.get(f"/api/tasks?limit=x&token={secret('wsquery')}", headers=headers)
    await http.get(f"/ws?token={secret('wsquery')}", headers={**UPGRADE, **headers})
    keyed = {"idempotency-key": secret("idempotency")}
    for workflow in (model_free(), model_free(1)):
        answer = await http.post("/api/workflow/submit", json=workflow, headers=keyed)
    assert answer.status_code == 422
    return ids


UPGRADE = {
    "connection": "upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "origin": "http://elsewhere.example",
    "x": "y" * 9000,  # refused, so that the client is not left with a socket
}


async def test_nothing_secret_is_left_behind(demo: DemoServer, tmp_path: Path) -> None:
    async with receiving(repeating) as receiver:
        base = receiver.url
        operators = f"{base}/{secret('operatorpath')}?key={secret('operatorquery')}"
        async with Gateway(
            tmp_path,
            *("--comfyui-server", demo.address),
            webhook_url=operators,
            webhook_secret=signing("operatorsecret"),
            allow_private_urls="*",
            log_level="DEBUG",
            log_format="json",
        ) as gateway:
            ids = await run_with_secrets(gateway, base)
            await wait_until(lambda: len(receiver.got) >= 6)

            async def all_dead() -> bool:
                page = (await gateway.http.get("/api/deliveries?status=pending")).json()
                return not page["deliveries"]

            await wait_until(all_dead)
            for path, text in await answers_of(gateway, ids):
                assert not found_in(text), path
            await gateway.stop()
        text = gateway.log.read_text(encoding="utf-8")
    assert not found_in(text)
    assert all(json.loads(line) for line in text.splitlines() if line.startswith("{"))
    assert '"task_id"' in text
    database = tmp_path / "gateway.db"
    left = {name: found_in(text) for name, text in tables_of(database)}
    # What signs and addresses a task's webhook is needed until the last try: see SECURITY.md.
    assert set(left.pop("webhooks")) == {"taskpath", "taskquery", "taskheader", "tasksecret"}
    # A key of idempotency is a name that its client chose, no secret.
    assert left.pop("idempotency_keys") == ["idempotency"]
    assert {name: words for name, words in left.items() if words} == {}
    assert stat.S_IMODE(database.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("COMFYUI_DATABASE_URL", "postgresql://gateway:{}@127.0.0.1:1/none"),
        ("COMFYUI_DATABASE_URL", "mysql://gateway:{}@127.0.0.1:1/none"),
        ("COMFYUI_DATABASE_URL", "postgresql://gateway:{}@[::/none"),
        ("COMFYUI_COMFYUI_SERVER", "http://user:{}@127.0.0.1:1"),
        ("COMFYUI_FILES_URL", "s3://user:{}@bucket/prefix"),
        ("COMFYUI_WEBHOOK_URL", "http://user:{}@example.com/"),
        ("COMFYUI_WEBHOOK_SECRET", "whsec_{}"),
        ("COMFYUI_ALLOW_PRIVATE_URLS", "http://user:{}@host/"),
    ],
)
def test_a_start_that_fails_tells_no_secret(
    variable: str,
    value: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    if "postgresql" in value:
        services.package("asyncpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, value.format(secret("awskey")))
    monkeypatch.setattr(sys, "argv", ["start.py", "--port", "0"])
    monkeypatch.setattr(logs, "configure", lambda *_: None)  # pytest has its own
    with contextlib.suppress(SystemExit):  # uvicorn's, if the lifespan fails
        assert start.main() != 0
    said = "".join(capfd.readouterr()) + caplog.text
    assert said
    assert not found_in(said)


async def test_keys_of_a_bucket_are_not_told(tmp_path: Path, demo: DemoServer) -> None:
    services.package("obstore")
    aws = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": secret("awskey"),
        "AWS_SECRET_ACCESS_KEY": secret("awssecret"),
        "AWS_REGION": "us-east-1",
    }
    gateway = Gateway(tmp_path, "--comfyui-server", demo.address, files_url="s3://bucket/x")
    gateway._environment.update(aws)
    async with gateway:
        task_id = await gateway.submit(model_free())
        await wait_until(lambda: demo.records.executed)
        for path, text in await answers_of(gateway, [task_id]):
            if not path.endswith("/events"):
                assert not found_in(text), path
        await gateway.http.post(f"/api/task/{task_id}/cancel")
        await gateway.stop()
    assert not found_in(gateway.log.read_text(encoding="utf-8"))


def test_settings_in_force_hide_what_is_secret() -> None:
    settings = Settings(
        _env_file=None,
        database_url=f"sqlite:///{secret('awskey')}.db",
        webhook_url=f"http://example.com/?x={secret('operatorquery')}",
        webhook_secret=signing("operatorsecret"),
    )
    for text in (json.dumps(settings.shown()), repr(settings), str(settings)):
        assert not found_in(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example.com/services/T0/B0/" + "x" * 24, "services/T0/B0/***"),
        ("https://example.com/api/webhooks/123456789012345678/" + "t" * 60, "api/webhooks/***/***"),
        ("https://u:p@example.com/hook?token=1&b", "example.com/hook?token=***&b=***"),
    ],
)
def test_a_webhooks_url_is_shown_without_tokens(url: str, shown: str) -> None:
    assert without_values(url).endswith(shown)


def test_an_address_with_a_password_is_not_repeated() -> None:
    with pytest.raises(InvalidInput) as refused:
        base_url(f"http://user:{secret('bearer')}@host:8188")
    assert not found_in(refused.value.detail)
