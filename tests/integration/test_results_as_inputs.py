"""Results of tasks as inputs of others: by task, by URL, by ComfyUI's own spelling."""

import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over
from tests.keyholders import Guarded, guarded

Json = dict[str, Any]
SUBMIT = "/api/workflow/submit?wait=60"
RED = 0xFF0000


def load(value: Any) -> Json:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": value}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }


def page(value: Any) -> Json:
    """The same as the page saves it."""
    node = {"mode": 0, "inputs": [], "outputs": []}
    image = {"name": "IMAGE", "type": "IMAGE", "links": [1]}
    socket = {"name": "images", "type": "IMAGE", "link": 1}
    return {
        "version": 0.4,
        "nodes": [
            {**node, "id": 1, "type": "LoadImage", "outputs": [image], "widgets_values": [value]},
            {**node, "id": 2, "type": "SaveImage", "inputs": [socket], "widgets_values": ["x"]},
        ],
        "links": [[1, 1, 0, 2, 0, "IMAGE"]],
    }


def plain(prefix: str = "chain", color: int = RED) -> Json:
    graph = model_free(color, prefix=prefix)
    graph["3"]["inputs"]["images"] = ["1", 0]
    return graph


@pytest.fixture
async def demos() -> AsyncIterator[list[DemoServer]]:
    async with DemoServer(step_seconds=0) as one, DemoServer(step_seconds=0) as other:
        yield [one, other]


@pytest.fixture
async def gateway(
    settings_for: Callable[..., Settings], demos: list[DemoServer]
) -> AsyncIterator[RunningGateway]:
    async with over(settings_for, *demos) as running:
        yield running


async def first(gateway: RunningGateway, demos: list[DemoServer], **more: Any) -> Json:
    task = await gateway.submit(plain(**more), server=demos[0].address)
    assert task["status"] == "succeeded", task["error"]
    return task


async def color_of(gateway: RunningGateway, task: Json) -> Any:
    assert task["status"] == "succeeded", task["error"]
    content = (await gateway.http.get(task["outputs"][0]["url"])).content
    return Image.open(io.BytesIO(content)).convert("RGB").getpixel((3, 3))


def spellings(gateway: RunningGateway, task: Json) -> dict[str, Any]:
    [output] = task["outputs"]
    base = str(gateway.http.base_url).rstrip("/")
    named = {"task_id": task["task_id"], "filename": output["filename"]}
    return {
        "task and name": named,
        "with all else": {**named, "subfolder": "deep", "type": "output", "node_id": "3"},
        "the result itself": output,
        "url": output["url"],
        "absolute url": base + output["url"],
        "below a path, signed": f"{base}/some/where{output['url']}&sig=abc&expires=1",
        "another name of ours": f"https://gateway.example{output['url']}",
        "comfyui's spelling": f"deep/{output['filename']} [output]",
        "the same on windows": f"deep\\{output['filename']}[output]",
    }


async def test_on_another_server(gateway: RunningGateway, demos: list[DemoServer]) -> None:
    task = await first(gateway, demos, prefix="deep/chain")
    there = demos[1].address
    for name, value in spellings(gateway, task).items():
        body = {"workflow": load("example.png"), "params": {"image": value}, "server": there}
        answer = await gateway.http.post(SUBMIT, json=body)
        assert answer.status_code == 200, (name, answer.text)
        assert await color_of(gateway, answer.json()) == (255, 0, 0), name
        for graph in (load(value), page(value)):
            answer = await gateway.http.post(SUBMIT, json={"workflow": graph, "server": there})
            assert answer.status_code == 200, (name, answer.text)
            assert await color_of(gateway, answer.json()) == (255, 0, 0), name


async def test_of_comfy_api_v2(gateway: RunningGateway, demos: list[DemoServer]) -> None:
    task = await first(gateway, demos)
    job = (await gateway.http.get(f"/api/v2/jobs/{task['task_id']}")).json()
    url = job["outputs"][0]["url"]
    for value in (url, url[url.index("/api/") :]):
        again = await gateway.submit(load(value), server=demos[1].address)
        assert await color_of(gateway, again) == (255, 0, 0)


async def test_uploads_by_their_url_and_as_comfyui_writes_them(
    gateway: RunningGateway, demos: list[DemoServer]
) -> None:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), "blue").save(content, "png")
    files = {"image": ("mine.png", content.getvalue())}
    upload = (await gateway.http.post("/api/image/upload", files=files)).json()
    for value in (upload["url"], "mine.png [input]", "mine.png"):
        assert await color_of(gateway, await gateway.submit(load(value))) == (0, 0, 255)


