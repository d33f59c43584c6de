"""Life and death of the server, its knobs and records, the command line."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from fake_comfyui import DemoServer
from fake_comfyui.order import Order, SetOrder
from tests.conftest import WAIT, wait_until
from tests.fake_comfyui.demo_client import Client, Prompts, picture, txt2img

ROOT = Path(__file__).parents[2]


async def closed_without_frame(client: Client) -> None:
    with pytest.raises(ConnectionClosedError) as caught:
        await client.read_until("nothing like this ever comes")
    assert caught.value.rcvd is None


async def test_exit_does_not_wait_for_open_sockets() -> None:
    async with asyncio.timeout(WAIT):  # it would wait for the client, which does not go
        async with DemoServer(step_seconds=0.05) as server:
            socket = await connect(f"ws://{server.address}/ws")
            await wait_until(lambda: server.records.sockets == 1)
        await socket.wait_closed()


async def test_temporary_folder_goes_away() -> None:
    async with DemoServer() as server:
        assert server._machine is not None
        root = server._machine.folders.root
        assert (root / "input" / "example.png").is_file()
    assert not root.exists()


async def test_restart_forgets_everything_but_records(
    demo: DemoServer, client: Client, http: httpx.AsyncClient, prompts: Prompts
) -> None:
    demo.knobs.step_seconds = 0.01
    await client.run(picture())
    running = await prompts.post(txt2img(steps=200))
    await prompts.post(picture(1))
    await client.read_until("progress 5 1")
    demo.restart_empty()
    await closed_without_frame(client)
    assert (await http.get("/queue")).json() == {"queue_running": [], "queue_pending": []}
    assert (await http.get("/history")).json() == {}
    assert demo.records.executed[running].endings == ["forgotten"]
    response = await http.post("/prompt", json={"prompt": picture()})
    assert response.json()["number"] == 0
    await prompts.ended(response.json()["prompt_id"])
    assert len(demo.records.prompts) == 4


async def test_failing_nodes(demo: DemoServer, client: Client, prompts: Prompts) -> None:
    demo.knobs.fail_node, demo.knobs.fail_times = "KSampler", 1
    prompt_id = await client.run(txt2img())
    entry = await prompts.ended(prompt_id)
    assert entry["status"]["status_str"] == "error"
    assert client.messages[-3]["data"]["exception_type"] == "RuntimeError"
    assert client.messages[-3]["data"]["traceback"]
    await client.run(txt2img())
    assert "execution_success" in client.seen, "it failed as often as it should"
    demo.knobs.oom = "VAEDecode"
    await client.run(txt2img(2))
    assert client.messages[-3]["data"]["exception_type"] == "torch.OutOfMemoryError"
    assert demo.knobs.oom is None


async def test_rejected_prompts(demo: DemoServer, http: httpx.AsyncClient) -> None:
    demo.knobs.reject_with = (503, "busy")
    response = await http.post("/prompt", json={"prompt": picture()})
    assert (response.status_code, response.text) == (503, "busy")
    assert demo.records.prompts == []


async def test_dropped_sockets(demo: DemoServer, client: Client) -> None:
    await client.read()
    demo.knobs.drop_socket_after = 3
    await client.prompts.post(picture())
    await closed_without_frame(client)
    assert client.seen[1:] == ["status 1", "status 1", "execution_start"]
    assert demo.knobs.drop_socket_after is None


async def test_refused_sockets(demo: DemoServer, client: Client) -> None:
    await client.read()
    demo.knobs.refuse_sockets = True
    await closed_without_frame(client)
    with pytest.raises(InvalidStatus) as refusal:
        await connect(f"ws://{demo.address}/ws?clientId=A")
    assert refusal.value.response.status_code == 503


async def test_stalled_worker(demo: DemoServer, client: Client, prompts: Prompts) -> None:
    demo.knobs.stall = True
    prompt_id = await prompts.post(picture())
    await client.read_until("execution_cached")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.read()
    demo.knobs.stall = False
    await client.read_until("executing None")
    assert demo.records.executed[prompt_id].ended == "success"


async def test_hanging_server(demo: DemoServer, http: httpx.AsyncClient) -> None:
    demo.knobs.hang = True
    with pytest.raises(httpx.ReadTimeout):
        await http.get("/queue", timeout=0.05)
    waiting = asyncio.create_task(http.get("/queue"))
    assert (await http.post("/demo/knobs", json={"hang": False})).status_code == 200
    assert (await waiting).status_code == 200


async def test_lost_reply(demo: DemoServer, http: httpx.AsyncClient, prompts: Prompts) -> None:
    demo.knobs.lose_prompt_reply = True
    with pytest.raises(httpx.TransportError):
        await http.post("/prompt", json={"prompt": picture()})
    await prompts.ended(demo.records.prompts[0].prompt_id)
    assert not demo.knobs.lose_prompt_reply


async def test_hidden_history_and_missing_outputs(
    demo: DemoServer, client: Client, http: httpx.AsyncClient, prompts: Prompts
) -> None:
    prompt_id = await client.run(picture())
    demo.knobs.hide_history = 2
    found = [bool(await prompts.history(prompt_id)) for _ in range(3)]
    assert found == [False, False, True]
    demo.knobs.missing_outputs = True
    assert (await http.get("/view?filename=t_00001_.png")).status_code == 404
    assert (await http.get("/view?filename=example.png&type=input")).status_code == 200


async def test_slow_nodes(
    demo: DemoServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses, sleep = [], asyncio.sleep

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", noted)
    demo.knobs.slow = 0.0123
    await client.run(picture())
    assert pauses.count(0.0123) == 3


async def test_knobs_over_http(demo: DemoServer, http: httpx.AsyncClient) -> None:
    knobs = (await http.get("/demo/knobs")).json()
    assert knobs["stall"] is False
    for wrong in ({"nope": 1}, {"stall": 1}, {"step_seconds": "x"}, {"reject_with": [1]}):
        assert (await http.post("/demo/knobs", json={**wrong, "slow": 9})).status_code == 400
    assert demo.knobs.slow == 0
    changes: dict[str, Any] = {"reject_with": [418, {"a": 1}], "step_seconds": 0.5}
    assert (await http.post("/demo/knobs", json=changes)).status_code == 200
    assert demo.knobs.reject_with == (418, {"a": 1})


async def test_records_over_http(client: Client, http: httpx.AsyncClient) -> None:
    prompt_id = await client.run(picture())
    await http.post("/interrupt", json={"prompt_id": "x"})
    records = (await http.get("/demo/records")).json()
    assert records["executed"] == {prompt_id: {"starts": 1, "endings": ["success"]}}
    assert records["prompts"][0]["client_id"] == "A"
    assert (records["interrupts"], records["sockets_peak"]) == (["x"], 1)


async def test_restart_over_http(client: Client, http: httpx.AsyncClient) -> None:
    await client.run(picture())
    assert (await http.post("/demo/restart")).status_code == 200
    await closed_without_frame(client)
    assert (await http.get("/history")).json() == {}


async def test_served_object_info(tmp_path: Path) -> None:
    """Classes of a given file run even if the demo never heard of them."""
    info = {
        "Painter": _declared({"text": ["STRING", {}], "seed": ["INT", {"min": 0}]}, ["IMAGE"]),
        "Keeper": _declared({"images": ["IMAGE"]}, [], output_node=True),
    }
    file = tmp_path / "info.json.gz"
    file.write_bytes(gzip.compress(json.dumps(info).encode()))
    graph = {
        "a": {"class_type": "Painter", "inputs": {"text": "a tree", "seed": 3}},
        "b": {"class_type": "Keeper", "inputs": {"images": ["a", 0]}},
    }
    async with (
        DemoServer(step_seconds=0, object_info=file) as server,
        httpx.AsyncClient(base_url=f"http://{server.address}") as http,
    ):
        assert (await http.get("/object_info")).json() == info
        prompts = Prompts(http)
        entry = await prompts.ended(await prompts.post(graph))
        assert entry["outputs"]["b"]["images"][0]["filename"] == "ComfyUI_00001_.png"
        response = await http.post("/prompt", json={"prompt": picture()})
        assert response.json()["error"]["type"] == "missing_node_type"


def _declared(
    inputs: dict[str, Any], outputs: list[str], *, output_node: bool = False
) -> dict[str, Any]:
    return {"input": {"required": inputs}, "output": outputs, "output_node": output_node}


async def test_command_line() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fake_comfyui", "--port", "0", "--step-seconds", "0"),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    line = await asyncio.wait_for(process.stderr.readline(), 10)
    address = line.decode().split()[-1]
    async with httpx.AsyncClient(base_url=address) as http:
        prompts = Prompts(http)
        await prompts.ended(await prompts.post(picture()))
        with pytest.raises(httpx.TransportError):
            await http.post("/demo/die")
    assert await asyncio.wait_for(process.wait(), 5) == 1
    await process.stderr.read()


def four_outputs() -> dict[str, Any]:
    """A picture that goes to four outputs."""
    graph = picture()
    for name in ("4", "5", "6"):
        graph[name] = {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}}
    return graph


async def orders(order: Order | None) -> dict[str, list[str]]:
    """In which order a server has the outputs of a prompt and its nodes, here and there."""
    options: dict[str, Any] = {} if order is None else {"order": order}
    async with (
        DemoServer(step_seconds=0, **options) as server,
        httpx.AsyncClient(base_url=f"http://{server.address}") as http,
        connect(f"ws://{server.address}/ws?clientId=A", max_queue=None) as socket,
    ):
        client = Client("A", socket, Prompts(http))
        entry = await client.prompts.ended(await client.run(four_outputs()))
        server.knobs.fail_node = "ImageInvert"
        graph = four_outputs()
        graph["1"]["inputs"]["color"] = 3
        failed = await client.prompts.ended(await client.run(graph))
    assert set(entry["outputs"]) == set(entry["prompt"][4]) == {"3", "4", "5", "6"}
    ran = [word.split()[1] for word in client.seen if word.startswith("executed ")]
    error = failed["status"]["messages"][-1][1]
    return {"outputs": entry["prompt"][4], "ran": ran, "there": error["current_outputs"]}


async def test_outputs_run_in_the_order_of_a_set() -> None:
    """Another one in each server's life, as in ComfyUI; tests can choose it."""
    found = [await orders(SetOrder(seed)) for seed in (1, 1, 2, 3)]
    assert found[0] == found[1]
    assert len({tuple(one["outputs"]) for one in found}) > 1
    for one in found:
        assert one["outputs"] == one["ran"] == [n for n in one["there"] if n in one["ran"]]
    by_graph = await orders(list)
    assert by_graph["ran"] == ["3", "4", "5", "6"]
    assert by_graph["there"] == ["1", "2", "3", "4", "5", "6"]
    without = [await orders(None) for _ in range(6)]
    assert len({tuple(one["there"]) for one in without}) > 1, "by chance once in 10^14"
