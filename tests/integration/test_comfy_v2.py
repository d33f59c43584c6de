"""Comfy API v2: every operation against the contract, and one truth with our own API."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
from blake3 import blake3

from app.api.v2 import events
from app.db.tasks import TaskRepository
from app.errors import InvalidInput, MissingAsset
from app.runner import paid_node_keys
from app.runner.stage_inputs import stage_inputs
from app.services.tasks import TaskService
from app.settings import Settings
from app.tasks.model import NewTask, Task
from fake_comfyui.engine import Engine
from fake_comfyui.executor import Run
from fake_comfyui.queue import PromptQueue, QueueItem
from fake_comfyui.server import DemoServer
from tests.comfy_api import FACTS, Client, events_of
from tests.conftest import WAIT, RunningGateway, model_free, run_gateway, text_to_image, wait_until
from tests.integration.test_conversion import ui_file
from tests.integration.test_files import png

Json = dict[str, Any]

JOBS, JOB = "/api/v2/jobs", "GET /api/v2/jobs/{id}"
KEY = "sk-very-secret"


@pytest.fixture
def v2(gateway: RunningGateway) -> Client:
    return Client(gateway.http)


async def submitted(v2: Client, workflow: Json, headers: Json | None = None, **body: Any) -> Json:
    answer = await v2.call(
        f"POST {JOBS}", json={"workflow": workflow, **body}, headers=headers or {}
    )
    assert answer.status_code == 201, answer.text
    job: Json = answer.json()
    return job


async def ended(v2: Client, job: Json) -> Json:
    async def look() -> Json | None:
        found: Json = await v2.json(JOB, id=job["id"])
        return found if found["completed_at"] else None

    found: Json = await wait_until(look)
    return found


async def uploaded(v2: Client, content: bytes, name: str = "photo.png", **form: Any) -> Any:
    headers = form.pop("headers", {})
    return await v2.call(
        "POST /api/v2/assets",
        files={"file": (name, content)},
        data={"content_type": "image/png", "file_path": name, **form},
        headers=headers,
    )


def hash_of(content: bytes) -> str:
    return f"blake3:{blake3(content).hexdigest()}"


def loading(asset_id: str) -> Json:
    asset = {"__type": "core/ASSET", "info": {"id": asset_id}}
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": asset}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "v2"}},
    }


async def code(v2: Client, operation: str, status: int, **options: Any) -> str:
    """The code of an error."""
    answer = await v2.call(operation, **options)
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"]["code"])


async def test_a_job_is_a_task(v2: Client, gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.step_seconds = 0.02
    job = await submitted(v2, text_to_image(steps=30), metadata={"client": "acme"}, priority=3)
    assert (job["status"], job["started_at"]) == ("queued", None)
    assert job["metrics"] == {"queue_ms": None, "execution_ms": None}
    stream = (await v2.call("GET /api/v2/jobs/{id}/events", id=job["id"])).text
    told = events_of(stream)
    assert {event for event, _ in told} == {"status", "progress", "preview", "output"}
    assert [data["status"] for event, data in told if event == "status"][-1] == "succeeded"
    values = [data["value"] for event, data in told if event == "progress"]
    assert values == sorted(values)
    assert len(values) < 12, "progress is told twice a second at most"

    job = await ended(v2, job)
    task = await gateway.task(job["id"])
    assert (task["metadata"], task["priority"]) == ({"client": "acme"}, 3)
    for theirs, ours in (
        ("status", "status"),
        ("created_at", "created_at"),
        ("started_at", "started_at"),
        ("completed_at", "finished_at"),
    ):
        assert job[theirs] == task[ours]
    (output,), (same,) = job["outputs"], task["outputs"]
    assert [output[name] for name in ("name", "hash", "size_bytes")] == [
        same[name] for name in ("filename", "hash", "size_bytes")
    ]
    assert [data["id"] for event, data in told if event == "output"] == [output["id"]]
    content = await v2.call("GET /api/v2/assets/{id}/content", id=output["id"])
    assert hash_of(content.content) == output["hash"]
    assert job["metrics"]["execution_ms"] > 300
    workflow = await v2.json("GET /api/v2/jobs/{id}/workflow", id=job["id"])
    assert workflow == {"workflow": text_to_image(steps=30), "format": "api"}

    other = await gateway.submit(model_free(), metadata={"client": "other"})
    page = await v2.json(f"GET {JOBS}", params={"limit": 1})
    assert [item["id"] for item in page["jobs"]] == [other["task_id"]]
    rest = await v2.json(f"GET {JOBS}", params={"cursor": page["next_cursor"]})
    assert [item["id"] for item in rest["jobs"]] == [job["id"]]
    assert "next_cursor" not in rest
    for client, found in (("acme", [job["id"]]), ("ACME", []), ("other", [other["task_id"]])):
        listed = await v2.json(f"GET {JOBS}", params={"metadata[client]": client})
        assert [item["id"] for item in listed["jobs"]] == found


async def test_what_else_a_job_may_be(v2: Client, gateway: RunningGateway) -> None:
    job = await submitted(v2, model_free(), metadata="a note")
    assert (await ended(v2, job))["metadata"] == "a note"
    assert (await gateway.task(job["id"]))["metadata"] == "a note"
    text = {"1": {"class_type": "PreviewAny", "inputs": {"source": "half a ? wörd"}}}
    (output,) = (await ended(v2, await submitted(v2, text)))["outputs"]
    assert (output["type"], output["name"]) == ("text", "node1.txt")
    whole = await v2.call("GET /api/v2/assets/{id}/content", id=output["id"])
    assert (whole.text, len(whole.content)) == ("half a ? wörd", output["size_bytes"])
    part = await v2.call(
        "GET /api/v2/assets/{id}/content", id=output["id"], headers={"range": "bytes=0-3"}
    )
    assert (part.status_code, part.text) == (206, "half")
    assert await v2.json("GET /api/v2/assets/{id}", id=output["id"])
    converted = await ended(v2, await submitted(v2, ui_file()))
    assert converted["outputs"][0]["name"].startswith("from_ui")
    graph = await v2.json("GET /api/v2/jobs/{id}/workflow", id=converted["id"])
    assert (graph["format"], set(graph["workflow"])) == ("api", {"1", "3"})


async def test_a_reference_may_stand_anywhere(v2: Client, demo: DemoServer) -> None:
    photo = (await uploaded(v2, png((7, 7, 7)))).json()
    asset = {"__type": "core/ASSET", "info": {"id": photo["id"], "hash": "blake3:none"}}
    said = {"deep": [{"er": asset}, asset]}
    graph = {**loading(photo["id"]), "9": {"class_type": "PreviewAny", "inputs": {"source": said}}}
    assert (await ended(v2, await submitted(v2, graph)))["status"] == "succeeded"
    inputs = {node_id: node["inputs"] for node_id, node in demo.records.prompts[0].graph.items()}
    name = inputs["1"]["image"]
    assert demo.records.uploads == [name], "its id counts, whatever the hash says"
    assert inputs["9"]["source"] == {"deep": [{"er": name}, name]}
    for info in ({}, None, {"id": 7}, {"id": "nobody"}, {"hash": photo["hash"]}):
        bad = {"deep": [{"__type": "core/ASSET", "info": info}]}
        graph["9"]["inputs"]["source"] = bad
        assert await code(v2, f"POST {JOBS}", 422, json={"workflow": graph}) == "missing_asset"


async def test_a_file_is_looked_for_once_however_often_a_prompt_names_it(
    v2: Client, gateway: RunningGateway, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, uploads = gateway.gateway.pool.get(demo.address), gateway.gateway.uploads
    photo = (await uploaded(v2, png((7, 7, 7)))).json()
    info = {"id": photo["id"], "hash": photo["hash"], "file_path": "photo.png"}
    asset = {"__type": "core/ASSET", "info": info}
    graph = {
        f"{number}": {"class_type": "LoadImage", "inputs": {"image": image}}
        for number, image in enumerate([asset, "photo.png", "example.png"] * 20)
    }
    asked: list[tuple[str, str]] = []

    def note(owner: Any, method: str) -> None:
        original = getattr(owner, method)

        async def noting(name: str) -> Any:
            asked.append((method, name))
            return await original(name)

        monkeypatch.setattr(owner, method, noting)

    for owner, method in ((server.client, "input_size"), (uploads, "exists"), (uploads, "get")):
        note(owner, method)
    staged, names = await stage_inputs(graph, server, uploads)
    (there,) = names
    assert names == {there: "photo.png"}
    images = [node["inputs"]["image"] for node in staged.values()]
    assert images == [there, there, "example.png"] * 20
    assert demo.records.uploads == [there]
    assert sorted(asked) == [
        ("exists", "example.png"),
        ("exists", "photo.png"),
        ("get", "photo.png"),
        ("input_size", there),
    ]
    info = {**info, "hash": "blake3:another"}
    graph["last"] = {"class_type": "LoadImage", "inputs": {"image": {**asset, "info": info}}}
    with pytest.raises(MissingAsset):  # each of them is checked
        await stage_inputs(graph, server, uploads)


async def test_the_stream_of_a_job_that_waits(
    v2: Client, demo: DemoServer, gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "SILENCE", 0.1)
    demo.knobs.stall = True
    jobs = [await submitted(v2, model_free(color=n)) for n in range(4)]
    url = f"/api/v2/jobs/{jobs[-1]['id']}/events"
    lines: list[str] = []
    async with gateway.http.stream("GET", url) as stream:
        async for line in stream.aiter_lines():
            lines.append(line)
            if line == ": keepalive":
                demo.knobs.stall = False
    told = events_of("\n".join(lines))
    assert [event for event, _ in told[:2]] == ["status", "progress"], "how it stands comes first"
    statuses = [data for event, data in told if event == "status"]
    assert statuses[0] == {"status": "queued", "queue_position": jobs[-1]["queue_position"]}
    order = [data["status"] for data in statuses]
    assert order == sorted(order, key=["queued", "running", "succeeded"].index)
    assert told[-1] == ("status", {"status": "succeeded", "queue_position": None})
    assert {event for event, _ in told} == {"status", "progress", "output"}
    again = await v2.call("GET /api/v2/jobs/{id}/events", id=jobs[-1]["id"])
    assert events_of(again.text) == [told[-1]], "it is over"


async def test_a_stream_ends_with_its_job_and_not_with_the_next_silence(
    v2: Client, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "SILENCE", 3600)
    demo.knobs.step_seconds = 0.02
    job = await submitted(v2, text_to_image(steps=20))
    async with asyncio.timeout(WAIT):
        for _ in ("while it runs", "when it is over"):
            stream = (await v2.call("GET /api/v2/jobs/{id}/events", id=job["id"])).text
            assert events_of(stream)[-1][1]["status"] == "succeeded"


async def test_content(v2: Client) -> None:
    content = png((4, 5, 6))
    asset = (await uploaded(v2, content)).json()
    assert asset["url"].endswith(f"/api/v2/assets/{asset['id']}/content")

    async def get(**headers: str) -> httpx.Response:
        return await v2.call("GET /api/v2/assets/{id}/content", id=asset["id"], headers=headers)

    whole = await get()
    assert (whole.content, whole.headers["content-type"]) == (content, "image/png")
    assert whole.headers["accept-ranges"] == "bytes"
    etag = whole.headers["etag"]
    part = await get(range="bytes=2-5", **{"if-range": etag})
    assert (part.status_code, part.content) == (206, content[2:6])
    assert part.headers["content-range"] == f"bytes 2-5/{len(content)}"
    assert (await get(range="bytes=2-5", **{"if-range": '"other"'})).status_code == 200
    beyond = await get(range="bytes=99999-")
    assert beyond.headers["content-range"] == f"bytes */{len(content)}"
    assert (await get(range=f"bytes={'1' * 5000}-")).status_code == 200, "no number that is one"
    assert (await v2.http.get(asset["url"], headers={"if-none-match": etag})).status_code == 304
    head = await v2.http.head(asset["url"])
    assert (head.headers["content-length"], head.content) == (str(len(content)), b"")


@pytest.mark.parametrize("said", ["png", "image/", "image/pñg", "image/png\r\nX-Evil: 1", ""])
async def test_what_is_no_media_type_is_refused(v2: Client, said: str) -> None:
    answer = await uploaded(v2, b"some bytes", "data.bin", content_type=said)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")
    assert answer.json()["error"]["message"].startswith("content_type: ")


async def test_canceling(v2: Client, demo: DemoServer) -> None:
    demo.knobs.step_seconds = 0.2
    job = await submitted(v2, text_to_image(steps=50))

    async def runs() -> bool:
        return bool((await v2.json(JOB, id=job["id"]))["status"] == "running")

    await wait_until(runs)
    for _ in range(2):
        told = await v2.json("POST /api/v2/jobs/{id}/cancel", id=job["id"])
        assert told["status"] in ("canceling", "canceled")
    assert (await ended(v2, job))["status"] == "canceled"


async def test_a_failed_job(v2: Client, demo: DemoServer) -> None:
    demo.knobs.fail_node = "KSampler"
    job = await ended(v2, await submitted(v2, text_to_image()))
    assert job["status"] == "failed"
    error = job["error"]
    assert (error["code"], error["node_id"]) == ("node_execution_error", "3")
    assert error["traceback"].startswith("Traceback") or error["traceback"]


async def test_a_job_that_comfyui_refuses(v2: Client) -> None:
    """Only ComfyUI knows which input files it has."""
    graph = model_free()
    graph["1"] = {"class_type": "LoadImage", "inputs": {"image": "away.png"}}
    job = await ended(v2, await submitted(v2, graph))
    error = job["error"]
    assert (job["status"], error["code"]) == ("failed", "invalid_workflow")
    assert (error["node_id"], error["class_type"]) == ("1", "LoadImage")
    assert "Invalid image file" in error["message"]


async def test_a_job_that_comfyui_would_refuse(v2: Client) -> None:
    graph = model_free()
    graph["2"] = {"class_type": "VAEDecode", "inputs": {"samples": ["1", 0], "vae": ["1", 0]}}
    answer = await v2.call(f"POST {JOBS}", json={"workflow": graph})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "invalid_workflow")
    assert set(error["details"]["node_errors"]) == {"2"}, error


async def test_assets(v2: Client, gateway: RunningGateway) -> None:
    content = png((1, 2, 3))
    by_hash = {"hash": hash_of(content)}
    head = "HEAD /api/v2/assets/by-hash/{hash}"
    assert (await v2.call(head, **by_hash)).status_code == 404
    assert await code(v2, "POST /api/v2/assets/from-hash", 404, json=by_hash) == "blob_not_found"
    wrong = await uploaded(v2, content, expected_hash=hash_of(b"other"))
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (409, "hash_mismatch")
    assert (await v2.call(head, **by_hash)).status_code == 404

    first = await uploaded(v2, content, tags=["a", "b"], expected_hash=by_hash["hash"])
    again = await uploaded(v2, content)
    assert (first.status_code, again.status_code) == (201, 200)
    assert (first.json()["created_new"], again.json()["created_new"]) == (True, False)
    assert first.json()["id"] != again.json()["id"]
    assert (await v2.call(head, **by_hash)).status_code == 200
    assert (await gateway.http.get("/api/image/photo.png?type=input")).content == content
    other = {**by_hash, "file_path": "in/other.png"}
    made = [await v2.call("POST /api/v2/assets/from-hash", json=other) for _ in range(2)]
    assert [answer.status_code for answer in made] == [201, 200]
    assert made[0].json()["id"] == made[1].json()["id"]

    job = await ended(v2, await submitted(v2, loading(made[0].json()["id"])))
    assert job["status"] == "succeeded", job["error"]
    delete = "DELETE /api/v2/assets/{id}"
    assert await code(v2, delete, 409, id=job["outputs"][0]["id"]) == "asset_in_use"
    for answer in (first, again, made[0]):
        assert (await v2.call(delete, id=answer.json()["id"])).status_code == 204
        assert await code(v2, delete, 404, id=answer.json()["id"]) == "not_found"
    assert (await gateway.http.get("/api/image/photo.png?type=input")).status_code == 404
    assert (await v2.call(head, **by_hash)).status_code == 404


async def test_results_and_our_own_uploads_are_assets(v2: Client, gateway: RunningGateway) -> None:
    task = await gateway.submit(model_free())
    (output,) = (await v2.json(JOB, id=task["task_id"]))["outputs"]
    job = await ended(v2, await submitted(v2, loading(output["id"])))
    assert job["status"] == "succeeded", job["error"]
    content = png((9, 9, 9))
    await gateway.http.post("/api/image/upload", files={"image": ("mine.png", content)})
    head = await v2.call("HEAD /api/v2/assets/by-hash/{hash}", hash=hash_of(content))
    assert head.status_code == 200


async def test_an_asset_that_a_waiting_job_needs_stays(v2: Client, demo: DemoServer) -> None:
    demo.knobs.stall = True
    asset = (await uploaded(v2, png(), expires_in=60)).json()
    assert asset["expires_at"] > asset["created_at"]
    job = await submitted(v2, loading(asset["id"]))
    delete = "DELETE /api/v2/assets/{id}"
    assert await code(v2, delete, 409, id=asset["id"]) == "asset_in_use"
    await v2.call("POST /api/v2/jobs/{id}/cancel", id=job["id"])
    demo.knobs.stall = False
    await ended(v2, job)
    assert (await v2.call(delete, id=asset["id"])).status_code == 204
    assert await code(v2, f"POST {JOBS}", 422, json={"workflow": loading(asset["id"])}) == (
        "missing_asset"
    )


async def test_a_key_is_of_one_use(v2: Client, gateway: RunningGateway) -> None:
    key = {"idempotency-key": "order 1"}
    bad = {"1": {"class_type": "Nope", "inputs": {}}}
    assert await code(v2, f"POST {JOBS}", 422, json={"workflow": bad}, headers=key) == (
        "invalid_workflow"
    )
    answers = await asyncio.gather(
        *(v2.call(f"POST {JOBS}", json={"workflow": model_free()}, headers=key) for _ in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [201, *([422] * 4)]
    for body in (model_free(), model_free(color=3)):
        assert await code(v2, f"POST {JOBS}", 422, json={"workflow": body}, headers=key) == (
            "idempotency_key_reuse"
        )
    assert len((await gateway.http.get("/api/tasks")).json()["tasks"]) == 1
    key = {"idempotency-key": "upload 1"}
    assert (await uploaded(v2, png(), headers=key)).status_code == 201
    again = await uploaded(v2, png(), headers=key)
    assert again.json()["error"]["code"] == "idempotency_key_reuse"
    assert again.json()["error"]["message"] == "The Idempotency-Key was used before."


async def test_a_key_is_of_one_use_also_with_the_header_that_once_asked_for_the_job(
    v2: Client,
) -> None:
    headers = {"idempotency-key": "order 2", "idempotency-replay": "true"}
    body = {"workflow": model_free(), "metadata": {"client": "acme"}}
    await submitted(v2, headers=headers, **body)
    answer = await code(v2, f"POST {JOBS}", 422, json=body, headers=headers)
    assert answer == "idempotency_key_reuse"
    jobs = (await v2.call(f"GET {JOBS}", params={"metadata[client]": "acme"})).json()["jobs"]
    assert len(jobs) == 1, "found by its label"


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"workflow": model_free(), "webhook_url": "http://x"}, "invalid_request"),
        ({"workflow": model_free(), "inputs": {}}, "invalid_request"),
        ({"workflow": model_free(), "surprise": 1}, "invalid_request"),
        ({"workflow": model_free(), "extra_data": {"other": KEY}}, "invalid_request"),
        ({"workflow": model_free(), "extra_data": {"api_key_comfy_org": [KEY]}}, "invalid_request"),
        ({"workflow": model_free(), "metadata": {"a": 1}}, "metadata_invalid"),
        ({"workflow": model_free(), "metadata": {"a b": "x"}}, "metadata_invalid"),
        ({"workflow": model_free(), "metadata": {"a": "x" * 257}}, "metadata_invalid"),
        ({"workflow": model_free(), "metadata": "x" * 1025}, "metadata_invalid"),
        ({"workflow": model_free(), "metadata": [1]}, "metadata_invalid"),
        ({"workflow": {}}, "invalid_workflow"),
        ({}, "invalid_request"),
        ([], "invalid_request"),
        (
            {"workflow": {"1": {"class_type": "A", "inputs": {"x": {"__type": "core/ASSET"}}}}},
            "missing_asset",
        ),
        ({"workflow": loading("nobody")}, "missing_asset"),
    ],
)
async def test_a_job_that_is_refused(v2: Client, body: Any, wanted: str) -> None:
    answer = await v2.call(f"POST {JOBS}", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, wanted)
    assert KEY not in answer.text


async def test_every_error_is_in_the_envelope(v2: Client, gateway: RunningGateway) -> None:
    for operation in FACTS["operations"]:
        if "{id}" in operation:
            assert await code(v2, operation, 404, id="nobody") == "not_found"
    assert await code(v2, f"GET {JOBS}", 400, params={"cursor": "x"}) == "invalid_cursor"
    for name in ("metadata", "metadata[a b]", "metadata[]"):
        assert await code(v2, f"GET {JOBS}", 400, params={name: "x"}) == "invalid_metadata_filter"
    assert await code(v2, f"GET {JOBS}", 422, params={"limit": 0}) == "invalid_request"
    assert await code(v2, f"POST {JOBS}", 422, content=b"{") == "invalid_request"
    assert await code(v2, "POST /api/v2/assets", 422) == "invalid_request"
    bad_form = {"content-type": "multipart/form-data; boundary=x"}
    assert await code(v2, "POST /api/v2/assets", 422, content=b"?", headers=bad_form)
    for path, status in (("/api/v2/nothing", 404), ("/api/v2", 404), ("/api/v2/jobs/x/y", 404)):
        answer = await gateway.http.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, "not_found")
        assert answer.headers["x-comfy-request-id"]
    answer = await gateway.http.put(JOBS)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert (await v2.json("GET /api/v2/health"))["status"] == "ok"


async def test_too_much(demo: DemoServer, settings_for: Callable[..., Settings]) -> None:
    limits = {"max_body_bytes": 2000, "max_upload_bytes": 2000}
    async with run_gateway(settings_for(demo.address, **limits)) as gateway:
        v2 = Client(gateway.http)
        for size in (3000, 2 << 20):
            body = b" " * size
            assert await code(v2, f"POST {JOBS}", 413, content=body) == "payload_too_large"
            answer = await uploaded(v2, body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (
                413,
                "payload_too_large",
            )


async def test_what_is_behind_us_is_not_told(
    v2: Client, gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("postgresql://user:password@host")

    monkeypatch.setattr(TaskService, "get", broken)
    answer = await v2.call(JOB, id="x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "upstream_error")
    assert "password" not in answer.text


async def test_a_full_queue_says_when(
    demo: DemoServer, settings_for: Callable[..., Settings]
) -> None:
    demo.knobs.stall = True
    async with run_gateway(settings_for(demo.address, max_queued=1, slots=1)) as gateway:
        await gateway.online()
        v2 = Client(gateway.http)
        seen = [
            (await v2.call(f"POST {JOBS}", json={"workflow": model_free(color=n)})).status_code
            for n in range(6)
        ]
        assert 429 in seen
        demo.knobs.stall = False


async def test_before_any_server_has_answered(settings_for: Callable[..., Settings]) -> None:
    """API format and common nodes need no server to be taken; other nodes of a UI-format file do,
    and have to come again."""
    async with run_gateway(settings_for("127.0.0.1:9")) as gateway:
        v2 = Client(gateway.http)
        assert (await submitted(v2, model_free()))["status"] == "queued"
        assert (await submitted(v2, ui_file()))["status"] == "queued"
        unknown = ui_file()
        unknown["nodes"][0]["type"] = "MyOwnNode"
        answer = await v2.call(f"POST {JOBS}", json={"workflow": unknown})
        assert answer.json()["error"]["code"] == "deployment_not_ready"
        health = await v2.json("GET /api/v2/health")
        assert (health["status"], bool(health["reason"])) == ("degraded", True)


@pytest.fixture
def secrets_seen(monkeypatch: pytest.MonkeyPatch) -> list[Json]:
    """The secrets of the prompts that the stand-in was given."""
    seen: list[Json] = []
    put = PromptQueue.put

    def noting(queue: PromptQueue, item: QueueItem) -> None:
        seen.append(dict(item.secrets))
        put(queue, item)

    monkeypatch.setattr(PromptQueue, "put", noting)
    return seen


@pytest.fixture
def indiscreet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in that tells the key of a prompt wherever ComfyUI may: nodes have it as an input."""
    begin = Run.__init__

    def begun(run: Run, item: QueueItem, engine: Engine) -> None:
        begin(run, item, engine)
        key, tell = item.secrets.get("api_key_comfy_org", ""), run._story.failed

        def failed(node_id: str, inputs: Json, kind: str, message: str) -> None:
            tell(node_id, {"api_key": key}, kind, f"401 for {key}")

        monkeypatch.setattr(run._story, "failed", failed)

    monkeypatch.setattr(Run, "__init__", begun)


