""" "randomize": true in all ways to submit; and seeds of 64 bits wherever they are told."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from websockets.asyncio.client import connect

from app.tasks.warnings import REPEATED
from app.workflows.parameters.apply import NOTHING_TO_RENEW
from tests.conftest import WAIT, RunningGateway, model_free, text_to_image

Json = dict[str, Any]
SUBMIT = "/api/workflow/submit?wait=60"
OUTPUTS = ("MODEL", "CLIP", "VAE")


def page(mark: str = "randomize", *, seed: int = 7, before: str | None = None) -> Json:
    """text_to_image as the page saves it; `before`: the mark of a primitive before its seed."""
    nodes: list[Json] = []
    links: list[Json] = []
    for node_id, node in text_to_image(seed=seed).items():
        values = [value for value in node["inputs"].values() if not isinstance(value, list)]
        inputs = []
        for name, value in node["inputs"].items():
            if isinstance(value, list):
                inputs.append({"name": name, "type": "*", "link": len(links) + 1})
                links.append(
                    [len(links) + 1, int(value[0]), value[1], int(node_id), len(inputs) - 1, "*"]
                )
        if node["class_type"] == "KSampler":
            values.insert(1, mark)
            if before is not None:
                links.append([99, 30, 0, int(node_id), len(inputs), "INT"])
                inputs.append(
                    {"name": "seed", "type": "INT", "link": 99, "widget": {"name": "seed"}}
                )
        one = {"id": int(node_id), "type": node["class_type"], "mode": 0, "inputs": inputs}
        nodes.append({**one, "outputs": [], "widgets_values": values})
    if before is not None:
        out = [{"name": "INT", "type": "INT", "links": [99], "widget": {"name": "seed"}}]
        primitive = {"id": 30, "type": "PrimitiveNode", "mode": 0, "inputs": [], "outputs": out}
        nodes.append({**primitive, "widgets_values": [seed, before]})
    return {"version": 0.4, "nodes": nodes, "links": links}


async def posted(gateway: RunningGateway, body: Json, path: str = SUBMIT, **more: Any) -> Json:
    answer = await gateway.http.post(path, json=body, **more)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def ran(gateway: RunningGateway, task: Json) -> int:
    """The seed that a task's picture was made with; its page's, too."""
    assert task["status"] == "succeeded", task["error"]
    content = (await gateway.http.get(task["outputs"][0]["url"])).content
    texts = Image.open(io.BytesIO(content)).info
    seed = json.loads(texts["prompt"])["3"]["inputs"]["seed"]
    if "workflow" in texts:
        nodes = {node["id"]: node for node in json.loads(texts["workflow"])["nodes"]}
        holder = nodes.get(30, nodes[3])
        assert holder["widgets_values"][0] == seed, "what is embedded shows what ran"
    return int(seed)


@pytest.mark.parametrize("before", [None, "randomize"])
async def test_a_file_of_the_page_gives_another_picture_each_time(
    gateway: RunningGateway, before: str | None
) -> None:
    mark = "fixed" if before else "randomize"
    body = {"workflow": page(mark, before=before), "randomize": True}
    tasks = [await posted(gateway, body) for _ in range(3)]
    seeds = [await ran(gateway, task) for task in tasks]
    assert len(set(seeds)) == 3
    assert [task["params"] for task in tasks] == [{"3.seed": seed} for seed in seeds]
    assert [task["warnings"] for task in tasks] == [[], [], []]


@pytest.mark.parametrize("mark", ["fixed", "increment", "decrement"])
async def test_other_marks_stay(gateway: RunningGateway, mark: str) -> None:
    body = {"workflow": page(mark), "randomize": True}
    task = await posted(gateway, body)
    assert await ran(gateway, task) == 7
    assert task["warnings"] == [NOTHING_TO_RENEW]


async def test_without_it_nothing_is_drawn_and_the_warning_names_it(
    gateway: RunningGateway,
) -> None:
    for workflow in (page(), text_to_image(seed=7)):
        task = await posted(gateway, {"workflow": workflow})
        assert await ran(gateway, task) == 7
        task = await posted(gateway, {"workflow": workflow})
        assert await ran(gateway, task) == 7
        assert task["warnings"] == [REPEATED]
    assert '"randomize": true' in REPEATED
    for workflow in (page(), text_to_image(seed=7)):
        task = await posted(gateway, {"workflow": workflow, "randomize": True})
        assert await ran(gateway, task) != 7
        assert task["warnings"] == []


async def test_a_batch_draws_for_each(gateway: RunningGateway) -> None:
    batch = {"6.text": ["a fox", "a boat", "a tree"]}
    body = {"workflow": page(), "batch": batch, "randomize": True}
    tasks = (await posted(gateway, body))["tasks"]
    seeds = {await ran(gateway, await gateway.task(task["task_id"])) for task in tasks}
    assert len(seeds) == 3
    body = {"workflow": page(), "batch": {"seed": [1, -1, 3]}, "randomize": True}
    tasks = (await posted(gateway, body))["tasks"]
    first, drawn, last = [await ran(gateway, await gateway.task(task["task_id"])) for task in tasks]
    assert (first, last) == (1, 3)
    assert drawn > 3


async def test_all_ways_to_submit(gateway: RunningGateway, tmp_path: Path) -> None:
    saved = {"file": ("mine.json", json.dumps(page()).encode(), "application/json")}
    answer = await gateway.http.post("/api/workflow/upload", files=saved)
    assert answer.status_code in (200, 201), answer.text
    run = "/api/workflow/mine.json/run?wait=60"
    asked = json.dumps({"workflow": page(), "randomize": True})
    tasks = [
        await posted(gateway, {"randomize": True}, run),
        await posted(gateway, {"filename": "mine.json", "randomize": True}),
        await posted(gateway, {"prompt": text_to_image(seed=7), "randomize": True}),
    ]
    for path, request in ((SUBMIT, asked), (run, '{"randomize": true}')):
        answer = await gateway.http.post(path, files={"request": (None, request)})
        assert answer.status_code == 200, answer.text
        tasks.append(answer.json())
    seeds = [await ran(gateway, task) for task in tasks]
    assert 7 not in seeds
    assert len(set(seeds)) == len(seeds)
    given = await posted(gateway, {"params": {"seed": 12}, "randomize": True}, run)
    assert await ran(gateway, given) == 12
    retried = await gateway.http.post(f"/api/task/{tasks[0]['task_id']}/retry")
    done = await gateway.until(retried.json()["task_id"], "succeeded")
    assert await ran(gateway, done) == seeds[0], "a retry is the same request"
    found = await posted(gateway, {"workflow": page(), "randomize": True}, "/api/workflow/convert")
    assert found["workflow"]["3"]["inputs"]["seed"] != 7
    document = (await gateway.http.get("/api/workflow/mine.json/openapi.json")).json()
    (operation,) = document["paths"].values()
    body = operation["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["randomize"]["type"] == "boolean"


async def test_only_true_and_false_are_taken(gateway: RunningGateway) -> None:
    for value in ("yes", 1, "true", []):
        body = {"workflow": model_free(), "randomize": value}
        answer = await gateway.http.post(SUBMIT, json=body)
        assert answer.status_code == 422, value


@pytest.mark.parametrize("seed", [2**53 + 1, 2**63 - 1, 2**63 + 1, 2**64 - 1])
async def test_seeds_of_64_bits_are_exact_in_all_answers_and_events(
    gateway: RunningGateway, seed: int
) -> None:
    texts: list[str] = []

    async def listen() -> None:
        async with connect(f"ws://{gateway.address}/ws") as socket:
            ready.set()
            async for message in socket:
                if isinstance(message, str):
                    texts.append(message)
                    if '"succeeded"' in message:
                        return

    ready = asyncio.Event()
    listening = asyncio.create_task(listen())
    await ready.wait()
    body = {"workflow": text_to_image(), "params": {"seed": seed}, "metadata": {"mine": seed}}
    answer = await gateway.http.post(SUBMIT, json=body)
    task = answer.json()
    await asyncio.wait_for(listening, WAIT)
    task_id = task["task_id"]
    paths = [f"/api/task/{task_id}", "/api/tasks", "/api/history", f"/api/task/{task_id}/workflow"]
    texts += [answer.text] + [(await gateway.http.get(path)).text for path in paths]
    async with gateway.http.stream("GET", f"/api/task/{task_id}/events") as events:
        texts += [line async for line in events.aiter_lines() if '"params"' in line]
    told = [text for text in texts if '"seed"' in text]
    assert len(told) >= 7
    for text in told:
        assert str(seed) in text, text
    assert await ran(gateway, task) == seed
