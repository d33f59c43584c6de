"""The HTTP client against answers of both versions, and of things that are no ComfyUI."""

from typing import Any

import httpx
import pytest
import respx

from app.comfyui.client import ComfyClient
from app.comfyui.history import PromptState
from app.errors import ComfyError, ComfyMissing, ComfyUnreachable, PromptRejected

BASE = "http://comfy.test:8188"
ID = "0b6ad0c1-6e4b-4c55-b1f2-1d8f8f1c9a11"
ENTRY = {"outputs": {}, "status": {"status_str": "success", "messages": []}}


@pytest.fixture
async def client() -> Any:
    client = ComfyClient(BASE)
    yield client
    await client.aclose()


@pytest.fixture
def server() -> Any:
    with respx.mock(base_url=BASE, assert_all_called=False) as router:
        yield router


STATS = {"system": {"comfyui_version": "x"}, "devices": []}


@pytest.mark.parametrize(
    ("answer", "has_it"),
    [
        (httpx.Response(200, json={"jobs": [], "pagination": {}}), True),
        (httpx.Response(404, content=b""), False),
        (httpx.Response(405, text="405: Method Not Allowed"), False),
        (httpx.Response(500, text="500"), False),
        (httpx.Response(200, text="<html>"), False),
    ],
)
async def test_probe_detects_the_jobs_api(
    client: ComfyClient, server: respx.Router, answer: httpx.Response, has_it: bool
) -> None:
    server.get("/system_stats").respond(json=STATS)
    server.get("/api/jobs").mock(return_value=answer)
    assert await client.probe() == STATS
    assert client.has_jobs_api is has_it


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("pending", PromptState.PENDING),
        ("in_progress", PromptState.RUNNING),
        ("completed", PromptState.FINISHED),
    ],
)
async def test_find_with_the_jobs_api(
    client: ComfyClient, server: respx.Router, status: str, state: PromptState
) -> None:
    client.has_jobs_api = True
    server.get(f"/api/jobs/{ID}").respond(json={"id": ID, "status": status})
    history = server.get(f"/history/{ID}").respond(json={ID: ENTRY})
    sighting = await client.find(ID)
    assert sighting.state is state
    assert history.called == (state is PromptState.FINISHED)
    assert (sighting.entry is not None) == (state is PromptState.FINISHED)


async def test_find_with_a_jobs_api_that_a_prompt_has_broken(
    client: ComfyClient, server: respx.Router
) -> None:
    client.has_jobs_api = True
    server.get(f"/api/jobs/{ID}").respond(500)
    server.get(f"/history/{ID}").respond(json={})
    server.get("/queue").respond(json={"queue_running": [[0, ID]], "queue_pending": []})
    assert (await client.find(ID)).state is PromptState.RUNNING


async def test_find_sees_a_prompt_that_moves_between_the_questions(
    client: ComfyClient, server: respx.Router
) -> None:
    answers = [httpx.Response(200, json={}), httpx.Response(200, json={ID: ENTRY})]
    server.get(f"/history/{ID}").mock(side_effect=answers)
    server.get("/queue").respond(json={"queue_running": [], "queue_pending": []})
    assert (await client.find(ID)).state is PromptState.FINISHED


async def test_find_knows_when_nobody_knows(client: ComfyClient, server: respx.Router) -> None:
    server.get(f"/history/{ID}").respond(json={})
    server.get("/queue").respond(json={"queue_running": [[0, "other"]], "queue_pending": []})
    assert (await client.find(ID)).state is PromptState.UNKNOWN


async def test_cancel_with_the_jobs_api_is_one_request(
    client: ComfyClient, server: respx.Router
) -> None:
    client.has_jobs_api = True
    cancel = server.post(f"/api/jobs/{ID}/cancel").respond(json={"cancelled": True})
    await client.cancel(ID)
    assert cancel.call_count == 1


