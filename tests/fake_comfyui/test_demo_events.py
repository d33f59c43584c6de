"""The sequences of events equal those of the real servers."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from fake_comfyui import DemoServer
from tests.conftest import wait_until
from tests.fake_comfyui.demo_client import Client, Prompts, picture, txt2img, without_steps

ONE_CLIENT = (
    "model_free_save",
    "txt2img_success",
    "two_identical_output_nodes",
    "text_chain",
    "save_image_websocket",
    "execution_error_type_error",
    "cache_after_error",
    "save_latent",
    "output_node_without_ui",
    "poison_cycle_through_unknown_input",
    "subgraph_expansion",
    "execution_blocker_verbose",
    "execution_blocker_silent",
    "execution_blocker_everything",
)
FLAGS = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}


@pytest.mark.parametrize("case", ONE_CLIENT)
async def test_sequence_of(case: str, client: Client, recorded: dict[str, Any]) -> None:
    expected = recorded["sequences"][case]
    for body in expected["prompts"]:
        await client.run(body["prompt"])
    assert client.seen == expected["sequence"]


async def test_keys_of_every_event(client: Client, recorded: dict[str, Any]) -> None:
    for case in ("txt2img_success", "execution_error_type_error", "model_free_save"):
        await client.run(recorded["sequences"][case]["prompts"][0]["prompt"])
    for message in client.messages:
        assert sorted(message["data"]) in recorded["keys"]["events"][message["type"]]


async def test_cached_runs(client: Client, recorded: dict[str, Any]) -> None:
    graph = txt2img()
    await client.run(graph)
    for case in ("txt2img_cached_rerun", "txt2img_partly_cached"):
        client.seen[:] = ["status 0 sid"]
        if case == "txt2img_partly_cached":
            graph["7"]["inputs"]["filename_prefix"] = "another"
        await client.run(graph)
        assert client.seen == recorded["sequences"][case]["sequence"]


async def test_cached_output_keeps_its_old_name_and_node(client: Client, prompts: Prompts) -> None:
    first = await prompts.ended(await client.run(picture()))
    renamed = json.loads(json.dumps(picture()).replace('"3"', '"three"'))
    again = await prompts.ended(await client.run(renamed))
    assert again["outputs"]["three"] == first["outputs"]["3"]
    assert again["meta"]["three"]["node_id"] == "3"
    await client.run(picture(1))
    third = await prompts.ended(await client.run(picture()))
    assert third["outputs"] != first["outputs"], "the cache holds the previous prompt only"


async def test_free_memory_empties_the_cache(client: Client, http: httpx.AsyncClient) -> None:
    await client.run(picture())
    for body, cached in (({"unload_models": True}, True), ({"free_memory": True}, False)):
        await http.post("/free", json=body)
        client.seen.clear()
        await client.run(picture())
        assert ("execution_cached 1 2 3" in client.seen) is cached


async def test_prompts_of_another_client(
    demo: DemoServer, client: Client, prompts: Prompts, recorded: dict[str, Any]
) -> None:
    """B's prompt gets A's result; of A's prompts B sees only the status."""
    expected = recorded["sequences"]["cache_across_clients_other_node_ids"]
    bodies = [body["prompt"] for body in expected["prompts"]]
    async with connect(f"ws://{demo.address}/ws?clientId=B", max_queue=None) as socket:
        other = Client("B", socket, prompts)
        await client.run(bodies[0])
        await other.run(bodies[1])
        await client.run(bodies[2])
        await client.run(bodies[3])
        while len(other.seen) < len(expected["sequence"]):
            await other.read()
    assert other.seen == expected["sequence"]


async def test_interrupt_while_sampling(
    demo: DemoServer, client: Client, http: httpx.AsyncClient, recorded: dict[str, Any]
) -> None:
    expected = recorded["sequences"]["interrupt_running_global"]
    demo.knobs.step_seconds = 0.01
    await client.prompts.post(expected["prompts"][0]["prompt"])
    await client.read_until("progress 5 2")
    assert (await http.post("/interrupt")).status_code == 200
    await client.read_until("executing None")
    assert without_steps(client.seen) == without_steps(expected["sequence"])


@pytest.mark.parametrize(
    ("case", "node"),
    [("interrupt_during_last_node", "2"), ("interrupt_during_middle_node", "2")],
)
async def test_interrupt_in_a_node_that_does_not_ask(
    case: str,
    node: str,
    demo: DemoServer,
    client: Client,
    http: httpx.AsyncClient,
    recorded: dict[str, Any],
) -> None:
    """The node ends; the next one is named as interrupted, the last one ends as success."""
    expected = recorded["sequences"][case]
    graph = expected["prompts"][0]["prompt"]
    graph["1"]["inputs"] |= {"width": 64, "height": 64}
    demo.knobs.slow = 1  # the node is at work until the interrupt is there
    prompt_id = await client.prompts.post(graph)
    await client.read_until(f"executing {node}")
    await http.post("/interrupt", json={"prompt_id": prompt_id})
    await client.read_until("executing None")
    assert client.seen == expected["sequence"]
    entry = await client.prompts.ended(prompt_id)
    interrupted = case == "interrupt_during_middle_node"
    assert entry["status"]["status_str"] == ("error" if interrupted else "success")
    assert demo.records.executed[prompt_id].endings == ["interrupted" if interrupted else "success"]