def held_in(folder: Path, secret: str) -> list[Path]:
    """The files below a folder that have it in them."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if secret.encode() in path.read_bytes()]


async def everything_said(gateway: RunningGateway, job: Json) -> str:
    """Whatever the gateway tells of a job."""
    paths = [
        *(f"/api/v2/jobs{rest}" for rest in ("", f"/{job['id']}", f"/{job['id']}/workflow")),
        *(f"/api/v2/jobs/{job['id']}/events", "/api/tasks", f"/api/task/{job['id']}"),
        *("/api/history?include_servers=true", "/api/queue", "/api/servers", "/api/health"),
    ]
    answers = [await gateway.http.get(path) for path in paths]
    assert {answer.status_code for answer in answers} == {200}
    return "".join(answer.text for answer in answers)


async def test_an_api_key_goes_to_comfyui_and_nowhere_else(
    demo: DemoServer,
    settings_for: Callable[..., Settings],
    secrets_seen: list[Json],
    indiscreet: None,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    demo.knobs.fail_node = "KSampler"
    said = ""
    async with run_gateway(settings_for(demo.address)) as gateway:
        await gateway.online()
        v2 = Client(gateway.http)
        with gateway.gateway.hub.subscribe() as updates:
            for status in ("failed", "succeeded"):
                extra = {"api_key_comfy_org": KEY}
                job = await ended(v2, await submitted(v2, text_to_image(), extra_data=extra))
                assert job["status"] == status
                assert (job["error"] or {}).get("message", "") in ("", "RuntimeError: 401 for ***")
                said += await everything_said(gateway, job)
                demo.knobs.fail_node = None
            while updates._waiting:
                said += (await updates.get()).json
        keys = gateway.gateway.submissions._parts.paid_node_keys
        await wait_until(lambda: not keys._keys)
        again = await gateway.http.post(f"/api/task/{job['id']}/retry")
    assert secrets_seen == [{"api_key_comfy_org": KEY}] * 2
    assert (again.status_code, again.json()["code"]) == (422, "api_key_gone")
    assert "401 for ***" in said
    assert KEY not in said
    assert KEY not in caplog.text
    assert held_in(tmp_path, KEY) == []
    assert held_in(tmp_path, "401 for ***"), "the database has the error"


async def test_a_key_is_struck_out_when_nobody_knows_it_any_more(
    demo: DemoServer, settings_for: Callable[..., Settings], indiscreet: None, tmp_path: Path
) -> None:
    secret = "comfyui-0123456789abcdef0123456789abcdef"
    demo.knobs.fail_node = "KSampler"
    demo.knobs.stall = True
    async with run_gateway(settings_for(demo.address)) as gateway:
        await gateway.online()
        v2 = Client(gateway.http)
        job = await submitted(v2, text_to_image(), extra_data={"api_key_comfy_org": secret})
        await wait_until(lambda: demo.records.prompts)
    demo.knobs.stall = False
    async with run_gateway(settings_for(demo.address)) as gateway:
        task = await gateway.until(job["id"], "failed")
    assert task["error"]["message"] == "RuntimeError: 401 for ***"
    assert held_in(tmp_path, secret) == []


async def test_a_key_does_not_outlive_the_process(
    settings_for: Callable[..., Settings], demo: DemoServer, secrets_seen: list[Json]
) -> None:
    async with run_gateway(settings_for("127.0.0.1:9")) as gateway:
        v2 = Client(gateway.http)
        job = await submitted(v2, model_free(), extra_data={"api_key_comfy_org": KEY})
    async with run_gateway(settings_for(demo.address)) as gateway:
        task = await gateway.until(job["id"], "failed")
        shown = await Client(gateway.http).json(JOB, id=job["id"])
    assert task["error"]["code"] == "api_key_gone"
    assert "Submit the workflow again" in shown["error"]["message"]
    assert secrets_seen == []


async def test_a_key_is_kept_while_its_task_is_queued(
    demo: DemoServer,
    settings_for: Callable[..., Settings],
    secrets_seen: list[Json],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks, ends, add = [], TaskRepository.ends, TaskRepository.add

    async def counted(store: TaskRepository, task_ids: Iterable[str]) -> dict[str, bool]:
        looks.append(1)
        return await ends(store, task_ids)

    async def slow(store: TaskRepository, *what: Any) -> list[Task]:
        before = len(looks)
        await wait_until(lambda: len(looks) > before + 1)
        return await add(store, *what)

    monkeypatch.setattr(paid_node_keys, "CLEANUP_INTERVAL", 0.02)
    monkeypatch.setattr(TaskRepository, "ends", counted)
    monkeypatch.setattr(TaskRepository, "add", slow)
    async with run_gateway(settings_for(demo.address)) as gateway:
        v2 = Client(gateway.http)
        extra = {"api_key_comfy_org": KEY}
        job = await ended(v2, await submitted(v2, model_free(), extra_data=extra))
        assert (job["status"], job["error"]) == ("succeeded", None)
        await wait_until(lambda: not gateway.gateway.submissions._parts.paid_node_keys._keys)
    assert secrets_seen == [{"api_key_comfy_org": KEY}]


@pytest.mark.parametrize("error", [InvalidInput("no"), RuntimeError(), asyncio.CancelledError()])
async def test_a_key_is_forgotten_whatever_keeps_its_task_from_being_queued(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(paid_node_keys, "CLEANUP_INTERVAL", 0.02)
    keys = gateway.gateway.submissions._parts.paid_node_keys
    with (
        pytest.raises(type(error)),
        keys.queueing(
            [NewTask("1", {}, needs_paid_node_key=True, secrets={"api_key_comfy_org": KEY})]
        ),
    ):
        raise error
    keys.look_at("1")  # so that it looks now, and every while from now on
    await wait_until(lambda: not keys._keys)


@pytest.fixture
async def expiring(
    demo: DemoServer, settings_for: Callable[..., Settings]
) -> AsyncIterator[RunningGateway]:
    async with run_gateway(settings_for(demo.address, retention_age=0.5)) as running:
        await running.online()
        yield running


async def test_a_job_expires(expiring: RunningGateway) -> None:
    v2 = Client(expiring.http)
    job = await ended(v2, await submitted(v2, model_free()))

    async def is_expired() -> Json | None:
        found: Json = await v2.json(JOB, id=job["id"])
        return found if found["status"] == "expired" else None

    found = await wait_until(is_expired)
    assert (found["outputs"], found["error"]["code"]) == ([], "expired")
    assert found["expires_at"] < found["created_at"].replace("T", "U")
    if job["outputs"]:
        assert await code(v2, "GET /api/v2/assets/{id}", 404, id=job["outputs"][0]["id"])


async def test_below_a_path(gateway: RunningGateway) -> None:
    answer = await gateway.http.post(
        JOBS, json={"workflow": model_free()}, headers={"x-forwarded-prefix": "/gpu"}
    )
    assert answer.json()["urls"]["self"] == f"/gpu/api/v2/jobs/{answer.json()['id']}"