@pytest.mark.parametrize("has_jobs_api", [False, True])  # 0.8.0 has jobs, but no cancel: 405
@pytest.mark.parametrize("running", [ID, "a-stranger"])
async def test_cancel_without_it_never_interrupts_a_stranger(
    client: ComfyClient, server: respx.Router, running: str, has_jobs_api: bool
) -> None:
    client.has_jobs_api = has_jobs_api
    server.post(f"/api/jobs/{ID}/cancel").respond(405)
    delete = server.post("/queue", json={"delete": [ID]}).respond(200)
    server.get("/queue").respond(json={"queue_running": [[0, running]], "queue_pending": []})
    interrupt = server.post("/interrupt", json={"prompt_id": ID}).respond(200)
    await client.cancel(ID)
    assert delete.called
    assert interrupt.called == (running == ID)


NODE_ERRORS = {
    "3": {
        "class_type": "KSampler",
        "dependent_outputs": ["9"],
        "errors": [
            {"type": "value_not_in_list", "message": "Value not in list", "details": "sampler_name"}
        ],
    }
}


@pytest.mark.parametrize("kind", ["invalid_prompt", "missing_node_type"])
async def test_a_refused_prompt_says_why(
    client: ComfyClient, server: respx.Router, kind: str
) -> None:
    error = {"type": kind, "message": "It is bad", "details": "", "extra_info": {}}
    server.post("/prompt").respond(400, json={"error": error, "node_errors": NODE_ERRORS})
    with pytest.raises(PromptRejected) as caught:
        await client.queue_prompt({}, prompt_id=ID, client_id="c", extra={})
    assert caught.value.extra == {"node_errors": NODE_ERRORS, "reason": kind}
    for word in ("It is bad", "node 3", "KSampler", "Value not in list", "sampler_name"):
        assert word in caught.value.detail


async def test_a_prompt_is_sent_under_our_id(client: ComfyClient, server: respx.Router) -> None:
    sent = {"prompt": {"1": {}}, "prompt_id": ID, "client_id": "c"}
    server.post("/prompt", json=sent).respond(
        json={"prompt_id": ID, "number": 1, "node_errors": NODE_ERRORS}
    )
    answer = await client.queue_prompt({"1": {}}, prompt_id=ID, client_id="c", extra={})
    assert answer == NODE_ERRORS


async def test_a_fault_of_comfyui_is_no_refusal(client: ComfyClient, server: respx.Router) -> None:
    server.post("/prompt").respond(500, text="500 Internal Server Error")
    with pytest.raises(ComfyError) as caught:
        await client.queue_prompt({}, prompt_id=ID, client_id="c", extra={})
    assert caught.value.code == "comfyui_error"


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ReadTimeout, httpx.ReadError])
async def test_transport_errors_become_ours(
    client: ComfyClient, server: respx.Router, error: type[httpx.TransportError]
) -> None:
    server.get("/queue").mock(side_effect=error("boom"))
    with pytest.raises(ComfyUnreachable, match=r"comfy\.test:8188"):
        await client.queue()


async def test_something_else_at_the_address(client: ComfyClient, server: respx.Router) -> None:
    server.get("/object_info").respond(200, text="<html>a router's login page</html>")
    with pytest.raises(ComfyError, match="not ComfyUI's"):
        await client.object_info()


async def test_bare_nan_in_answers_is_read(client: ComfyClient, server: respx.Router) -> None:
    server.get("/queue").respond(content=b'{"queue_running": [[NaN, "x"]], "queue_pending": []}')
    assert (await client.queue())["queue_running"] == [[None, "x"]]


async def test_a_missing_file(client: ComfyClient, server: respx.Router) -> None:
    server.get("/view").respond(404)
    with pytest.raises(ComfyMissing):
        async with client.view("gone.png"):
            pass


async def test_an_upload_gets_the_name_in_the_reply(
    client: ComfyClient, server: respx.Router, tmp_path: Any
) -> None:
    server.post("/upload/image").respond(
        json={"name": "a (1).png", "subfolder": "in", "type": "input"}
    )
    file = tmp_path / "a.png"
    file.write_bytes(b"png")
    with file.open("rb") as content:
        assert await client.upload_input("a.png", content) == "in/a (1).png"


async def test_a_server_that_was_removed_is_unreachable() -> None:
    client = ComfyClient(BASE)
    await client.aclose()
    with pytest.raises(ComfyUnreachable, match="was removed"):
        await client.probe()
    with pytest.raises(ComfyUnreachable, match="was removed"):
        async with client.view("a.png"):
            pass