async def test_prompt_without_client_id(
    client: Client, prompts: Prompts, recorded: dict[str, Any]
) -> None:
    expected = recorded["sequences"]["prompt_without_client_id"]
    body = expected["prompts"][0]["prompt"]
    body["7"]["inputs"]["filename_prefix"] = "before"
    await client.run({key: node for key, node in body.items() if key in "1234"} | _ending())
    client.seen[:] = ["status 0 sid"]
    await prompts.post(body, None)
    while len(client.seen) < len(expected["sequence"]):
        await client.read()
    assert client.seen == expected["sequence"]


def _ending() -> dict[str, Any]:
    """Something that makes nodes 1-4 run without a sampler."""
    mixed = {"conditioning_1": ["2", 0], "conditioning_2": ["3", 0]}
    return {
        "90": {"class_type": "ConditioningCombine", "inputs": mixed},
        "91": {"class_type": "PreviewAny", "inputs": {"source": ["90", 0]}},
        "92": {"class_type": "SaveLatent", "inputs": {"samples": ["4", 0], "filename_prefix": "l"}},
    }


async def test_text_frames_go_to_everybody(
    demo: DemoServer, client: Client, prompts: Prompts, recorded: dict[str, Any]
) -> None:
    sequences = recorded["sequences"]
    async with connect(f"ws://{demo.address}/ws?clientId=B", max_queue=None) as socket:
        other = Client("B", socket, prompts)
        await other.read()
        await client.run(sequences["text_frame_broadcast"]["prompts"][0]["prompt"])
        await other.read_until("status 0")
    assert client.seen == sequences["text_frame_broadcast"]["sequence"]
    assert other.seen == sequences["text_frame_broadcast other client"]["sequence"]
    assert client.frames[0].endswith(b"width: 32, height: 32\n batch size: 1")


async def test_previews_with_metadata(client: Client, recorded: dict[str, Any]) -> None:
    expected = recorded["sequences"]["feature_flags_new_client"]
    graph = expected["prompts"][0]["prompt"]
    await client.run({key: node for key, node in graph.items() if key in "1234"} | _ending())
    client.seen[:] = ["status 0 sid"]
    await client.socket.send(json.dumps(FLAGS))
    assert await client.read() == "feature_flags"
    prompt_id = await client.run(graph)
    assert client.seen == expected["sequence"]
    length = struct.unpack(">I", client.frames[0][4:8])[0]
    metadata = json.loads(client.frames[0][8 : 8 + length])
    assert metadata["prompt_id"] == prompt_id
    assert metadata["image_type"] == "image/jpeg"
    assert client.frames[0][8 + length :].startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    ("started_with", "wish", "previews"),
    [
        (None, None, 0),
        (None, "latent2rgb", 4),
        (None, "nonsense", 0),
        ("auto", None, 4),
        ("auto", "none", 0),
        ("auto", "default", 4),
        ("auto", "nonsense", 4),
    ],
)
async def test_previews_are_for_who_asks(
    started_with: str | None, wish: str | None, previews: int
) -> None:
    """The server's option, or the prompt's own word, as recorded."""
    options: dict[str, Any] = {} if started_with is None else {"preview_method": started_with}
    async with (
        DemoServer(step_seconds=0, **options) as server,
        httpx.AsyncClient(base_url=f"http://{server.address}") as http,
        connect(f"ws://{server.address}/ws?clientId=A", max_queue=None) as socket,
    ):
        client = Client("A", socket, Prompts(http))
        await client.run(txt2img(), extra_data={} if wish is None else {"preview_method": wish})
    assert len(client.frames) == previews
    assert "progress 5 4/4" in client.seen


async def test_previews_are_a_knob(
    demo: DemoServer, client: Client, http: httpx.AsyncClient
) -> None:
    for method, previews in (("none", 0), ("taesd", 4), ("none", 0)):
        answer = await http.post("/demo/knobs", json={"preview_method": method})
        assert answer.json()["preview_method"] == method
        client.frames.clear()
        await client.run(txt2img(seed=previews + len(client.seen)))
        assert len(client.frames) == previews, method
    answer = await http.post("/demo/knobs", json={"preview_method": "nonsense"})
    assert answer.status_code == 400


