"""The rest of ComfyUI's core through the gateway: nodes, models, memory, queue, history."""

import json
from collections.abc import Callable
from typing import Any

import httpx

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, run_gateway, wait_until


async def get(gateway: RunningGateway, path: str, status: int = 200) -> Any:
    answer = await gateway.http.get(path)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_health_and_info(gateway: RunningGateway, demo: DemoServer) -> None:
    health = await get(gateway, "/api/health")
    assert (health["status"], health["reason"]) == ("ok", None)
    (server,) = health["servers"]
    assert (server["id"], server["online"], server["slots"]) == (demo.address, True, 2)
    assert server["version"]
    assert (await get(gateway, "/api/ready"))["status"] == "ok"
    info = await get(gateway, "/api/system/info")
    assert info["servers"][0]["system_stats"]["devices"]
    assert info["settings"]["slots"] == 2
    assert "database_url" not in json.dumps(info)


async def test_nodes(gateway: RunningGateway) -> None:
    everything = await get(gateway, "/api/nodes")
    assert everything["total"] == len(everything["nodes"]) > 50
    found = await get(gateway, "/api/nodes?search=ksampler advanced")
    assert [node["class_type"] for node in found["nodes"]] == ["KSamplerAdvanced"]
    one = await get(gateway, "/api/nodes?class_type=KSampler")
    assert one["nodes"][0]["input"]["required"]["steps"][0] == "INT"


async def test_models_and_the_like(gateway: RunningGateway, demo: DemoServer) -> None:
    models = (await get(gateway, "/api/models"))["models"]
    assert "v1-5-pruned-emaonly-fp16.safetensors" in models["checkpoints"]
    some = (await get(gateway, "/api/models/vae"))["models"]
    assert some == {"vae": models["vae"]}
    assert isinstance((await get(gateway, "/api/embeddings"))["embeddings"], list)
    (features,) = (await get(gateway, "/api/features"))["servers"]
    assert features["features"]["supports_preview_metadata"] is True
    assert features["jobs_api"] is True
    name = models["checkpoints"][0]
    answer = await gateway.http.get(f"/api/models/checkpoints/metadata?filename={name}")
    assert answer.status_code in (200, 404)
    await get(gateway, f"/api/models?server={demo.address}")


async def test_what_needs_a_server_says_so_without_one(
    settings_for: Callable[..., Settings],
) -> None:
    async with run_gateway(settings_for("127.0.0.1:1")) as gateway:
        for path in ("/api/models", "/api/nodes", "/api/features", "/api/ready"):
            problem = await get(gateway, path, 503)
            assert problem["code"] == "no_server"
            assert "--comfyui-server" in problem["hint"]
        queue = await get(gateway, "/api/queue")
        assert queue["servers"][0]["online"] is False


async def test_free(gateway: RunningGateway, demo: DemoServer) -> None:
    answer = await gateway.http.post("/api/system/free")
    assert answer.json() == {
        "servers": [demo.address],
        "unload_models": True,
        "free_memory": True,
    }
    await gateway.http.post("/api/system/free", json={"free_memory": False})
    assert len(demo.records.frees) == 2
    answer = await gateway.http.post("/api/system/free", json={"free_memroy": True})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "free_memroy")


async def test_a_cached_run_whose_file_was_freed(gateway: RunningGateway, demo: DemoServer) -> None:
    for _ in range(2):
        task = await gateway.submit(model_free(7))
        assert task["status"] == "succeeded"
        assert (await gateway.http.get(task["outputs"][0]["url"])).status_code == 200


async def test_queue_shows_ours_and_strangers(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.stall = True
    async with httpx.AsyncClient(base_url=f"http://{demo.address}") as direct:
        await direct.post("/prompt", json={"prompt": model_free(1), "client_id": "x"})
    tasks = [await gateway.submit(model_free(color), wait=0) for color in (2, 3, 4)]
    await wait_until(lambda: len(demo.records.prompts) == 3)
    queue = await get(gateway, "/api/queue")
    assert [task["task_id"] for task in queue["queued"]] == [task["task_id"] for task in tasks]
    (server,) = queue["servers"]
    assert (len(server["running"]), len(server["pending"]), server["others"]) == (1, 2, 1)


async def test_history(gateway: RunningGateway, demo: DemoServer) -> None:
    async with httpx.AsyncClient(base_url=f"http://{demo.address}") as direct:
        answer = await direct.post("/prompt", json={"prompt": model_free(1), "client_id": "x"})
        stranger = answer.json()["prompt_id"]
        ours = [(await gateway.submit(model_free(color)))["task_id"] for color in (2, 3, 4)]
        page = await get(gateway, "/api/history?limit=2&include_servers=true")
        assert [task["task_id"] for task in page["tasks"]] == ours[:0:-1]
        (server,) = page["servers"]
        assert stranger in [prompt["prompt_id"] for prompt in server["prompts"]]
        assert not set(ours) & {prompt["prompt_id"] for prompt in server["prompts"]}
        rest = await get(gateway, f"/api/history?limit=2&cursor={page['next_cursor']}")
        assert [task["task_id"] for task in rest["tasks"]] == ours[:1]
        assert rest["next_cursor"] is None

        body = {"task_ids": ours[:1], "servers": True}
        answer = await gateway.http.post("/api/history/delete", json=body)
        assert answer.json() == {"deleted": ours[:1], "count": 1}
        await get(gateway, f"/api/task/{ours[0]}", 404)
        assert ours[0] not in (await direct.get("/history")).json()
        assert (await gateway.http.delete(f"/api/task/{ours[1]}")).status_code == 204
        await gateway.http.post("/api/history/delete", json={"all": True})
        assert (await get(gateway, "/api/tasks"))["tasks"] == []


async def test_deleting_removes_the_files(gateway: RunningGateway) -> None:
    task = await gateway.submit(model_free())
    url = task["outputs"][0]["url"]
    folder = gateway.gateway.files.path(task["task_id"])
    assert list(folder.iterdir())
    await gateway.http.delete(f"/api/task/{task['task_id']}")
    assert not folder.exists()
    assert (await gateway.http.get(url)).status_code == 404


async def test_a_running_task_is_not_deleted(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.stall = True
    task = await gateway.submit(model_free(), wait=0)
    answer = await gateway.http.delete(f"/api/task/{task['task_id']}")
    assert (answer.status_code, answer.json()["code"]) == (409, "task_not_finished")
    assert task["task_id"] in answer.json()["hint"]


async def test_retry_is_a_new_task(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.fail_node = "ImageInvert"
    failed = await gateway.submit(model_free(), metadata={"for": "ann"})
    assert failed["status"] == "failed"
    demo.knobs.fail_node = None
    answer = await gateway.http.post(f"/api/task/{failed['task_id']}/retry")
    assert answer.status_code == 202
    again = answer.json()
    assert again["task_id"] != failed["task_id"]
    assert (again["retry_of"], again["metadata"]) == (failed["task_id"], {"for": "ann"})
    assert (await gateway.until(again["task_id"], "succeeded", "failed"))["status"] == "succeeded"


async def test_the_graph_of_a_task(gateway: RunningGateway) -> None:
    task = await gateway.submit(model_free(1), params={"1.color": 99})
    graph = (await get(gateway, f"/api/task/{task['task_id']}/workflow"))["workflow"]
    assert graph["1"]["inputs"]["color"] == 99
