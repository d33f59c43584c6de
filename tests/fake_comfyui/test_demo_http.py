"""Statuses and shapes of the HTTP surface."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from fake_comfyui import DemoServer
from tests.fake_comfyui.demo_client import Client, Prompts, picture


async def test_refused_prompts(
    http: httpx.AsyncClient, demo: DemoServer, recorded: dict[str, Any]
) -> None:
    for case in recorded["validation"]:
        content = case["raw"] if case["raw"] is not None else json.dumps(case["body"])
        response = await http.post("/prompt", content=content)
        note = f"{case['note']}: {response.text}"
        assert response.status_code == case["status"], note
        assert response.headers["content-type"].startswith(case["content_type"]), note
        if case["status"] != 500:
            body = response.json()
            assert (body.get("error") or {}).get("type") == case["error"], note
            assert _outline(body["node_errors"], case["node_errors"]), note


def _outline(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Whether the errors are of the same types, at the same nodes, with the same keys."""
    outline = {
        node_id: {
            "types": [error["type"] for error in report["errors"]],
            "extra": [sorted(error["extra_info"]) for error in report["errors"]],
            "dependent_outputs": report["dependent_outputs"],
            "class_type": report["class_type"],
        }
        for node_id, report in found.items()
    }
    return outline == expected


async def test_accepted_with_some_outputs_dropped(
    http: httpx.AsyncClient, prompts: Prompts
) -> None:
    graph = picture()
    graph["8"] = {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}}
    graph["1"]["inputs"] |= {"width": "64", "height": 64.9, "bogus": 5}
    response = await http.post("/prompt", json={"prompt": graph})
    assert response.status_code == 200
    assert list(response.json()["node_errors"]) == ["8"]
    entry = await prompts.ended(response.json()["prompt_id"])
    assert entry["prompt"][4] == ["3"]
    assert entry["prompt"][2]["1"]["inputs"]["width"] == 64
    assert entry["prompt"][2]["1"]["inputs"]["height"] == 64