async def test_delete_of_the_last_pending_prompt(
    demo: DemoServer, client: Client, http: httpx.AsyncClient, recorded: dict[str, Any]
) -> None:
    expected = recorded["sequences"]["queue_delete_last_pending"]
    demo.knobs.slow = 1  # the first node is at work until all else is asked
    await client.prompts.post(expected["prompts"][0]["prompt"])
    await client.read_until("executing 1")
    pending = await client.prompts.post(picture())
    await http.post("/queue", json={"delete": [pending]})
    await http.post("/interrupt")
    await client.read_until("executing None")
    assert client.seen == expected["sequence"]
    assert await client.prompts.history(pending) == {}
    assert pending not in demo.records.executed


async def test_two_sockets_with_one_client_id(
    demo: DemoServer, client: Client, prompts: Prompts, recorded: dict[str, Any]
) -> None:
    """The newest is served; when the FIRST closes, the second goes deaf."""
    await client.read()
    expected = recorded["sequences"]["reconnect_two_tabs_same_id"]
    async with connect(f"ws://{demo.address}/ws?clientId=A", max_queue=None) as socket:
        second = Client("A", socket, prompts)
        await second.run(expected["prompts"][0]["prompt"])
        assert second.seen == expected["sequence"]
        await client.socket.close()
        await wait_until(lambda: demo.records.sockets == 1)
        await prompts.ended(await prompts.post(picture(1)))
        async with connect(f"ws://{demo.address}/ws?clientId=C", max_queue=None) as third:
            await Client("C", third, prompts).run(picture(2))
        with pytest.raises(TimeoutError):
            await _nothing_more(second)


async def _nothing_more(client: Client) -> None:
    async with asyncio.timeout(0.05):
        await client.read()


async def test_reconnect_in_the_middle(demo: DemoServer, client: Client, prompts: Prompts) -> None:
    demo.knobs.step_seconds = 0.01
    await prompts.post(txt2img(steps=20))
    await client.read_until("progress 5 2")
    await client.socket.close()
    await wait_until(lambda: demo.records.sockets == 0)
    async with connect(f"ws://{demo.address}/ws?clientId=A", max_queue=None) as socket:
        again = Client("A", socket, prompts)
        await again.read_until("executing None")
    assert again.seen[:2] == ["status 1 sid", "executing 5 without prompt_id"]
    assert again.seen[2].startswith("progress_state 1=finished 4=finished 3=finished")
    assert again.seen[-3:] == ["execution_success", "status 0", "executing None"]


async def test_history_comes_after_execution_success(
    demo: DemoServer, client: Client, prompts: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fake_comfyui.machine.HISTORY_LAG", 1.0)  # as long as a busy test may take
    demo.knobs.step_seconds = 1.0
    prompt_id = await prompts.post(picture())
    await client.read_until("execution_success")
    assert await prompts.history(prompt_id) == {}
    await client.read_until("executing None")
    assert prompt_id in await prompts.history(prompt_id)


async def test_poison_kills_the_worker(
    demo: DemoServer, client: Client, http: httpx.AsyncClient, recorded: dict[str, Any]
) -> None:
    expected = recorded["sequences"]["poison_link_to_missing_node_in_unknown_input"]
    poison, plain = (body["prompt"] for body in expected["prompts"])
    prompt_id = await client.prompts.post(poison)
    await client.read_until("execution_cached")
    await client.prompts.post(plain)
    await client.read_until("status 2")
    assert client.seen == expected["sequence"]
    queue = (await http.get("/queue")).json()
    assert [entry[1] for entry in queue["queue_running"]] == [prompt_id]
    assert len(queue["queue_pending"]) == 1
    cancelled = await http.post(f"/api/jobs/{prompt_id}/cancel")
    assert cancelled.json() == {"cancelled": True}, "it says so, but nothing comes of it"


@pytest.mark.parametrize("client_id", [{}, []])
async def test_client_id_that_kills_the_process(
    client_id: Any, demo: DemoServer, client: Client, http: httpx.AsyncClient
) -> None:
    await client.read()
    await client.prompts.post(picture(), client_id)
    await wait_until(lambda: demo.records.sockets == 0)
    with pytest.raises(httpx.TransportError):
        await http.get("/queue")


@pytest.mark.parametrize(
    ("first", "counts"),
    [
        ("[]", True),
        ("not json", True),
        ('{"type": "hello"}', False),
        ('{"type": "feature_flags", "data": {"supports_preview_metadata": "true"}}', False),
    ],
)
async def test_feature_flags_must_come_first(first: str, counts: bool, client: Client) -> None:
    await client.socket.send(first)
    await client.socket.send(json.dumps(FLAGS))
    await client.run(txt2img(steps=1))
    assert ("binary 4" in client.seen) is counts
