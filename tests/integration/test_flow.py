"""Nodes that expand into others, nodes that are lazy, and what of them a task tells."""

from collections.abc import Callable
from typing import Any

import pytest

from app.runner import messages, run
from app.settings import Settings
from app.tasks.warnings import NONE_OF_NODE, REPEATED_SEEDLESS
from fake_comfyui.order import SetOrder
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, over, run_gateway, wait_until

Json = dict[str, Any]


def node(class_type: str, **inputs: Any) -> Json:
    return {"class_type": class_type, "inputs": inputs}


def loop(count: int, *, outer: str = "outer") -> Json:
    """A node that saves pictures by nodes that it expands into, and one that saves the last."""
    return {
        "1": node("EmptyImage", width=16, height=16, batch_size=1, color=count),
        "2": node("DemoExpand", image=["1", 0], count=count, save=True, filename_prefix="loop"),
        "3": node("SaveImage", images=["2", 0], filename_prefix=outer),
    }


def switch(*, to: bool) -> Json:
    return {
        "a": node("EmptyImage", width=16, height=16, batch_size=1, color=1),
        "b": node("EmptyImage", width=24, height=24, batch_size=1, color=2),
        "c": node("ImageInvert", image=["b", 0]),
        "s": node("ComfySwitchNode", switch=to, on_false=["c", 0], on_true=["a", 0]),
        "o": node("SaveImage", images=["s", 0], filename_prefix="s"),
    }


async def test_results_of_expanded_nodes_are_kept(gateway: RunningGateway) -> None:
    task = await gateway.submit(loop(3))
    assert (task["status"], task["warnings"]) == ("succeeded", [])
    made = {output["node_id"]: output for output in task["outputs"]}
    assert sorted(made) == ["2.0.0.2", "2.0.0.4", "2.0.0.6", "3"]
    for output in made.values():
        assert (await gateway.http.get(output["url"])).status_code == 200
    assert task["progress"]["value"] == 1


async def test_results_of_expanded_nodes_that_the_cache_hides_are_told_of(
    gateway: RunningGateway,
) -> None:
    """ComfyUI itself tells only of the nodes that stand in the prompt."""
    await gateway.submit(loop(3))
    again = await gateway.submit(loop(3))
    assert (again["status"], [output["node_id"] for output in again["outputs"]]) == (
        "succeeded",
        ["3"],
    )
    said, hidden = again["warnings"]
    assert said == REPEATED_SEEDLESS
    assert "DemoExpand" in hidden
    assert NONE_OF_NODE in hidden
    partly = await gateway.submit(loop(3, outer="other"))
    (hidden,) = partly["warnings"]
    assert "DemoExpand" in hidden
    assert "SaveImage" not in hidden
    anew = await gateway.submit(loop(4))
    assert (len(anew["outputs"]), anew["warnings"]) == (5, [])


async def test_a_fault_of_an_expanded_node_is_told_as_of_the_outer_one(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.fail_node = "2.0.0.3"
    task = await gateway.submit(loop(3))
    assert task["status"] == "failed"
    assert (task["error"]["node_id"], task["error"]["class_type"]) == ("2", "DemoExpand")


@pytest.mark.parametrize("to", [True, False])
async def test_a_branch_that_a_lazy_node_leaves_out_is_no_failure(
    gateway: RunningGateway, demo: DemoServer, to: bool
) -> None:
    demo.knobs.fail_node = "c"  # of the branch for False
    task = await gateway.submit(switch(to=to))
    assert task["status"] == ("succeeded" if to else "failed")
    if to:
        assert [output["node_id"] for output in task["outputs"]] == ["o"]
        assert (task["warnings"], task["error"]) == ([], None)
        assert task["progress"]["value"] == 1
        with_another_name = switch(to=to)
        with_another_name["o"]["inputs"]["filename_prefix"] = "t"
        assert (await gateway.submit(with_another_name))["warnings"] == []


async def test_a_blocked_node_within_a_lazy_branch(gateway: RunningGateway) -> None:
    graph = switch(to=True)
    graph["k"] = node("DemoBlocker", image=["a", 0], block=True, message="no face")
    graph["s"]["inputs"]["on_true"] = ["k", 0]
    graph["p"] = node("PreviewImage", images=["b", 0])
    task = await gateway.submit(graph)
    assert [output["node_id"] for output in task["outputs"]] == ["p"]
    assert task["warnings"] == ["Node s (ComfySwitchNode) did not run, it was blocked: no face"]


@pytest.mark.parametrize("seed", range(4))
async def test_results_are_the_same_in_whatever_order_outputs_run(
    settings_for: Callable[..., Settings], seed: int
) -> None:
    """ComfyUI keeps them in a set, whose order is another one each time it starts."""
    graph = {
        **loop(2),
        "4": node("SaveImage", images=["1", 0], filename_prefix="four"),
        "5": node("PreviewAny", source="a text"),
        "6": node("DemoBlocker", image=["1", 0], block=True, message="no face"),
        "7": node("SaveImage", images=["6", 0], filename_prefix="seven"),
        "8": node("PreviewImage", images=["1", 0]),
    }
    async with (
        DemoServer(step_seconds=0, order=SetOrder(seed)) as demo,
        over(settings_for, demo) as gateway,
    ):
        task = await gateway.submit(graph)
        again = await gateway.submit(graph)
    assert task["status"] == again["status"] == "succeeded"
    found = sorted(output["node_id"] for output in task["outputs"])
    assert found == ["2.0.0.2", "2.0.0.4", "3", "4", "5", "8"]
    assert task["warnings"] == ["Node 7 (SaveImage) did not run, it was blocked: no face"]
    assert sorted(output["node_id"] for output in again["outputs"]) == ["3", "4", "5", "8"]


async def test_a_task_waits_for_the_socket_of_a_server_that_has_just_come(
    settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "SOCKET_COMES", 20)
    graph = {"1": loop(1)["1"], "4": node("SaveImageWebsocket", images=["1", 0])}
    async with DemoServer(step_seconds=0) as demo:
        demo.knobs.refuse_sockets = True
        async with run_gateway(settings_for(demo.address)) as gateway:
            (server,) = gateway.gateway.pool
            await wait_until(lambda: server.accepting)
            assert not server.connected
            task = await gateway.submit(graph, wait=0)
            demo.knobs.refuse_sockets = False
            await gateway.until(task["task_id"], "succeeded")


async def test_an_end_that_a_look_finds_waits_for_what_was_told_before(
    settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only the socket tells: why a node was blocked, and pictures that are in no file."""
    monkeypatch.setattr(run, "POLL_SECONDS", 0.000001)
    graph = {
        **loop(2),
        "4": node("SaveImageWebsocket", images=["1", 0]),
        "6": node("DemoBlocker", image=["1", 0], block=True, message="no face"),
        "7": node("SaveImage", images=["6", 0], filename_prefix="seven"),
    }
    async with (
        DemoServer(step_seconds=0, order=list) as demo,
        over(settings_for, demo) as gateway,
    ):
        for color in range(20):
            graph["1"]["inputs"]["color"] = color
            task = await gateway.submit(graph)
            assert task["status"] == "succeeded", task["error"]
            assert task["warnings"] == ["Node 7 (SaveImage) did not run, it was blocked: no face"]
            assert "4" in {output["node_id"] for output in task["outputs"]}
