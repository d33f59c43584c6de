"""Nodes that expand, that are lazy, and that block."""

from __future__ import annotations

import json
import struct
from typing import Any

import httpx
import pytest

from fake_comfyui import DemoServer
from tests.fake_comfyui.demo_client import Client, Prompts, picture


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def loop(count: int, *, save: bool = True) -> dict[str, Any]:
    return {
        "1": node("EmptyImage", width=16, height=16, batch_size=1, color=7),
        "2": node("DemoExpand", image=["1", 0], count=count, save=save, filename_prefix="loop"),
        "3": node("SaveImage", images=["2", 0], filename_prefix="outer"),
    }


def switch(*, to: bool) -> dict[str, Any]:
    """A switch between two pictures."""
    return {
        "a": node("EmptyImage", width=16, height=16, batch_size=1, color=1),
        "b": node("EmptyImage", width=24, height=24, batch_size=1, color=2),
        "c": node("ImageInvert", image=["b", 0]),
        "s": node("ComfySwitchNode", switch=to, on_false=["c", 0], on_true=["a", 0]),
        "o": node("SaveImage", images=["s", 0], filename_prefix="s"),
    }


# --- expansion -------------------------------------------------------------------------------


async def test_expanded_nodes_in_events_and_history(client: Client, prompts: Prompts) -> None:
    entry = await prompts.ended(await client.run(loop(3)))
    saved = ["2.0.0.2", "2.0.0.4", "2.0.0.6"]
    assert sorted(entry["outputs"]) == [*saved, "3"]
    assert entry["meta"]["2.0.0.4"] == {
        "node_id": "2.0.0.4",
        "display_node": "2",
        "parent_node": "2",
        "real_node_id": "2",
    }
    assert entry["prompt"][2] == loop(3), "the prompt stays as it was"
    shown = {
        message["data"]["node"]: message["data"]["display_node"]
        for message in client.messages
        if message["type"] == "executed"
    }
    assert shown == {**dict.fromkeys(saved, "2"), "3": "3"}
    (last,) = [m for m in client.messages if m["type"] == "progress_state"][-1:]
    assert last["data"]["nodes"]["2.0.0.1"] | {"value": 1.0, "max": 1.0} == {
        "value": 1.0,
        "max": 1.0,
        "state": "finished",
        "node_id": "2.0.0.1",
        "prompt_id": last["data"]["prompt_id"],
        "display_node_id": "2",
        "parent_node_id": "2",
        "real_node_id": "2",
    }


async def test_outputs_of_expanded_nodes_vanish_when_cached(
    client: Client, prompts: Prompts
) -> None:
    """As in ComfyUI, which tells of the prompt's own nodes alone."""
    await client.run(loop(3))
    client.messages.clear()
    entry = await prompts.ended(await client.run(loop(3)))
    assert list(entry["outputs"]) == ["3"]
    executed = [m["data"] for m in client.messages if m["type"] == "executed"]
    assert [(one["node"], one["output"] is None) for one in executed] == [("2", True), ("3", False)]
    assert len((await prompts.ended(await client.run(loop(4))))["outputs"]) == 5


async def test_an_error_within_an_expansion_is_the_outer_nodes(
    demo: DemoServer, client: Client, prompts: Prompts
) -> None:
    demo.knobs.fail_node, demo.knobs.fail_times = "2.0.0.3", 1
    entry = await prompts.ended(await client.run(loop(3)))
    event, error = entry["status"]["messages"][-1]
    assert (event, error["node_id"], error["node_type"]) == ("execution_error", "2", "DemoExpand")
    assert set(error["executed"]) == {"1", "2.0.0.1", "2.0.0.2"}
    assert set(error["current_outputs"]) == {"1", "2", "3"}
    client.seen.clear()
    await client.run(loop(3))
    assert "executing 2.0.0.1" not in client.seen, "what had ended is in the cache"
    assert "executed 2.0.0.2 images" in client.seen
    assert "executing 2.0.0.3" in client.seen


async def test_an_interrupt_within_an_expansion_names_the_outer_node(
    demo: DemoServer, client: Client, http: httpx.AsyncClient
) -> None:
    demo.knobs.slow = 0.5  # the node is at work until the interrupt is there
    await client.prompts.post(loop(3))
    await client.read_until("executing 2.0.0.1")
    await http.post("/interrupt")
    await client.read_until("execution_interrupted 2 DemoExpand")


async def test_results_over_the_socket_say_where_they_come_from(client: Client) -> None:
    await client.socket.send(
        json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
    )
    graph = loop(1)
    graph["3"] = node("SaveImageWebsocket", images=["2", 0])
    await client.run(graph)
    length = struct.unpack(">I", client.frames[0][4:8])[0]
    metadata = json.loads(client.frames[0][8 : 8 + length])
    assert (metadata["node_id"], metadata["display_node_id"]) == ("3", "3")
    assert (metadata["parent_node_id"], metadata["real_node_id"]) == (None, "3")


# --- laziness --------------------------------------------------------------------------------


@pytest.mark.parametrize(("to", "run"), [(True, {"a", "s", "o"}), (False, {"b", "c", "s", "o"})])
async def test_a_lazy_branch_runs_only_if_it_is_wanted(
    to: bool, run: set[str], client: Client, prompts: Prompts
) -> None:
    entry = await prompts.ended(await client.run(switch(to=to)))
    assert entry["status"]["status_str"] == "success"
    assert list(entry["outputs"]) == ["o"]
    executing = [word.split()[1] for word in client.seen if word.startswith("executing ")]
    assert set(executing) - {"None"} == run
    assert executing.count("s") == 2, "asked what it wants, and then run"
    assert executing[0] == "s", "nothing before it is known to be wanted"


async def test_a_lazy_branch_in_the_cache_is_there_at_once(client: Client) -> None:
    await client.run(switch(to=True))
    graph = switch(to=True)
    graph["o"]["inputs"]["filename_prefix"] = "again"
    client.seen.clear()
    await client.run(graph)
    assert "execution_cached a s" in client.seen
    graph["s"]["inputs"]["switch"] = False
    client.seen.clear()
    await client.run(graph)
    assert [word for word in client.seen if word.startswith("executing ")][:4] == [
        "executing s",
        "executing b",
        "executing c",
        "executing s",
    ]


async def test_a_faulty_lazy_branch_that_is_not_wanted_is_no_fault(
    demo: DemoServer, client: Client, prompts: Prompts
) -> None:
    demo.knobs.fail_node = "c"
    for to, status in ((True, "success"), (False, "error")):
        entry = await prompts.ended(await client.run(switch(to=to)))
        assert entry["status"]["status_str"] == status


async def test_an_output_within_a_lazy_branch_runs_for_its_own_sake(
    client: Client, prompts: Prompts
) -> None:
    graph = switch(to=True)
    graph["p"] = node("PreviewImage", images=["c", 0])
    entry = await prompts.ended(await client.run(graph))
    assert sorted(entry["outputs"]) == ["o", "p"]


async def test_a_switch_that_is_blocked_asks_for_nothing(client: Client, prompts: Prompts) -> None:
    graph = {**picture(), **switch(to=True)}
    graph["k"] = node("DemoBlocker", image=["b", 0], block=True, message="no")
    graph["a"] = node("ImageInvert", image=["k", 0])
    entry = await prompts.ended(await client.run(graph))
    assert list(entry["outputs"]) == ["3"]
    assert "execution_error a ImageInvert" in client.seen
