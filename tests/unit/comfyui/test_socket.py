"""Large progress_state messages are read as long as they take little of the time."""

import json

from app.comfyui.socket import LARGE_PROGRESS_CHARACTERS, SHARE, States


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
        {
            "type": "executed",
            "data": {"output": {"text": ['"progress_state"' * LARGE_PROGRESS_CHARACTERS]}},
        }
    )
    for frame in (small, small, text, b"x" * 10 * LARGE_PROGRESS_CHARACTERS):
        assert states.is_wanted(frame)
        states.took(frame)
