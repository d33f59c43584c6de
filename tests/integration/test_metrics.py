"""Figures, log lines and request ids after real runs."""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect

from app import logs
from app.db.engine.postgresql import Unreachable
from app.metrics import Metrics
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import (
    ROOT,
    RunningGateway,
    model_free,
    over,
    run_gateway,
    text_to_image,
    wait_until,
)
from tests.keyholders import write_keys
from tests.receivers import receiving

Json = dict[str, Any]
Labels = dict[str, str]


async def scrape(gateway: RunningGateway) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = await gateway.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (
            sample.name.removeprefix("comfyui_gateway_"),
            frozenset(sample.labels.items()),
        ): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def figure(found: Any, name: str, **labels: str) -> float:
    return float(found[name, frozenset(labels.items())])


async def test_figures_after_a_run(gateway: RunningGateway, demo: DemoServer) -> None:
    server = demo.address
    assert (await gateway.submit(model_free()))["status"] == "succeeded"
    demo.knobs.fail_node = "ImageInvert"
    assert (await gateway.submit(model_free(1)))["status"] == "failed"
    await gateway.http.get("/api/task/nope")
    await gateway.http.get("/nowhere/at/all")
    await gateway.http.get("/history/an-id")
    found = await scrape(gateway)
    assert figure(found, "tasks_total", status="succeeded", server=server) == 1
    assert figure(found, "tasks_total", status="failed", server=server) == 1
    assert figure(found, "tasks_total", status="queued", server="") == 2
    assert figure(found, "queue_wait_seconds_count") >= 1
    assert figure(found, "run_seconds_count", server=server, status="succeeded") == 1
    assert figure(found, "server_up", server=server) == 1
    assert figure(found, "server_accepting", server=server) == 1
    slots = gateway.gateway.pool.get(demo.address).slots  # more than 2 after short tasks
    assert figure(found, "server_slots", server=server) == slots >= 2
    assert figure(found, "server_slots_used", server=server) == 0
    assert figure(found, "events_total", type="status") >= 5
    assert figure(found, "database_up") == 1
    assert figure(found, "queue_depth", priority="normal") == 0
    route = {"method": "GET", "route": "/api/task/{task_id}"}
    assert figure(found, "http_requests_total", **route, status="404") == 1
    assert figure(found, "http_request_seconds_count", **route) == 1
    nowhere = {"method": "GET", "route": "unmatched"}
    assert figure(found, "http_requests_total", **nowhere, status="404") == 1
    native = {"method": "GET", "route": "/comfy/history/{prompt_id}"}
    assert figure(found, "http_requests_total", **native, status="200") == 1
    assert found["process_open_fds", frozenset()] > 0


async def test_figures_of_the_queue(
    demo: DemoServer, settings_for: Callable[..., Settings]
) -> None:
    demo.knobs.step_seconds = 0.05
    async with over(settings_for, demo) as gateway:
        for priority in (0, 0, 0, 5, -5):
            body = {"workflow": text_to_image(steps=400, seed=abs(priority)), "priority": priority}
            await gateway.http.post("/api/workflow/submit", json=body)

        async def runs() -> Any:
            found = await scrape(gateway)
            return found if figure(found, "tasks_active", status="running") == 1 else None

        found = await wait_until(runs)
        assert figure(found, "server_slots_used", server=demo.address) == 2
        assert figure(found, "tasks_active", status="queued") == 4
        waiting = [
            figure(found, "queue_depth", priority=band) for band in ("low", "normal", "high")
        ]
        assert sum(waiting) == 4
        assert waiting[0] == 1  # the one of low priority cannot have been given out
        assert figure(found, "queue_oldest_seconds") > 0
        await gateway.http.post("/api/queue/clear")


async def test_figures_of_streams_and_webhooks(
    demo: DemoServer, settings_for: Callable[..., Settings]
) -> None:
    async with (
        receiving() as receiver,
        over(settings_for, demo, allow_private_urls=["*"]) as gateway,
    ):
        async with connect(f"ws://{gateway.address}/ws"):
            await wait_until(lambda: gateway.gateway.hub.subscribers == 1)
            found = await scrape(gateway)
            assert figure(found, "subscribers") == 1
            await gateway.submit(model_free(), webhook=receiver.url)
            found = await scrape(gateway)
            assert figure(found, "events_relayed_total") >= 3
            assert figure(found, "subscribers_dropped_total") == 0

        async def told() -> bool:
            found = await scrape(gateway)
            return ("webhook_attempts_total", frozenset({("result", "delivered")})) in found

        await wait_until(told)

        async def counted() -> bool:
            found = await scrape(gateway)
            labels = {"method": "WS", "route": "/ws", "status": "101"}
            return ("http_requests_total", frozenset(labels.items())) in found

        await wait_until(counted)


class NoDatabase:
    async def read(self, work: Any, *, large: bool = False) -> Any:
        raise Unreachable("it is gone")

    write = read

    async def close(self) -> None:
        pass


async def test_figures_without_a_database() -> None:
    page = (await Metrics(NoDatabase()).page()).decode()
    assert "comfyui_gateway_database_up 0.0" in page
    assert "comfyui_gateway_queue_depth" not in page


async def test_two_gateways_have_their_own_figures(
    demo: DemoServer, settings_for: Callable[..., Settings], tmp_path: Any
) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    async with (
        over(settings_for, demo) as one,
        run_gateway(settings_for(demo.address, database_url=other)) as two,
    ):
        await one.submit(model_free())
        assert ("run_seconds_count" in {name for name, _ in await scrape(one)}) is True
        assert ("run_seconds_count" in {name for name, _ in await scrape(two)}) is False


# -- the dashboard ------------------------------------------------------------------------------

