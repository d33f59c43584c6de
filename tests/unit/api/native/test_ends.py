"""How a task ended, with all keys that ComfyUI 0.33.0 sends."""

import json
from dataclasses import replace
from typing import Any

import pytest

from app.api.native.ends import end_of, messages_of
from app.tasks.model import CancelReason, Status, TaskError
from app.tasks.native import NativeResult
from tests.unit.tasks import test_model

TASK = replace(test_model.TASK, task_id="p", status=Status.SUCCEEDED, finished_at=12.3456)
FAILED = replace(TASK, status=Status.FAILED)
CANCELED = replace(TASK, status=Status.CANCELED)
INTERRUPTED = ["prompt_id", "node_id", "node_type", "executed", "timestamp"]
ERROR = [
    *("prompt_id", "node_id", "node_type", "executed", "exception_message", "exception_type"),
    *("traceback", "current_inputs", "current_outputs", "timestamp"),
]


def history(messages: list[Any]) -> NativeResult:
    return NativeResult({}, {}, messages)


MESSAGES: list[Any] = [
    ["execution_start", {"prompt_id": "p", "timestamp": 1}],
    [
        "execution_error",
        {
            "prompt_id": "another id",
            "node_id": "1",
            "node_type": "ImageInvert",
            "executed": ["2"],
            "exception_message": "unsupported operand\n",
            "exception_type": "TypeError",
            "traceback": ["line\n"],
            "current_inputs": {"image": ["x"]},
            "current_outputs": ["2", "1"],
            "timestamp": 7,
        },
    ],
]

CANCEL: list[Any] = [
    ["execution_start", {"prompt_id": "p", "timestamp": 1}],
    [
        "execution_interrupted",
        {
            "prompt_id": "p",
            "node_id": "5",
            "node_type": "KSampler",
            "executed": [],
            "timestamp": 2,
        },
    ],
]


def test_success() -> None:
    assert end_of(TASK, None) == ("execution_success", {"prompt_id": "p", "timestamp": 12345})


def test_an_error_that_the_server_told() -> None:
    error = TaskError("execution_error", "TypeError: unsupported operand\n", "1", "ImageInvert")
    kind, data = end_of(replace(FAILED, error=error), history(MESSAGES))
    assert (kind, list(data)) == ("execution_error", ERROR)
    assert data == {**MESSAGES[1][1], "prompt_id": "p"}


def test_an_error_whose_history_is_not_there() -> None:
    error = TaskError("execution_error", "TypeError: a: b", "1", "ImageInvert", ("line",))
    kind, data = end_of(replace(FAILED, error=error), None)
    assert (kind, list(data)) == ("execution_error", ERROR)
    assert data["exception_message"] == "TypeError: a: b"
    assert (data["node_id"], data["node_type"], data["traceback"]) == ("1", "ImageInvert", ["line"])


@pytest.mark.parametrize("code", ["server_lost", "prompt_rejected", "output_unavailable"])
def test_an_error_that_no_server_told(code: str) -> None:
    kind, data = end_of(replace(FAILED, error=TaskError(code, "Lost: why.")), None)
    assert (kind, list(data)) == ("execution_error", ERROR)
    assert (data["exception_type"], data["exception_message"]) == (code, "Lost: why.")
    assert (data["node_id"], data["node_type"], data["executed"]) == ("", "", [])


def test_a_timeout_is_an_error_though_the_server_was_interrupted() -> None:
    """Nobody has asked for it, and only the gateway knows why."""
    error = TaskError("timeout", "The task ran longer than its timeout of 1 s.")
    task = replace(CANCELED, error=error, cancel_reason=CancelReason.TIMEOUT)
    kind, data = end_of(task, history(CANCEL))
    assert (kind, list(data)) == ("execution_error", ERROR)
    assert (data["exception_type"], data["exception_message"]) == ("timeout", error.message)


@pytest.mark.parametrize("error", [None, TaskError("interrupted", "By somebody.")])
def test_a_cancel_that_the_server_told(error: TaskError | None) -> None:
    kind, data = end_of(replace(CANCELED, error=error), history(CANCEL))
    assert (kind, list(data)) == ("execution_interrupted", INTERRUPTED)
    assert (data["node_id"], data["node_type"]) == ("5", "KSampler")


def test_a_cancel_while_it_waited() -> None:
    kind, data = end_of(CANCELED, None)
    assert (kind, list(data)) == ("execution_interrupted", INTERRUPTED)
    assert (data["node_id"], data["node_type"], data["executed"]) == ("", "", [])


def test_the_order_of_what_is_sent() -> None:
    told = [json.loads(message) for message in messages_of(TASK, None, 3)]
    assert [message["type"] for message in told] == ["execution_success", "status", "executing"]
    assert told[1]["data"]["status"]["exec_info"]["queue_remaining"] == 3
    assert told[2]["data"] == {"node": None, "prompt_id": "p"}
