"""What a server says of a large workflow is read as far as there is time for it."""

import asyncio
import json

from app.comfyui.events import Executing, NodeState, ProgressState
from app.comfyui.socket import LARGE, SHARE, States
from app.limits.worker_threads import STRETCH
from app.runner import progress
from app.runner.progress import Tracker
from app.servers.event_inbox import Inbox


def state_of(nodes: int) -> str:
    node = {"value": 1, "max": 1, "state": "finished", "node_id": "1", "prompt_id": "p"}
    data = {"prompt_id": "p", "nodes": {str(number): node for number in range(nodes)}}
    return json.dumps({"type": "progress_state", "data": data})


def test_large_states_are_read_as_long_as_they_take_little_of_the_time() -> None:
    now, frame = 100.0, state_of(3000)
    states = States(lambda: now)
    read = 0
    for _ in range(10_000):  # one each millisecond, each of which takes ten to read
        now += 0.001
        if states.is_wanted(frame):
            read += 1
            now += 0.01
            states.took(frame)
    assert 0.8 < read * 0.01 / (10 * SHARE) < 1.2


def test_all_else_is_read() -> None:
    states = States(lambda: 100.0)
    large = state_of(3000)
    assert states.is_wanted(large)
    states.took(large)
    small = state_of(10)
    text = json.dumps(
        {"type": "executed", "data": {"output": {"text": ['"progress_state"' * LARGE]}}}
    )
    for frame in (small, small, text, b"x" * 10 * LARGE):
        assert states.is_wanted(frame)
        states.took(frame)


def prompt_of(nodes: int) -> dict[str, dict[str, object]]:
    return {str(number): {"class_type": "A", "inputs": {}} for number in range(nodes)}


def test_the_progress_of_a_large_workflow_is_counted_now_and_then() -> None:
    nodes = 1000
    tracker = Tracker(prompt_of(nodes))
    told = [
        tracker.apply(Executing("p", str(number), str(number)), now=1 + number / 1e6)
        for number in range(nodes)
    ]
    assert sum(told) == 1
    done = {str(number): NodeState("finished", 1, 1) for number in range(nodes)}
    assert tracker.apply(ProgressState("p", done), now=1 + nodes * progress.A_NODE)
    assert (tracker.progress.value, tracker.progress.nodes_done) == (1.0, nodes)


def test_that_of_a_usual_one_with_every_event() -> None:
    tracker = Tracker(prompt_of(progress.LARGE))
    assert all(tracker.apply(Executing("p", str(n), str(n)), now=1.0) for n in range(100))


async def test_who_reads_many_events_lets_others_in() -> None:
    inbox, others = Inbox(), 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(other())

    async def read() -> int:
        inbox.put_nowait("event")
        await inbox.get()
        return others

    await asyncio.sleep(0)
    before = others
    began = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() < began + 20 * STRETCH:
        await read()
    assert others - before >= 5
    running.cancel()