PATH = "/two"
FOREIGN = ["/one", "/anything", f"{PATH}/one", f"{PATH}x", f"{PATH}/", "/one//evil.example"]


async def uploaded(gateway: RunningGateway, color: str = "blue") -> str:
    """The path of an upload's URL."""
    content = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(content, "png")
    files = {"image": ("same.png", content.getvalue())}
    answer = await gateway.http.post("/api/image/upload", files=files)
    return str(answer.json()["url"])


async def asked(gateway: RunningGateway, value: Any, path: str = PATH, host: str = "") -> Any:
    """The answers of both ways to submit, as a client below a path gets them."""
    headers = {"X-Forwarded-Prefix": path} | ({"Host": host} if host else {})
    bodies = {SUBMIT: {"params": {"image": value}}, "/api/v2/jobs": {"workflow": load(value)}}
    bodies[SUBMIT]["workflow"] = load("example.png")
    return [
        await gateway.http.post(place, json=body, headers=headers) for place, body in bodies.items()
    ]


@pytest.mark.parametrize("query", ["?type=input", "?type=input&task_id=1", ""])
async def test_a_name_below_another_path_is_not_ours(gateway: RunningGateway, query: str) -> None:
    url = (await uploaded(gateway)).partition("?")[0] + query
    base = str(gateway.http.base_url).rstrip("/")
    below = [f"{path}{url}" for path in FOREIGN]
    for value in (*below, f"//evil.example{url}", {"filename": "same.png", "url": below[0]}):
        first, second = await asked(gateway, value)
        assert (first.status_code, second.status_code) == (422, 422), (value, first.text)
        assert first.json()["parameter"] == "image"
        assert "is no file of this gateway, which you reach below /two" in first.json()["detail"]
    elsewhere = [f"http://evil.example{path}{url}" for path in ("", PATH, *FOREIGN)]
    for value in (*elsewhere, *(f"{base}{path}" for path in below), f"http://{url}"):
        for answer in await asked(gateway, value):
            assert answer.status_code == 422, (value, answer.text)
            assert "is no file of this gateway" not in answer.text, "it is a URL like any other"


async def test_a_name_is_ours_below_our_path_and_without_it(gateway: RunningGateway) -> None:
    url, base = await uploaded(gateway), str(gateway.http.base_url).rstrip("/")
    for value in (url, PATH + url, base + url, base + PATH + url):
        for answer in await asked(gateway, value):
            assert answer.status_code < 300, (value, answer.text)
    named = f"http://localhost:1{PATH}{url}"
    for answer in await asked(gateway, named, host="LocalHost:1"):
        assert answer.status_code < 300, answer.text
    assert (await asked(gateway, url, path=""))[0].json()["status"] == "succeeded"


async def test_another_gateways_upload_is_fetched(
    settings_for: Callable[..., Settings], demo: DemoServer, tmp_path: Path
) -> None:
    """Although this one has a file of the same name, and the host is the same."""
    allowed = {"allow_private_urls": ["127.0.0.1"]}
    async with (
        over(settings_for, demo, **allowed) as one,
        over(settings_for, demo, **allowed, **apart(tmp_path)) as two,
    ):
        url = await uploaded(one, "lime")
        assert await uploaded(two, "blue") == url
        base = str(one.http.base_url).rstrip("/")
        mine = await two.submit(load("x.png"), params={"image": url})
        theirs = await two.submit(load("x.png"), params={"image": f"{base}{url}"})
        assert await color_of(two, mine) == (0, 0, 255)
        assert await color_of(two, theirs) == (0, 255, 0)


def apart(folder: Path) -> Json:
    """Settings of a second gateway, which shares nothing."""
    places = {"database_url": f"sqlite:///{folder}/other.db", "outputs_dir": folder / "other-out"}
    return {**places, "uploads_dir": folder / "other-in"}


async def test_a_batch_of_results(gateway: RunningGateway, demos: list[DemoServer]) -> None:
    tasks = [await first(gateway, demos, color=color) for color in (RED, 0x00FF00)]
    batch = await gateway.submit(load("x.png"), batch={"image": [t["outputs"][0] for t in tasks]})
    colors = [await color_of(gateway, task) for task in batch["tasks"]]
    assert colors == [(255, 0, 0), (0, 255, 0)]