async def test_partial_execution_targets(http: httpx.AsyncClient, prompts: Prompts) -> None:
    graph = picture()
    graph["4"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    entry = await prompts.ended(await prompts.post(graph, partial_execution_targets=["4"]))
    assert list(entry["outputs"]) == ["4"]
    body = {"prompt": graph, "partial_execution_targets": ["1"]}
    assert (await http.post("/prompt", json=body)).json()["error"]["type"] == "prompt_no_outputs"


async def test_prompt_ids(http: httpx.AsyncClient, prompts: Prompts) -> None:
    mine = str(uuid4())
    assert await prompts.post(picture(), prompt_id=mine) == mine
    assert await prompts.post(picture(), prompt_id=None)
    for wrong in (mine.upper(), mine.replace("-", ""), f"{{{mine}}}", "", 5, True, [mine], {}):
        response = await http.post("/prompt", json={"prompt": picture(), "prompt_id": wrong})
        assert response.json()["error"]["type"] == "invalid_prompt_id"


async def test_numbers_and_order(demo: DemoServer, prompts: Prompts, client: Client) -> None:
    demo.knobs.stall = True
    running = await prompts.post(picture(0))
    await client.read_until("execution_cached")
    later = await prompts.post(picture(1))
    front = await prompts.post(picture(2), front=True)
    first = await prompts.post(picture(3), number=-1000.5)
    queue = (await prompts.http.get("/queue")).json()
    assert sorted(entry[0] for entry in queue["queue_pending"]) == [-1000.5, -2, 1]
    demo.knobs.stall = False
    await prompts.ended(later)
    assert list(demo.records.executed) == [running, first, front, later]
    assert [prompt.number for prompt in demo.records.prompts] == [0, 1, -2, -1000.5]


async def test_secrets_are_not_shown(demo: DemoServer, prompts: Prompts) -> None:
    extra = {"api_key_comfy_org": "SECRET", "auth_token_comfy_org": "SECRET", "other": 1}
    demo.knobs.stall = True
    prompt_id = await prompts.post(picture(), extra_data=extra)
    assert "SECRET" not in (await prompts.http.get("/queue")).text
    demo.knobs.stall = False
    entry = await prompts.ended(prompt_id)
    assert sorted(entry["prompt"][3]) == ["client_id", "create_time", "other"]


async def test_history_entry(prompts: Prompts, recorded: dict[str, Any]) -> None:
    prompt_id = await prompts.post(picture())
    entry = await prompts.ended(prompt_id)
    keys = recorded["keys"]
    assert sorted(entry) == keys["history"]
    assert sorted(entry["status"]) == keys["history_status"]
    assert sorted(entry["meta"]["3"]) == keys["history_meta"]
    number, found, graph, _, outputs = entry["prompt"]
    assert (number, found, outputs) == (0, prompt_id, ["3"])
    assert graph == picture()
    messages = [event for event, _ in entry["status"]["messages"]]
    assert messages == ["execution_start", "execution_cached", "execution_success"]


async def test_history_pages(prompts: Prompts, http: httpx.AsyncClient) -> None:
    ids = [await prompts.post(picture(colour)) for colour in range(4)]
    await prompts.ended(ids[-1])
    for query, expected in {
        "": ids,
        "max_items=2": ids[2:],
        "max_items=2&offset=0": ids[:2],
        "offset=3": ids[3:],
        "max_items=0": [],
        "max_items=-1": [],
        "max_items=99": ids,
    }.items():
        assert list((await http.get(f"/history?{query}")).json()) == expected, query
    assert (await http.get("/history?max_items=abc")).status_code == 500
    assert (await http.get("/history/nope")).json() == {}
    await http.post("/history", json={"delete": [ids[0]]})
    assert await prompts.history(ids[0]) == {}
    await http.post("/history", json={"clear": True})
    assert (await http.get("/history")).json() == {}


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/nothing/here", None, 404),
        ("POST", "/nothing/here", None, 405),
        ("GET", "/interrupt", None, 404),
        ("POST", "/interrupt", "garbage", 200),
        ("POST", "/interrupt", '{"prompt_id": null}', 200),
        ("POST", "/interrupt", "[]", 500),
        ("POST", "/free", "", 500),
        ("POST", "/history", "x", 500),
        ("POST", "/queue", '{"delete": "abc"}', 200),
        ("GET", "/queue", None, 200),
        ("GET", "/api/queue", None, 200),
        ("GET", "/api/system_stats", None, 200),
        ("GET", "/features", None, 200),
        ("GET", "/extensions", None, 200),
        ("GET", "/embeddings", None, 200),
        ("GET", "/models", None, 200),
        ("GET", "/models/checkpoints", None, 200),
        ("GET", "/models/no_such_folder", None, 404),
        ("GET", "/object_info/NoSuchNode", None, 200),
        ("GET", "/view_metadata/vae?filename=ae.safetensors", None, 200),
        ("GET", "/view_metadata/vae?filename=nope", None, 404),
        ("GET", "/jobs", None, 404),
        ("GET", "/api/jobs", None, 200),
        ("POST", "/api/jobs", None, 405),
        ("GET", "/api/jobs/nope", None, 404),
        ("GET", "/api/jobs/x/cancel", None, 404),
        ("POST", "/jobs/x/cancel", None, 405),
        ("POST", "/upload/image", None, 400),
        ("HEAD", "/system_stats", None, 200),
    ],
)
async def test_status_of(
    method: str, path: str, content: str | None, status: int, http: httpx.AsyncClient
) -> None:
    assert (await http.request(method, path, content=content)).status_code == status


