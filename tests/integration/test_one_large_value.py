"""One large value, whoever sends it, is no other client's trouble: streams and lists stay small."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, wait_until
from tests.integration.test_streams import sse

pytestmark = pytest.mark.slow

Json = dict[str, Any]
MESSAGE, PAGE = 64_000, 1_000_000  # bytes: of a stream's message, of a list of 50
SIZE = 5_000_000
LARGE = "y" * SIZE
LISTS = (
    *("/api/tasks", "/api/queue", "/api/history", "/api/history?include_servers=true"),
    *("/api/v2/jobs", "/api/deliveries", "/api/workflows", "/api/servers"),
)


def with_text(text: str = "x") -> Json:
    graph = model_free()
    graph["9"] = {"class_type": "PreviewAny", "inputs": {"source": text}}
    return graph


def refusal(**error: Any) -> Json:
    said = {"type": "prompt_outputs_failed_validation", "message": "no", "details": ""}
    return {"error": {**said, **error}, "node_errors": {}}


def node_error(**fields: Any) -> Json:
    error = {"type": "value_not_in_list", "message": "no", "details": "", "extra_info": {}}
    return {"9": {"errors": [{**error, **fields}], "class_type": "PreviewAny"}}


# What a client sends: it is taken, or refused at once.
SENT: dict[str, Json] = {
    "a text in the graph": {"workflow": with_text(LARGE)},
    "a parameter": {"workflow": with_text(), "params": {"9.source": LARGE}},
    "the name of a parameter": {"workflow": with_text(), "params": {LARGE: 1}},
    "metadata": {"workflow": with_text(), "metadata": {"note": LARGE}},
    "a name in metadata": {"workflow": with_text(), "metadata": {LARGE: 1}},
    "a batch": {"workflow": with_text(), "batch": {"9.source": [LARGE, "x"]}},
    "a file": {
        "workflow": {
            "1": {"class_type": "LoadImage", "inputs": {"image": "x"}},
            "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        },
        "params": {"1.image": LARGE},
    },
    "the workflow": {"filename": LARGE},
    "a webhook": {"workflow": with_text(), "webhook": {"url": f"http://127.0.0.1/{LARGE}"}},
    "a header": {
        "workflow": with_text(),
        "webhook": {"url": "http://127.0.0.1:9/", "headers": {"X-A": LARGE}},
    },
    "the server": {"workflow": with_text(), "server": LARGE},
    "an id": {"workflow": {**with_text(), LARGE: with_text()["9"]}},
    "a class": {"workflow": {**with_text(), "8": {"class_type": LARGE, "inputs": {}}}},
    "a title": {"workflow": {**with_text(), "9": {**with_text()["9"], "_meta": {"title": LARGE}}}},
}

# What a server says of it: a refusal, or values in its events and its history.
REFUSED: dict[str, Any] = {
    "details": refusal(details=LARGE),
    "a message": refusal(message=LARGE),
    "a type": refusal(type=LARGE),
    "node errors": {**refusal(), "node_errors": node_error(details=LARGE)},
    "extra info": {
        **refusal(),
        "node_errors": node_error(extra_info={"received_value": LARGE, "input_config": [LARGE]}),
    },
    "a text": LARGE,
}
SAID: dict[str, Json] = {
    "a text result": {"text": [LARGE]},
    "many text results": {"text": ["y" * 1000] * 5000},
    "characters": {"text": LARGE},
    "an exception": {"exception_message": LARGE},
    "its type": {"exception_type": LARGE},
    "a traceback": {"traceback": [LARGE]},
    "a long traceback": {"traceback": ["y" * 1000] * 5000},
    "what it had": {"current_inputs": {"x": [LARGE]}, "current_outputs": [LARGE]},
    "a name": {"images": [{"filename": LARGE, "subfolder": "", "type": "output"}]},
    "a folder": {"images": [{"filename": "a.png", "subfolder": LARGE, "type": "output"}]},
    "a kind": {"images": [{"filename": "a.png", "subfolder": "", "type": LARGE}]},
}


@asynccontextmanager
async def another_client(gateway: RunningGateway) -> AsyncIterator[list[Json]]:
    """It follows all tasks all the time, and takes no large message."""
    heard: list[Json] = []
    async with connect(f"ws://{gateway.address}/ws", max_size=MESSAGE) as socket:

        async def listen() -> None:
            async for message in socket:
                heard.append(json.loads(message))

        listening = asyncio.create_task(listen())
        yield heard
        assert not listening.done(), "its stream was cut off"
        listening.cancel()
        with pytest.raises((asyncio.CancelledError, ConnectionClosed)):
            await listening


async def all_stays_small(gateway: RunningGateway, heard: list[Json], body: Json) -> int:
    """Send it, and look at everything that tells of it; the status of the answer."""
    answer = await gateway.http.post("/api/workflow/submit?wait=60", json=body)
    assert answer.status_code < 500, answer.text[:500]
    if answer.status_code >= 400:
        assert len(answer.content) < 8_000
        return answer.status_code
    made = answer.json()
    for task_id in [task["task_id"] for task in made.get("tasks", [made])]:
        ends = ("succeeded", "failed")

        def told(task_id: str = task_id, ends: tuple[str, ...] = ends) -> bool:
            found = [m for m in heard if m.get("task_id") == task_id]
            return any(message.get("status") in ends for message in found)

        await wait_until(told)
        for path in (f"/api/task/{task_id}/events", f"/api/v2/jobs/{task_id}/events"):
            for event in [event async for event in sse(gateway.http, path)]:
                assert len(json.dumps(event["data"])) < MESSAGE, (path, event["event"])
    for path in LISTS:
        listed = await gateway.http.get(path)
        assert listed.status_code == 200, (path, listed.text[:300])
        assert len(listed.content) < PAGE / 25, path
    return answer.status_code


def one_at_a_time(cases: dict[str, Any]) -> Callable[..., Any]:
    return pytest.mark.parametrize("case", cases)


@one_at_a_time(SENT)
async def test_sent(case: str, gateway: RunningGateway) -> None:
    async with another_client(gateway) as heard:
        await all_stays_small(gateway, heard, SENT[case])


@one_at_a_time(REFUSED)
async def test_refused(case: str, gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.reject_with = (400, REFUSED[case])
    async with another_client(gateway) as heard:
        assert await all_stays_small(gateway, heard, {"workflow": with_text()}) == 200


@one_at_a_time(SAID)
async def test_said(case: str, gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.say = SAID[case]
    if not {"text", "images"} & SAID[case].keys():
        demo.knobs.fail_node = "PreviewAny"
    async with another_client(gateway) as heard:
        assert await all_stays_small(gateway, heard, {"workflow": with_text()}) == 200


async def test_a_file_in_place_of_its_name(gateway: RunningGateway) -> None:
    """A picture as plain base64: 422 at once, and nobody hears of it."""
    body = SENT["a file"] | {"params": {"1.image": "iVBOR" + "A" * 7_000_000}}
    async with another_client(gateway) as heard:
        assert await all_stays_small(gateway, heard, body) == 422
        answer = await gateway.http.post("/api/workflow/submit", json=body)
        assert "data: URI" in answer.json()["hint"]
        assert (await gateway.http.get("/api/tasks")).json()["tasks"] == []
        assert [message for message in heard if "task_id" in message] == []
