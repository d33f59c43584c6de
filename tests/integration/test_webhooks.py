"""Webhooks from the submit to the receiver, over a killed gateway, and without telling secrets."""

import asyncio
import json
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier

from app import container
from app.settings import Settings
from app.webhooks.fair_share import DeliveryPace
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, run_gateway, text_to_image, wait_until
from tests.fleet import Gateway, ended
from tests.receivers import Got, Receiver, Reply, receiving

Json = dict[str, Any]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + "B" * 32


async def delivered(gateway: RunningGateway, task_id: str, count: int) -> list[Json]:
    """The task's deliveries, when so many are delivered."""

    async def look() -> list[Json] | None:
        answer = await gateway.http.get(f"/api/task/{task_id}/deliveries")
        found = answer.json()["deliveries"]
        done = [delivery for delivery in found if delivery["status"] == "delivered"]
        return found if len(done) == count else None

    found: list[Json] = await wait_until(look)
    return found


def types(receiver: Receiver) -> list[str]:
    return [json.loads(got.body)["type"] for got in receiver.got]


async def test_a_task_and_its_webhook(
    demo: DemoServer, settings_for: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    """Its own webhook with everything, and the gateway's own beside it."""
    caplog.set_level("DEBUG")
    echo: Callable[[Got], Reply] = lambda got: Reply(  # noqa: E731
        body=f"{got.path} {got.headers.get('authorization')}".encode()
    )
    async with receiving(echo) as own, receiving() as everywhere:
        settings = settings_for(
            demo.address,
            allow_private_urls=["127.0.0.1"],
            webhook_url=f"http://localhost:{everywhere.port}/all?key=sesame-2",
            webhook_secret=OTHER,
            webhook_events=["task.succeeded"],
        )
        async with run_gateway(settings) as gateway:
            await gateway.online()
            hook = {
                "url": f"{own.url}/hook?token=sesame-1",
                "events": ["task.started", "task.succeeded", "task.failed"],
                "headers": {"Authorization": "Bearer sesame-3"},
                "secret": SECRET,
            }
            task = await gateway.submit(model_free(), webhook=hook)
            found = await delivered(gateway, task["task_id"], 3)
            shown = await gateway.task(task["task_id"])
            assert shown["webhook"] == {
                "url": f"{own.url}/hook?token=***",
                "events": hook["events"],
            }
            info = (await gateway.http.get("/api/system/info")).json()
            retried = await gateway.http.post(f"/api/task/{task['task_id']}/retry")
            assert retried.json()["webhook"] == shown["webhook"]
            await delivered(gateway, retried.json()["task_id"], 3)

    assert sorted(types(own)[:2]) == ["task.started", "task.succeeded"]
    assert set(types(everywhere)) == {"task.succeeded"}
    for receiver, secret in ((own, SECRET), (everywhere, OTHER)):
        for got in receiver.got:
            assert Verifier(secret).verify(got.body, got.headers)["data"]["webhook"]
            assert got.headers["content-type"] == "application/json"
    final = own.got[types(own).index("task.succeeded")]
    assert final.headers["authorization"] == "Bearer sesame-3"
    assert final.path == "/hook?token=sesame-1"
    data = json.loads(final.body)["data"]
    assert data == shown, "the same as a poll answers"
    assert {delivery["delivery_id"] for delivery in found} <= {*own.ids(), *everywhere.ids()}
    told = json.dumps([found, shown, info, retried.json()]) + caplog.text
    for secret in ("sesame", SECRET, OTHER):
        assert secret not in told
        assert all(secret not in got.body.decode() for got in own.got)


async def test_asking_for_webhooks_and_looking_at_them(
    demo: DemoServer, settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "DeliveryPace", partial(DeliveryPace, schedule=[]))
    async with receiving(lambda _: Reply(500)) as server:
        settings = settings_for(demo.address, allow_private_urls=["127.0.0.1"])
        async with run_gateway(settings) as gateway:
            await gateway.online()
            http = gateway.http
            for webhook, code in (
                ("http://10.0.0.1/", "url_not_allowed"),
                ({"url": "ftp://example.com/"}, "url_not_allowed"),
                ({"url": server.url, "events": ["nothing"]}, "invalid_input"),
                ({"url": server.url, "secret": "abc"}, "invalid_input"),
                ({"url": server.url, "retries": 3}, "invalid_input"),
                (3, "invalid_input"),
            ):
                body = {"workflow": model_free(), "webhook": webhook}
                answer = await http.post("/api/workflow/submit", json=body)
                assert (answer.status_code, answer.json()["code"]) == (422, code), webhook
            task = await gateway.submit(model_free(), webhook=server.url)

            async def dead() -> Any:
                return (await http.get("/api/deliveries?status=dead")).json()["deliveries"]

            (lost,) = await wait_until(dead)
            assert (lost["task_id"], lost["event"]) == (task["task_id"], "task.succeeded")
            assert lost["attempts"][0]["status_code"] == 500
            server.handler = lambda _: Reply(204)
            answer = await http.post(f"/api/deliveries/{lost['delivery_id']}/replay")
            assert (answer.status_code, answer.json()["status"]) == (202, "pending")
            await delivered(gateway, task["task_id"], 1)
            assert len(set(server.ids())) == 1
            for url, code in (
                ("/api/task/nope/deliveries", "task_not_found"),
                ("/api/deliveries?cursor=x", "invalid_input"),
                ("/api/deliveries?status=lost", "invalid_input"),
            ):
                assert (await http.get(url)).json()["code"] == code
            answer = await http.post("/api/deliveries/msg_nope/replay")
            assert (answer.status_code, answer.json()["code"]) == (404, "delivery_not_found")
            await http.delete(f"/api/task/{task['task_id']}")
            assert (await http.get("/api/deliveries")).json()["deliveries"] == []


@pytest.mark.slow
async def test_sigkill_between_the_end_and_its_delivery(demo: DemoServer, tmp_path: Path) -> None:
    """Each round kills the gateway while receivers hang, or tasks end; the last one delivers."""
    settings = {
        "comfyui_server": demo.address,
        "allow_private_urls": "127.0.0.1",
    }
    tasks: list[str] = []
    hangs = True
    received: set[str] = set()

    async def handler(got: Got) -> Reply:
        if hangs:
            await asyncio.sleep(60)
        received.add(json.loads(got.body)["data"]["task_id"])
        return Reply()

    async with receiving(handler) as server:
        for count in (1, 2):
            async with Gateway(tmp_path, **settings) as gateway:
                for seed in range(4):
                    body = {
                        "workflow": text_to_image(steps=2, seed=count * 10 + seed),
                        "webhook": {"url": server.url, "secret": SECRET},
                    }
                    answer = await gateway.http.post("/api/workflow/submit", json=body)
                    tasks.append(answer.json()["task_id"])
                if count == 1:
                    await wait_until(lambda: server.got)
                else:
                    await ended(gateway.http, tasks[-count])
                await gateway.stop(signal.SIGKILL)
        hung = set(server.ids())
        assert received == set()
        hangs = False
        async with Gateway(tmp_path, **settings):
            await wait_until(lambda: received == set(tasks))
        assert hung <= set(server.ids()), "what hung comes again, by the same ids"
        assert len(set(server.ids())) == len(tasks), "one id for each task's end"
        for got in server.got:
            Verifier(SECRET).verify(got.body, got.headers)
