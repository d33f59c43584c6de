"""The HTTP client against answers of both versions, and of things that are no ComfyUI."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.comfyui.client import ComfyClient
from app.comfyui.history import PromptState
from app.errors import ComfyError, ComfyMissing, ComfyUnreachable, PromptRejected
from tests.unit.comfyui.scripted import Scripted, scripted

ID = "0b6ad0c1-6e4b-4c55-b1f2-1d8f8f1c9a11"
ENTRY = {"outputs": {}, "status": {"status_str": "success", "messages": []}}


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    async with scripted() as server:
        yield server


@pytest.fixture
async def client(server: Scripted) -> AsyncIterator[ComfyClient]:
    client = ComfyClient(server.base)
    yield client
    await client.aclose()


STATS = {"system": {"comfyui_version": "x"}, "devices": []}


@pytest.mark.parametrize(
    ("answer", "has_it"),
    [
        ((200, {"jobs": [], "pagination": {}}), True),
        ((404, b""), False),
        ((405, "405: Method Not Allowed"), False),
        ((500, "500"), False),
        ((200, "<html>"), False),
    ],
)
async def test_probe_detects_the_jobs_api(
    client: ComfyClient, server: Scripted, answer: tuple[int, Any], has_it: bool
) -> None:
    server.answer("GET", "/system_stats", STATS)
    status, body = answer
    server.answer("GET", "/api/jobs", body, status)
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
    client: ComfyClient, server: Scripted, status: str, state: PromptState
) -> None:
    client.has_jobs_api = True
    server.answer("GET", f"/api/jobs/{ID}", {"id": ID, "status": status})
    server.answer("GET", f"/history/{ID}", {ID: ENTRY})
    sighting = await client.find(ID)
    assert sighting.state is state
    assert bool(server.asked_for("GET", f"/history/{ID}")) == (state is PromptState.FINISHED)
    assert (sighting.entry is not None) == (state is PromptState.FINISHED)


async def test_find_with_a_jobs_api_that_a_prompt_has_broken(
    client: ComfyClient, server: Scripted
) -> None:
    client.has_jobs_api = True
    server.answer("GET", f"/api/jobs/{ID}", status=500)
    server.answer("GET", f"/history/{ID}", {})
    server.answer("GET", "/queue", {"queue_running": [[0, ID]], "queue_pending": []})
    assert (await client.find(ID)).state is PromptState.RUNNING


async def test_find_sees_a_prompt_that_moves_between_the_questions(
    client: ComfyClient, server: Scripted
) -> None:
    server.answer("GET", f"/history/{ID}", {})
    server.answer("GET", f"/history/{ID}", {ID: ENTRY})
    server.answer("GET", "/queue", {"queue_running": [], "queue_pending": []})
    assert (await client.find(ID)).state is PromptState.FINISHED


async def test_find_knows_when_nobody_knows(client: ComfyClient, server: Scripted) -> None:
    server.answer("GET", f"/history/{ID}", {})
    server.answer("GET", "/queue", {"queue_running": [[0, "other"]], "queue_pending": []})
    assert (await client.find(ID)).state is PromptState.UNKNOWN


async def test_cancel_with_the_jobs_api_is_one_request(
    client: ComfyClient, server: Scripted
) -> None:
    client.has_jobs_api = True
    server.answer("POST", f"/api/jobs/{ID}/cancel", {"cancelled": True})
    await client.cancel(ID)
    assert [one.path for one in server.asked] == [f"/api/jobs/{ID}/cancel"]


@pytest.mark.parametrize("has_jobs_api", [False, True])  # 0.8.0 has jobs, but no cancel: 405
@pytest.mark.parametrize("running", [ID, "a-stranger"])
async def test_cancel_without_it_never_interrupts_a_stranger(
    client: ComfyClient, server: Scripted, running: str, has_jobs_api: bool
) -> None:
    client.has_jobs_api = has_jobs_api
    server.answer("POST", f"/api/jobs/{ID}/cancel", status=405)
    server.answer("POST", "/queue")
    server.answer("GET", "/queue", {"queue_running": [[0, running]], "queue_pending": []})
    server.answer("POST", "/interrupt")
    await client.cancel(ID)
    assert [one.json for one in server.asked_for("POST", "/queue")] == [{"delete": [ID]}]
    interrupts = [one.json for one in server.asked_for("POST", "/interrupt")]
    assert interrupts == ([{"prompt_id": ID}] if running == ID else [])


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
async def test_a_refused_prompt_says_why(client: ComfyClient, server: Scripted, kind: str) -> None:
    error = {"type": kind, "message": "It is bad", "details": "", "extra_info": {}}
    server.answer("POST", "/prompt", {"error": error, "node_errors": NODE_ERRORS}, 400)
    with pytest.raises(PromptRejected) as caught:
        await client.queue_prompt({}, prompt_id=ID, client_id="c", extra={})
    assert caught.value.extra == {"node_errors": NODE_ERRORS, "reason": kind}
    for word in ("It is bad", "node 3", "KSampler", "Value not in list", "sampler_name"):
        assert word in caught.value.detail


async def test_a_prompt_is_sent_under_our_id(client: ComfyClient, server: Scripted) -> None:
    sent = {"prompt": {"1": {}}, "prompt_id": ID, "client_id": "c"}
    answered = {"prompt_id": ID, "number": 1, "node_errors": NODE_ERRORS}
    server.answer("POST", "/prompt", answered)
    answer = await client.queue_prompt({"1": {}}, prompt_id=ID, client_id="c", extra={})
    assert answer == NODE_ERRORS
    assert [one.json for one in server.asked] == [sent]


async def test_a_fault_of_comfyui_is_no_refusal(client: ComfyClient, server: Scripted) -> None:
    server.answer("POST", "/prompt", "500 Internal Server Error", 500)
    with pytest.raises(ComfyError) as caught:
        await client.queue_prompt({}, prompt_id=ID, client_id="c", extra={})
    assert caught.value.code == "comfyui_error"


async def test_something_else_at_the_address(client: ComfyClient, server: Scripted) -> None:
    server.answer("GET", "/object_info", "<html>a router's login page</html>")
    with pytest.raises(ComfyError, match="not ComfyUI's"):
        await client.object_info()


async def test_bare_nan_in_answers_is_read(client: ComfyClient, server: Scripted) -> None:
    server.answer("GET", "/queue", b'{"queue_running": [[NaN, "x"]], "queue_pending": []}')
    assert (await client.queue())["queue_running"] == [[None, "x"]]


async def test_a_missing_file(client: ComfyClient, server: Scripted) -> None:
    server.answer("GET", "/view", status=404)
    with pytest.raises(ComfyMissing):
        async with client.view("gone.png"):
            pass


async def test_an_upload_gets_the_name_in_the_reply(
    client: ComfyClient, server: Scripted, tmp_path: Path
) -> None:
    server.answer(
        "POST", "/upload/image", {"name": "a (1).png", "subfolder": "in", "type": "input"}
    )
    file = tmp_path / "a.png"
    file.write_bytes(b"png")
    with file.open("rb") as content:
        assert await client.upload_input("a.png", content) == "in/a (1).png"
    (sent,) = server.asked
    assert sent.headers["Content-Length"] == str(len(sent.content))
    assert sent.content.count(b"Content-Disposition: form-data") == 2
    for part in (
        b'name="type"\r\n\r\ninput\r\n',
        b'name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\npng\r\n--',
    ):
        assert part in sent.content


async def test_a_server_that_was_removed_is_unreachable() -> None:
    client = ComfyClient("http://127.0.0.1:8188")
    await client.aclose()
    with pytest.raises(ComfyUnreachable, match="was removed"):
        await client.probe()
    with pytest.raises(ComfyUnreachable, match="was removed"):
        async with client.view("a.png"):
            pass