async def test_words_of_errors(http: httpx.AsyncClient) -> None:
    """As recorded from a real server."""
    crashed = await http.post("/prompt", content="")
    assert crashed.text == "500 Internal Server Error\n\nServer got itself in trouble"
    for query, words in {
        "status=pending,nope": "Invalid status value(s): nope. Valid values: pending, "
        "in_progress, completed, failed, cancelled",
        "sort_order=up": "sort_order must be 'asc' or 'desc'",
        "sort_by=x": "sort_by must be 'created_at' or 'execution_duration'",
        "limit=1.5": "limit must be an integer",
    }.items():
        assert (await http.get(f"/api/jobs?{query}")).json() == {"error": words}
    for wrong, words in {
        '{"1": {"class_type": "Nope", "inputs": {}}}': "Node 'Nope' not found. The custom node may "
        "not be installed.",
        '{"1": {"inputs": {}}}': "Node 'ID #1' has no class_type. The workflow may be corrupted or "
        "a custom node is missing.",
    }.items():
        refused = await http.post("/prompt", content=f'{{"prompt": {wrong}}}')
        assert refused.json()["error"]["message"] == words
    bad_id = await http.post("/prompt", json={"prompt": picture(), "prompt_id": "x"})
    assert bad_id.json()["error"]["details"].startswith("prompt_id must be a UUID string in canon")
    no_json = await http.post("/api/jobs/cancel", content="x")
    assert no_json.json() == {"error": "Request body must be valid JSON"}


async def test_what_newer_servers_tell_of_themselves(http: httpx.AsyncClient) -> None:
    system = (await http.get("/system_stats")).json()["system"]
    assert system["deploy_environment"] == "local-git"
    assert {*system["comfy_package_versions"][0]} == {"name", "installed", "required"}
    types = (await http.get("/object_info")).json()
    assert all("search_aliases" in one and "description" in one for one in types.values())
    assert {"deprecated", "experimental", "dev_only", "api_node", "price_badge"} <= {
        *types["GetImageSize"]
    }
    assert {"output_matchtypes", "essentials_category"} <= {*types["GetImageSize"]}
    assert types["KSampler"]["input"]["required"]["seed"][1]["tooltip"]
    assert len(types["KSampler"]["output_tooltips"]) == 1


async def test_the_log_can_be_read(http: httpx.AsyncClient, prompts: Prompts) -> None:
    assert (await http.get("/internal/logs")).json() == ""
    await prompts.post(picture())
    assert (await http.get("/internal/logs")).json().endswith(" - got prompt\n")
    raw = (await http.get("/internal/logs/raw")).json()
    assert [entry["m"] for entry in raw["entries"]] == ["got prompt\n"]
    assert raw["size"].keys() == {"cols", "rows"}
    assert (await http.get("/api/internal/logs")).status_code == 404


async def test_foreign_origins_are_refused(http: httpx.AsyncClient, demo: DemoServer) -> None:
    async def status(**headers: str) -> int:
        return (await http.get("/queue", headers=headers)).status_code

    assert await status(Origin="http://evil.example") == 403
    assert await status(Origin=f"http://{demo.address}") == 200
    assert await status(**{"Sec-Fetch-Site": "cross-site"}) == 403


async def test_the_older_generation() -> None:
    async with (
        DemoServer(step_seconds=0, jobs_api=False) as server,
        httpx.AsyncClient(base_url=f"http://{server.address}") as http,
    ):
        response = await http.get("/api/jobs?status=pending&limit=1")
        assert (response.status_code, response.content) == (404, b"")
        assert response.headers["content-type"] == "application/octet-stream"
        body = {"prompt": picture(), "prompt_id": "my own/id"}
        assert (await http.post("/prompt", json=body)).json()["prompt_id"] == "my own/id"
        unknown = {"prompt": {"1": {"class_type": "Nope", "inputs": {}}}}
        refused = (await http.post("/prompt", json=unknown)).json()
        assert refused["error"] == {
            "type": "invalid_prompt",
            "message": "Cannot execute because node Nope does not exist.",
            "details": "Node ID '#1'",
            "extra_info": {},
        }
