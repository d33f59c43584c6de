"""Input files in every form in which a submit may bring them, and answers with files in them."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from PIL import Image

from app.api.routers import submit
from app.services import input_files
from app.services.input_files import FETCHES, MAX_FILES
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, run_gateway, wait_until
from tests.receivers import Got, Receiver, Reply, receiving

Json = dict[str, Any]


def png(color: str = "blue") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(content, "png")
    return content.getvalue()


BLUE = png()
TEXT = base64.b64encode(BLUE).decode()
INVERT = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "inverted"}},
}


@pytest.fixture
async def files() -> AsyncIterator[Receiver]:
    async with receiving(lambda _: Reply(body=BLUE, headers={"content-type": "image/png"})) as it:
        yield it


@pytest.fixture
async def gateway(
    demo: DemoServer,
    settings_for: Callable[..., Settings],
    files: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[RunningGateway]:
    monkeypatch.setattr(input_files, "FETCH_TIMEOUT", 5)
    settings = settings_for(
        demo.address, allow_private_urls=["127.0.0.1"], max_upload_bytes=100_000
    )
    async with run_gateway(settings) as running:
        await running.online()
        yield running


async def inverted(gateway: RunningGateway, task: Json) -> bool:
    assert task["status"] == "succeeded", task["error"]
    picture = (await gateway.http.get(task["outputs"][0]["url"])).content
    return Image.open(io.BytesIO(picture)).convert("RGB").getpixel((3, 3)) == (255, 255, 0)


async def refused(gateway: RunningGateway, value: Any, word: str = "image") -> Json:
    body = {"workflow": INVERT, "params": {word: value}}
    answer = await gateway.http.post("/api/workflow/submit", json=body)
    assert answer.status_code in (413, 422), answer.text
    problem: Json = answer.json()
    assert problem["parameter"] == word
    assert word in problem["detail"]
    return problem


DATA: list[Any] = [
    {"base64": TEXT},
    {"base64": f"data:image/png;base64,{TEXT}"},
    f"data:image/png;base64,{TEXT}",
    "data:image/png," + "".join(f"%{byte:02x}" for byte in BLUE),
]


async def test_data_as_a_value(gateway: RunningGateway) -> None:
    names = set()
    for value in DATA:
        task = await gateway.submit(INVERT, params={"image": value})
        assert await inverted(gateway, task)
        assert TEXT[:40] not in json.dumps(task)
        names.add(task["params"]["image"])
    assert len(names) == 1, "the same bytes are the same upload"
    assert names.pop().endswith(".png")
    value = {"base64": TEXT, "filename": "cat.png"}
    task = await gateway.submit(INVERT, params={"1.image": value})
    assert await inverted(gateway, task)
    assert task["params"] == {"1.image": "cat.png"}


async def test_a_url_as_a_value_and_a_retry(gateway: RunningGateway, files: Receiver) -> None:
    task = await gateway.submit(INVERT, params={"image": f"{files.url}/pictures/my%20cat.png?a=b"})
    assert await inverted(gateway, task)
    assert task["params"] == {"image": "my cat.png"}
    answer = await gateway.http.post(f"/api/task/{task['task_id']}/retry")
    again = await gateway.until(answer.json()["task_id"], "succeeded", "failed")
    assert await inverted(gateway, again)
    assert len(files.got) == 1, "a retry has the file already"


async def test_an_upload_by_reference(gateway: RunningGateway) -> None:
    sent = {"image": ("blue.png", BLUE)}
    name = (await gateway.http.post("/api/image/upload", files=sent)).json()["name"]
    task = await gateway.submit(INVERT, params={"image": {"upload": name}})
    assert await inverted(gateway, task)
    assert task["params"] == {"image": "blue.png"}


async def test_names_are_made_to_fit_the_bytes(gateway: RunningGateway, files: Receiver) -> None:
    for path in ("/image.php", "/view", "/"):
        task = await gateway.submit(INVERT, params={"image": f"{files.url}{path}"})
        assert await inverted(gateway, task)
        assert task["params"]["image"].endswith(".png")


REFUSED: list[tuple[Any, str]] = [
    ("http://127.0.0.2/cat.png", "url_not_allowed"),
    ("http://169.254.169.254/latest/meta-data/", "url_not_allowed"),
    ("http://user:pw@127.0.0.1/", "url_not_allowed"),
    ("https://0x7f.1/", "url_not_allowed"),
    ("http://127.0.0.1:1/", "url_failed"),
    ({"upload": "nothing.png"}, "invalid_parameter"),
    ({"upload": "../gateway.db"}, "invalid_parameter"),
    ({"upload": "a", "base64": "b"}, "invalid_parameter"),
    ({"upload": 3}, "invalid_parameter"),
    ({"base64": "?"}, "invalid_parameter"),
    ({"base64": base64.b64encode(b"<html>not found</html>").decode()}, "invalid_parameter"),
    ({"base64": base64.b64encode(BLUE[:20]).decode()}, "invalid_parameter"),
    ({"base64": base64.b64encode(b"fLaC" + bytes(99)).decode()}, "invalid_parameter"),
    ({"base64": base64.b64encode(BLUE + bytes(100_000)).decode()}, "payload_too_large"),
    ({"base64": ""}, "invalid_parameter"),
    ("data:image/png", "invalid_parameter"),
    ("data:image/png;base64,####", "invalid_parameter"),
]


async def test_what_is_refused(gateway: RunningGateway) -> None:
    for value, code in REFUSED:
        assert (await refused(gateway, value))["code"] == code, value
    assert (await gateway.http.get("/api/tasks")).json()["tasks"] == []


async def test_what_urls_answer_is_checked(gateway: RunningGateway, files: Receiver) -> None:
    for reply, code in (
        (Reply(404), "url_failed"),
        (Reply(302, headers={"location": "http://127.0.0.2/"}), "url_not_allowed"),
        (Reply(body=b"<html>", headers={"content-type": "image/png"}), "invalid_parameter"),
        (Reply(body=BLUE + bytes(200_000)), "payload_too_large"),
    ):
        files.handler = lambda _, reply=reply: reply  # type: ignore[misc]
        assert (await refused(gateway, f"{files.url}/cat.png"))["code"] == code


async def test_other_inputs_keep_their_texts(gateway: RunningGateway, files: Receiver) -> None:
    task = await gateway.submit(model_free(), params={"filename_prefix": "data:x"})
    assert task["params"] == {"filename_prefix": "data:x"}
    assert files.got == []
    problem = await refused(gateway, {"base64": TEXT}, "filename_prefix")
    assert "must be a string" in problem["detail"]


async def test_files_in_a_batch(gateway: RunningGateway, files: Receiver) -> None:
    """Each distinct value is had once, and fewer than all are fetched at a time."""
    urls = [f"{files.url}/{name}.png" for name in ("a", "b", "a")]
    batch = {"image": [*urls, f"data:image/png;base64,{TEXT}"], "filename_prefix": ["x", "y"]}
    made = await gateway.submit(INVERT, batch=batch)
    assert [await inverted(gateway, task) for task in made["tasks"]] == [True] * 8
    names = [task["params"]["image"] for task in made["tasks"]][::2]
    assert names[:3] == ["a.png", "b.png", "a.png"]
    assert sorted(got.path for got in files.got) == ["/a.png", "/b.png"]


async def test_nothing_is_fetched_for_a_batch_that_cannot_be(
    gateway: RunningGateway, files: Receiver
) -> None:
    for more in (
        {"batch": {"image": [f"{files.url}/{n}.png" for n in range(1001)]}},
        {"batch": {"image": [f"{files.url}/a.png"]}, "params": {"image": "b.png"}},
    ):
        answer = await gateway.http.post("/api/workflow/submit", json={"workflow": INVERT, **more})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
    bad = {"workflow": INVERT, "batch": {"image": [f"{files.url}/a.png", "http://10.0.0.1/"]}}
    answer = await gateway.http.post("/api/workflow/submit", json=bad)
    assert answer.json()["code"] == "url_not_allowed"
    assert [got.path for got in files.got] == ["/a.png"]
    assert (await gateway.http.get("/api/tasks")).json()["tasks"] == []


async def test_so_many_urls_are_fetched_at_a_time(gateway: RunningGateway, files: Receiver) -> None:
    now, most = 0, 0
    full = asyncio.Event()

    async def slow(_: Got) -> Reply:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        if now == FETCHES:
            full.set()
        await full.wait()
        await asyncio.sleep(0.1)  # more could come now
        now -= 1
        return Reply(body=BLUE)

    files.handler = slow
    asking = [
        gateway.submit(INVERT, params={"image": f"{files.url}/{n}.png"}, wait=0)
        for n in range(FETCHES * 2)
    ]
    assert len(await asyncio.gather(*asking)) == FETCHES * 2
    assert most == FETCHES


def of_comment(number: int) -> str:
    """A data: URI of a picture; one of another number has other bytes."""
    return f"data:image/png;base64,{base64.b64encode(BLUE + bytes([number])).decode()}"


TWO: Json = {
    **INVERT,
    "4": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
    "5": {"class_type": "PreviewImage", "inputs": {"images": ["4", 0]}},
}


async def test_a_submit_brings_so_many_files(gateway: RunningGateway, files: Receiver) -> None:
    """Wherever they stand: none is kept, or fetched, if they are too many."""
    many = [of_comment(number) for number in range(MAX_FILES)]
    batch = {"1.image": many, "4.image": [f"{files.url}/a.png", *many[1:]]}
    over: list[Json] = [
        {"batch": batch, "batch_mode": "zip"},
        {"batch": {"1.image": many}, "params": {"4.image": {"base64": TEXT}}},
        {"batch": {"1.image": [{"base64": one} for one in [*many, TEXT]]}},
        {"batch": {"1.image": [{"task_id": "t", "filename": f"{n}.png"} for n in range(101)]}},
    ]
    for more in over:
        answer = await gateway.http.post("/api/workflow/submit", json={"workflow": TWO, **more})
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
        assert "101 different files; 100 are" in answer.json()["detail"]
        assert "POST /api/image/upload" in answer.json()["hint"]
    text = json.dumps({"workflow": TWO, "batch": {"1.image": many}})
    answer = await form(gateway, **{"request": (None, text), "4.image": ("cat.png", BLUE)})
    assert answer.json()["code"] == "payload_too_large"
    assert files.got == []
    assert list(gateway.gateway.settings.uploads_dir.rglob("*.png")) == []
    assert (await gateway.http.get("/api/tasks")).json()["tasks"] == []


async def test_equal_files_are_one_and_names_are_none(
    gateway: RunningGateway, files: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.input_files.MAX_FILES", 2)
    url, data = f"{files.url}/a.png", {"base64": TEXT, "filename": "b.png"}
    batch = {"1.image": [url] * 5, "4.image": [data, url, data, url, data]}
    made = await gateway.submit(TWO, wait=0, batch=batch, batch_mode="zip")
    assert made["tasks"][4]["params"] == {"1.image": "a.png", "4.image": "b.png"}
    assert [got.path for got in files.got] == ["/a.png"]
    named = {"1.image": [{"upload": "a.png"}, "b.png", {"upload": "b.png"}]}
    await gateway.submit(TWO, wait=0, batch={**named, "4.image": [url, data, url]})


async def test_who_leaves_has_no_more_files_looked_at(
    gateway: RunningGateway, files: Receiver
) -> None:
    go_on = asyncio.Event()

    async def waits(_: Got) -> Reply:
        await go_on.wait()
        return Reply(body=BLUE)

    files.handler = waits
    batch = {"image": [f"{files.url}/{name}.png" for name in "abc"]}
    saved = {"file": ("invert.json", json.dumps(INVERT))}
    assert (await gateway.http.post("/api/workflow/upload", files=saved)).status_code == 201
    for url in ("/api/workflow/submit", "/api/workflow/invert/run"):
        files.got.clear()
        go_on.clear()
        body = {"batch": batch} if url.endswith("run") else {"workflow": INVERT, "batch": batch}
        asking = asyncio.create_task(gateway.http.post(url, json=body))
        await wait_until(lambda: files.got)
        asking.cancel()
        await wait_until(lambda: not gateway.connections)
        go_on.set()
        await wait_until(lambda: not gateway.server.server_state.tasks)
        assert [got.path for got in files.got] == ["/a.png"]
    assert (await gateway.http.get("/api/tasks")).json()["tasks"] == []


# -- forms --------------------------------------------------------------------------------------


async def form(gateway: RunningGateway, **parts: Any) -> Any:
    url = "/api/workflow/submit?wait=60"
    return await gateway.http.post(url, files=list(parts.items()))


async def test_a_form_with_a_file(gateway: RunningGateway) -> None:
    word = "1.image"
    envelope = json.dumps({"workflow": INVERT, "priority": 3, "metadata": {"a": "b"}})
    parts = {word: ("cat.png", BLUE), "request": (None, envelope)}
    task = (await form(gateway, **parts)).json()
    assert await inverted(gateway, task)
    assert task["params"] == {word: "cat.png"}
    assert (task["priority"], task["metadata"]) == (3, {"a": "b"})


async def test_a_form_with_the_workflow_as_a_file(gateway: RunningGateway) -> None:
    answer = await form(
        gateway,
        image=("cat.png", BLUE),
        workflow=("invert.json", json.dumps(INVERT)),
        params=(None, '{"filename_prefix": "mine"}'),
    )
    task = answer.json()
    assert await inverted(gateway, task)
    assert task["outputs"][0]["filename"].startswith("mine")
    assert task["params"] == {"filename_prefix": "mine", "image": "cat.png"}


async def test_a_form_with_a_picture_that_holds_the_workflow(gateway: RunningGateway) -> None:
    task = await gateway.submit(model_free())
    picture = (await gateway.http.get(task["outputs"][0]["url"])).content
    answer = await form(gateway, workflow=("made.png", picture))
    assert answer.json()["status"] == "succeeded"


async def test_a_form_for_a_saved_workflow(gateway: RunningGateway) -> None:
    saved = {"file": ("invert.json", json.dumps(INVERT))}
    assert (await gateway.http.post("/api/workflow/upload", files=saved)).status_code == 201
    url = "/api/workflow/invert/run?wait=60"
    for more in ({}, {"request": (None, '{"priority": 2}')}, {"params": (None, "{}")}):
        answer = await gateway.http.post(url, files={"image": ("cat.png", BLUE), **more})
        assert await inverted(gateway, answer.json())
        assert answer.json()["priority"] == (2 if "request" in more else 0)
    answer = await gateway.http.post(url, files={"workflow": ("a.json", "{}")})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    answer = await gateway.http.post(url)
    assert answer.json()["workflow"] == "invert.json"


BAD_FORMS: list[tuple[Json, str]] = [
    ({"image": ("a.png", BLUE)}, "no workflow"),
    ({"workflow": (None, "{")}, "not valid JSON"),
    ({"request": (None, "{}")}, "either"),
    ({"request": (None, "{}"), "params": (None, "{}")}, "Send either"),
    ({"workflow": (None, json.dumps(INVERT)), "seed": (None, "5")}, "no file"),
    ({"workflow": (None, json.dumps(INVERT)), "imag": ("a.png", BLUE)}, "'imag'"),
    ({"workflow": (None, json.dumps(INVERT)), "filename_prefix": ("a.png", BLUE)}, "takes"),
    ({"workflow": (None, json.dumps(INVERT)), "image": ("a.png", b"text")}, "by its bytes"),
    (
        {
            "workflow": (None, json.dumps(INVERT)),
            "params": (None, '{"image": "a.png"}'),
            "image": ("a.png", BLUE),
        },
        "stands in params",
    ),
]


async def test_forms_that_are_refused(gateway: RunningGateway) -> None:
    for parts, word in BAD_FORMS:
        answer = await form(gateway, **parts)
        assert answer.status_code in (400, 422), answer.text
        assert word in answer.json()["detail"]


async def test_a_form_sent_twice_makes_one_task(gateway: RunningGateway) -> None:
    """Whatever the boundary is; other bytes, names or values are another request."""
    saved = {"file": ("invert.json", json.dumps(INVERT))}
    assert (await gateway.http.post("/api/workflow/upload", files=saved)).status_code == 201
    large = BLUE + bytes(90_000)
    for url in ("/api/workflow/submit", "/api/workflow/invert/run"):
        key = {"Idempotency-Key": url}
        text = "{}" if url.endswith("run") else json.dumps({"workflow": INVERT})
        request = ("request", (None, text))
        picture = ("image", ("cat.png", large))
        answers = [
            await gateway.http.post(url + query, files=[request, picture], headers=key)
            for query in ("", "?wait=60", "?wait=60&inline=true")
        ]
        boundaries = {answer.request.headers["content-type"] for answer in answers}
        assert len(boundaries) == 3
        assert [answer.status_code for answer in answers] == [202, 200, 200]
        assert len({answer.json()["task_id"] for answer in answers}) == 1
        assert answers[2].json()["outputs"][0]["data"]
        assert await inverted(gateway, answers[1].json())
        for other in (
            [request, ("image", ("cat.png", large + b"\0"))],
            [request, ("image", ("dog.png", large))],
            [request, ("1.image", ("cat.png", large))],
            [("request", (None, text[:-1] + " }")), picture],
        ):
            answer = await gateway.http.post(url, files=other, headers=key)
            assert answer.json()["code"] == "idempotency_key_reused"
    assert len((await gateway.http.get("/api/tasks")).json()["tasks"]) == 2


# -- answers ------------------------------------------------------------------------------------


async def test_results_in_the_answer(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"workflow": model_free()}
    answer = await gateway.http.post("/api/workflow/submit?wait=60&inline=true", json=body)
    output = answer.json()["outputs"][0]
    assert base64.b64decode(output["data"]) == (await gateway.http.get(output["url"])).content
    assert output["data_error"] is None
    monkeypatch.setattr(submit, "MAX_INLINE_BYTES", 10)
    answer = await gateway.http.post("/api/workflow/submit?wait=60&inline=true", json=body)
    output = answer.json()["outputs"][0]
    assert (output["data"], output["data_error"]["code"]) == (None, "payload_too_large")
    assert output["url"]


async def test_results_of_a_batch_in_the_answer(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"workflow": model_free(), "batch": {"1.color": [1, 2, 3]}}
    url = "/api/workflow/submit?wait=60&inline=true"
    answer = await gateway.http.post(url, json=body, headers={"accept": "image/*"})
    assert answer.headers["content-type"] == "application/json"
    outputs = [task["outputs"][0] for task in answer.json()["tasks"]]
    for output in outputs:
        assert base64.b64decode(output["data"]) == (await gateway.http.get(output["url"])).content
    room = outputs[0]["size_bytes"] + outputs[1]["size_bytes"]
    monkeypatch.setattr(submit, "MAX_INLINE_BYTES", room)
    answer = await gateway.http.post(url, json=body)
    outputs = [task["outputs"][0] for task in answer.json()["tasks"]]
    assert [bool(output["data"]) for output in outputs] == [True, True, False]
    assert outputs[2]["data_error"]["code"] == "payload_too_large"


async def test_the_file_itself(gateway: RunningGateway) -> None:
    url, body = "/api/workflow/submit?wait=60", {"workflow": model_free()}
    for accept in ("image/*", "image/png", "text/plain, image/*;q=0.8, */*"):
        answer = await gateway.http.post(url, json=body, headers={"accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        assert Image.open(io.BytesIO(answer.content)).size == (16, 16)
        task = (await gateway.http.get(answer.headers["location"])).json()
        assert task["outputs"][0]["size_bytes"] == len(answer.content)
    for accept in ("*/*", "application/json, image/*", "video/*", "text/html,image/avif,image/*"):
        answer = await gateway.http.post(url, json=body, headers={"accept": accept})
        assert answer.json()["status"] == "succeeded"


async def test_no_single_file_no_file(gateway: RunningGateway) -> None:
    two = model_free()
    two["4"] = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "b"}}
    headers = {"accept": "image/*"}
    url = "/api/workflow/submit"
    answer = await gateway.http.post(f"{url}?wait=60", json={"workflow": two}, headers=headers)
    assert len(answer.json()["outputs"]) == 2
    answer = await gateway.http.post(url, json={"workflow": model_free()}, headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