_NAME = re.compile(r"(?<![\w\"])(comfyui_gateway_\w+|process_\w+)")


def queries() -> list[str]:
    board: Json = json.loads((ROOT / "deploy/grafana/gateway.json").read_text(encoding="utf-8"))
    return [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]


async def test_every_query_of_the_dashboard_names_what_there_is(
    demo: DemoServer, settings_for: Callable[..., Settings]
) -> None:
    async with (
        receiving() as receiver,
        over(settings_for, demo, allow_private_urls=["*"]) as gateway,
    ):
        await gateway.submit(model_free(), webhook=receiver.url)
        await wait_until(lambda: gateway.gateway.deliverer.results["delivered"])
        answer = await gateway.http.get("/metrics")
        known: dict[str, set[str]] = {}
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                known.setdefault(sample.name, set()).update(sample.labels)
    assert queries()
    for query in queries():
        names = _NAME.findall(query)
        assert names, query
        assert set(names) <= set(known), query
        labels = {"instance", "job", "le"}.union(*(known[name] for name in names))
        for group in re.findall(r"\bby \(([^)]*)\)", query):
            assert {label.strip() for label in group.split(",")} <= labels, query
        for label in re.findall(r"[{,]\s*(\w+)\s*[=!]", query):
            assert label in labels, query


# -- the log ------------------------------------------------------------------------------------


def lines(caplog: pytest.LogCaptureFixture, logger: str) -> list[Json]:
    return [
        {**record.facts, "text": record.getMessage()}  # type: ignore[attr-defined]
        for record in caplog.records
        if record.name == logger
    ]


async def test_a_line_for_each_request_and_transition(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.DEBUG, "app.events.status_log")
    task_id = (await gateway.submit(model_free(), params={"1.width": 32}))["task_id"]
    await gateway.http.get(f"/api/task/{task_id}?secret=hidden")
    await gateway.http.get("/api/health")
    told = lines(caplog, "app.api.middleware.request_log")
    assert [line["text"] for line in told] == [
        "POST /api/workflow/submit",
        "GET /api/task/{task_id}",
    ]
    assert told[1]["status"] == 200
    assert told[1]["ms"] > 0
    changes = lines(caplog, "app.events.status_log")
    assert [(line["from"], line["to"]) for line in changes] == [
        (None, "queued"),
        ("queued", "running"),
        ("running", "succeeded"),
    ]
    assert {line["task_id"] for line in changes} == {task_id}
    assert changes[-1]["ran"] >= 0
    assert changes[-1]["waited"] >= 0
    ours = [r for r in caplog.records if r.name.startswith("app.") and r.levelno >= logging.INFO]
    news = [record.getMessage() for record in ours if task_id in str(vars(record))]
    assert news == ["task succeeded"], "one line a task"
    ours = [record for record in caplog.records if record.name != "httpx"]  # the test's own client
    assert not any("hidden" in record.getMessage() for record in ours)
    assert not any("/api/health" in record.getMessage() for record in ours)


async def test_the_line_of_a_request_names_its_key(
    demo: DemoServer,
    settings_for: Callable[..., Settings],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    key = write_keys(tmp_path / "keys.json", studio="read")["studio"]
    async with over(settings_for, demo, api_keys=str(tmp_path / "keys.json")) as gateway:
        await gateway.http.get("/api/tasks", headers={"authorization": f"Bearer {key}"})
        await gateway.http.get("/api/tasks", headers={"authorization": "Bearer wrong"})
    told = lines(caplog, "app.api.middleware.request_log")
    assert [(line["status"], line.get("key")) for line in told] == [(200, "studio"), (401, None)]
    assert key not in caplog.text


async def test_a_transition_tells_why(
    gateway: RunningGateway, demo: DemoServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bad = model_free()
    bad["1"] = {"class_type": "LoadImage", "inputs": {"image": "away.png"}}
    task = await gateway.submit(bad)
    await gateway.http.post(f"/api/task/{task['task_id']}/cancel")
    changes = lines(caplog, "app.events.status_log")
    assert (changes[-1]["to"], changes[-1]["why"]) == ("failed", "invalid_workflow")
    assert changes[-1]["server"] == demo.address
    assert len(changes) == 1  # the cancel of what is over is none


@pytest.mark.parametrize(
    ("path", "header"),
    [("/api/task/nope", "x-request-id"), ("/api/v2/jobs/nope", "x-comfy-request-id")],
)
async def test_request_ids_go_in_and_out(gateway: RunningGateway, path: str, header: str) -> None:
    answer = await gateway.http.get(path, headers={"x-request-id": "trace-1:2/3"})
    assert answer.headers[header] == "trace-1:2/3"
    for useless in ("", "with space", "x" * 200, 'quo"te'):
        answer = await gateway.http.get(path, headers={"x-request-id": useless})
        assert re.fullmatch("[0-9a-f]{32}", answer.headers[header])


def record(text: str, *arguments: object, **told: object) -> logging.LogRecord:
    made = logging.LogRecord("app.x", logging.INFO, __file__, 1, text, arguments, None)
    made.facts = told
    return made


def test_json_lines() -> None:
    token = logs.current_request.set("r1")
    try:
        text = logs.JsonLines().format(record("task %s", "a\nb", status=200, who=None))
    finally:
        logs.current_request.reset(token)
    line = json.loads(text)
    assert "\n" not in text
    assert line["message"] == "task a\nb"
    assert (line["request_id"], line["status"], line["level"]) == ("r1", 200, "INFO")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])


def test_plain_lines_cannot_be_forged() -> None:
    text = logs.PlainLines().format(record("asked for %s", "x\nERROR all is lost", key="a"))
    assert text.endswith("INFO app.x: asked for x\\nERROR all is lost key=a")
