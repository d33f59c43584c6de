"""Results that are equal, or may be one text: none is lost, and all are in their order."""

from collections.abc import Callable
from typing import Any

import pytest

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over
from tests.databases import database_url
from tests.integration.test_streams import sse

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]


def with_text() -> Json:
    graph = model_free()
    graph["9"] = {"class_type": "PreviewAny", "inputs": {"source": "x"}}
    return graph


def texts_of(task: Json) -> list[str]:
    return [output["text"] for output in task["outputs"] if output["kind"] == "text"]


CAPTIONS = {
    "equal": (["a cat", "a cat", "a dog", "a cat"], None),
    "empty": (["", "a cat", ""], None),
    "characters": (["1", "2", "1"], ["121", "1", "2", "1"]),
    "longer than lists show": (["x" * 3000, "x" * 3000, "x" * 2999 + "y"], None),
}


@pytest.mark.parametrize(
    ("kind", "told"),
    [("sqlite", "events"), pytest.param("postgresql", "history", marks=pytest.mark.service)],
)
@pytest.mark.parametrize("case", CAPTIONS)
async def test_texts(
    case: str, told: str, kind: str, settings_for: MakeSettings, demo: DemoServer, tmp_path: Any
) -> None:
    said, expected = CAPTIONS[case]
    demo.knobs.say = {"text": said}
    demo.knobs.refuse_sockets = told == "history"
    async with (
        database_url(kind, tmp_path) as url,
        over(settings_for, demo, database_url=url) as gateway,
    ):
        task = await gateway.submit(with_text())
        assert texts_of(task) == (expected or said)
        assert texts_of(await gateway.task(task["task_id"])) == (expected or said)
        await same_in_v2(gateway, task["task_id"], expected or said)


async def same_in_v2(gateway: RunningGateway, task_id: str, texts: list[str]) -> None:
    """Each has an id of its own, which leads to it."""
    job = (await gateway.http.get(f"/api/v2/jobs/{task_id}")).json()
    (listed,) = (await gateway.http.get("/api/v2/jobs")).json()["jobs"]
    ids = [output["id"] for output in job["outputs"] if output["type"] == "text"]
    assert ids == [output["id"] for output in listed["outputs"] if output["type"] == "text"]
    assert len(ids) == len(set(ids)) == len(texts)
    for id, text in zip(ids, texts, strict=True):
        answer = await gateway.http.get(f"/api/v2/assets/{id}/content", follow_redirects=True)
        assert (answer.status_code, answer.text) == (200, text)


async def test_streams_tell_of_each(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.say = {"text": ["a cat", "a cat"]}
    task = await gateway.submit(with_text())
    events = [e async for e in sse(gateway.http, f"/api/task/{task['task_id']}/events", "0")]
    told = [e["data"] for e in events if e["event"] == "output" and e["data"]["kind"] == "text"]
    assert [(output["text"], output.get("copy")) for output in told] == [
        ("a cat", None),
        ("a cat", 1),
    ]


async def test_characters_are_marked(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.say = {"text": ["y", "n"]}
    task = await gateway.submit(with_text())
    found = [(o["text"], o["type"]) for o in task["outputs"] if o["kind"] == "text"]
    assert found == [("yn", "output"), ("y", "item"), ("n", "item")]


async def test_a_picture_that_is_named_twice(gateway: RunningGateway, demo: DemoServer) -> None:
    (first,) = (await gateway.submit(model_free()))["outputs"]
    picture = {"filename": first["filename"], "subfolder": "", "type": first["type"]}
    demo.knobs.say = {"images": [picture, picture], "text": ["one", "two"]}
    task = await gateway.submit(with_text())
    pictures = [output for output in task["outputs"] if output["kind"] == "image"]
    assert [output["hash"] for output in pictures] == [first["hash"]] * 2
    assert len(texts_of(task)) == 2
    for output in pictures:
        assert (await gateway.http.get(output["url"])).status_code == 200
    demo.knobs.say = None