async def test_the_newest_of_a_name(gateway: RunningGateway, demos: list[DemoServer]) -> None:
    for demo, color in zip(demos, (RED, 0x0000FF), strict=True):  # each calls it the same
        task = await gateway.submit(plain(color=color), server=demo.address)
    name = f"{task['outputs'][0]['filename']} [output]"
    again = await gateway.submit(load(name), server=demos[0].address)
    assert await color_of(gateway, again) == (0, 0, 255)


async def refused(http: Any, value: Any) -> Json:
    answer = await http.post("/api/workflow/submit", json={"workflow": load(value)})
    assert answer.status_code == 422, answer.text
    problem: Json = answer.json()
    return problem


async def test_what_is_not_there(gateway: RunningGateway, demos: list[DemoServer]) -> None:
    task = await first(gateway, demos)
    [output] = task["outputs"]
    task_id, base = task["task_id"], str(gateway.http.base_url).rstrip("/")
    problem = await refused(gateway.http, {"task_id": task_id, "filename": "other.png"})
    assert "'other.png'" in problem["detail"]
    assert output["filename"] in problem["hint"]
    assert problem["parameter"] == "1.image"
    unknown = output["url"].replace(task_id, "no-such-task")
    for value in (unknown, base + unknown, {"task_id": "no-such-task", "filename": "a.png"}):
        assert "no-such-task" in (await refused(gateway.http, value))["detail"]
    problem = await refused(gateway.http, f"{output['url']}&width=8")
    assert "view" in problem["detail"]
    problem = await refused(gateway.http, {"task_id": task_id, "filename": "a.png", "more": 1})
    assert "other fields" in problem["detail"]
    assert (await gateway.http.delete(f"/api/task/{task_id}")).status_code == 204
    assert task_id in (await refused(gateway.http, output["url"]))["detail"]


async def test_one_that_still_runs(gateway: RunningGateway, demos: list[DemoServer]) -> None:
    for demo in demos:
        demo.knobs.stall = True
    task = await gateway.submit(plain(), wait=0)
    problem = await refused(gateway.http, {"task_id": task["task_id"], "filename": "a.png"})
    assert "yet" in problem["detail"]
    assert "wait" in problem["hint"].lower()


async def test_one_that_has_expired(
    settings_for: Callable[..., Settings], demo: DemoServer
) -> None:
    async with over(settings_for, demo, retention_age=0.5) as gateway:
        task = await gateway.submit(plain())
        await gateway.until(task["task_id"], "expired")
        problem = await refused(gateway.http, task["outputs"][0]["url"])
        assert "after its time" in problem["detail"]
        assert "/retry" in problem["hint"]


async def test_texts_are_left_alone(gateway: RunningGateway, demos: list[DemoServer]) -> None:
    await first(gateway, demos)
    texts = ("chain_00001_.png [output]", "/api/image/a.png?task_id=1", "a [temp]")
    for text in texts:
        graph = plain() | {"4": {"class_type": "PreviewAny", "inputs": {"source": text}}}
        task = await gateway.submit(graph)
        assert text in [output.get("text") for output in task["outputs"]]


@pytest.fixture
async def gate(
    settings_for: Callable[..., Settings], tmp_path: Path, demo: DemoServer
) -> AsyncIterator[Guarded]:
    keys: Json = {"alice": "run", "bob": "run", "boss": "manage"}
    async with guarded(settings_for, tmp_path, demo, keys=keys) as found:
        yield found


async def test_results_of_other_keys_are_not_there(gate: Guarded) -> None:
    alice, bob, boss = [await gate.client(name) for name in ("alice", "bob", "boss")]
    task = (await alice.post(SUBMIT, json=plain())).json()
    [output] = task["outputs"]
    base = f"http://{gate.address}"
    named = {"task_id": task["task_id"], "filename": output["filename"]}
    for value in (named, output["url"], base + output["url"], output):
        said = await refused(bob, value)
        swap = "00000000-0000-4000-8000-000000000000"
        known = str(value).replace(task["task_id"], swap)
        assert known != str(value)
        other = {**named, "task_id": swap} if isinstance(value, dict) else known
        instead = await refused(bob, other)
        assert said["code"] == instead["code"]
        assert said["detail"].replace(task["task_id"], swap) == instead["detail"]
        for client in (alice, boss):
            answer = await client.post(SUBMIT, json={"workflow": load(value)})
            assert answer.json()["status"] == "succeeded", answer.text
    spelt = f"{output['filename']} [output]"
    assert (await refused(bob, spelt))["code"] == (await refused(bob, "no.png [output]"))["code"]
    answer = await alice.post(SUBMIT, json={"workflow": load(spelt)})
    assert answer.json()["status"] == "succeeded", answer.text
