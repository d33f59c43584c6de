"""What lists and streams show of a task has an end, whatever the task holds."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from app.api.v2.shapes import Here, item_view, output_event, progress_event
from app.tasks.model import Attempt, Output, Progress, Status, Task, TaskError
from app.tasks.truncation import LIST, MAX_ROW_PARAMS_BYTES, brief
from app.tasks.view import Expected, output_view, progress_view, task_view

Json = dict[str, Any]


MESSAGE, PAGE, PER_PAGE = 64_000, 1_000_000, 50  # bytes, bytes, tasks
SIZE = 5_000_000
HERE = Here("http://gateway", "", 10.0, None)


def text_of(text: str) -> Output:
    return Output("2", "text", text=text)


TASK = Task(
    seq=1,
    task_id="0" * 36,
    status=Status.FAILED,
    priority=0,
    created_at=1.0,
    started_at=2.0,
    finished_at=3.0,
    server="127.0.0.1:8188",
    wanted_server=None,
    client_id=None,
    runner_id=None,
    submitted_at=None,
    cancel_reason=None,
    timeout=None,
    filename="f" * 255,
    retry_of=None,
    batch_id=None,
    requirements_id="",
    shape="",
    expected=None,
    params={"6.text": "a fox"},
    metadata={"file": "x.json"},
    progress=Progress(node_seconds={"1": 2.0}),
    error=TaskError("execution_error", "It failed.", traceback=("line\n",)),
    attempts=(Attempt("s", 1.0, 2.0, "failed", "It failed.", ran=True),),
    warnings=("a warning",),
    outputs=(Output("1", "image", "x.png", key="k", size_bytes=1, hash="h"), text_of("a text")),
    webhook={"url": "https://example.com", "events": ["task.succeeded"]},
)


def error(**fields: Any) -> TaskError:
    return replace(TaskError("execution_error", "It failed."), **fields)


def files(number: int) -> tuple[Output, ...]:
    return tuple(Output("1", "image", f"{i}.png", key=f"{i}", hash="h" * 70) for i in range(number))


def nested(text: str) -> Any:
    value: Any = text
    for _ in range(60):
        value = {"k" * 90: value, "l" * 90: [text, value]}
    return value


BY_TURNS: dict[str, Callable[[str], Json]] = {
    "params": lambda text: {"params": {"6.text": text}},
    "many params": lambda text: {"params": {f"{i}.x": text[:50] for i in range(50_000)}},
    "names of params": lambda text: {"params": {text: 1}},
    "params in params": lambda text: {"params": {"1.x": nested(text[:500])}},
    "metadata": lambda text: {"metadata": {"a": {"b": [text]}}},
    "a text as metadata": lambda text: {"metadata": text},
    "warnings": lambda text: {"warnings": (text,)},
    "many warnings": lambda text: {"warnings": (text[:100],) * 50_000},
    "a message": lambda text: {"error": error(message=text)},
    "a traceback": lambda text: {"error": error(traceback=(text[:200],) * 25_000)},
    "node errors": lambda text: {"error": error(node_errors={"1": {"errors": [text]}})},
    "a class": lambda text: {"error": error(class_type=text, node_id=text)},
    "attempts": lambda text: {"attempts": (Attempt("s", 1.0, 2.0, "x", text),) * 30},
    "a text result": lambda text: {"outputs": (text_of(text),)},
    "many text results": lambda text: {"outputs": (text_of(text[:100]),) * 50_000},
    "many files": lambda text: {"outputs": files(20_000)},
    "the node": lambda text: {"progress": Progress(current_node=text, class_type=text)},
    "times of nodes": lambda text: {
        "progress": Progress(node_seconds={f"{text[:50]}{i}": 1.5 for i in range(50_000)})
    },
    "a webhook": lambda text: {"webhook": {"url": text, "events": []}},
}
LETTERS = {"ascii": "a", "chinese": "狐", "control": "\x01", "astral": "🦊", "quotes": '"'}


def size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


@pytest.mark.parametrize("letter", LETTERS)
@pytest.mark.parametrize("field", BY_TURNS)
def test_each_field_by_turns(field: str, letter: str) -> None:
    task = replace(
        TASK, **BY_TURNS[field](LETTERS[letter] * (SIZE // len(LETTERS[letter].encode())))
    )
    message = task_view(task, expected=Expected(waiting_for="server lacks it; " * 2000))
    assert size(message) < MESSAGE
    assert size(progress_view(task, task.progress)) < MESSAGE
    assert size(progress_event(progress_view(task, task.progress))) < MESSAGE
    for output in task.outputs[:3]:
        assert size(output_view(task.task_id, output)) < MESSAGE
        assert size(output_event(task, output_view(task.task_id, output), HERE)) < MESSAGE
    row = task_view(task, room=LIST)
    assert size(row) * PER_PAGE < PAGE
    assert size(item_view(task, None, HERE)) * PER_PAGE < PAGE
    assert "cut" in (row["outputs"][0] if field == "a text result" else row)
    everything = task_view(task, room=None)
    assert "cut" not in everything
    assert everything["params"] == task.params
    assert everything["error"] is None or everything["error"]["message"] == task.error.message  # type: ignore[union-attr]


def test_all_fields_at_once() -> None:
    task = TASK
    for change in BY_TURNS.values():
        task = replace(task, **change("\x01" * SIZE))
    assert size(task_view(task)) < MESSAGE
    assert size(task_view(task, room=LIST)) * PER_PAGE < PAGE


def test_what_is_short_is_shown_as_it_is() -> None:
    whole = json.dumps(task_view(TASK, room=None))
    assert json.dumps(task_view(TASK)) == json.dumps(task_view(TASK, room=LIST)) == whole
    assert '"cut"' not in whole


def test_the_mark_says_what_and_how_long() -> None:
    task = replace(
        TASK,
        params={"6.text": "x" * 700, "3.seed": 5},
        outputs=(*files(300), text_of("y" * 3000)),
        warnings=("w" * 5000,),
    )
    view = task_view(task, room=LIST)
    assert view["params"] == {"6.text": "x" * 500 + "…", "3.seed": 5}
    assert view["cut"] == {"params.6.text": 700, "warnings.0": 5000, "outputs": 301}
    assert view["outputs"] == task_view(task, room=None)["outputs"][: len(view["outputs"])]
    assert len(view["outputs"]) > 20
    assert output_view("t", task.outputs[-1])["cut"] == {"text": 3000}


def test_what_was_cut_for_the_row_keeps_its_mark() -> None:
    kept, marks = brief({"6.text": "x" * 100_000, "3.seed": 5})
    assert marks == {"params.6.text": 100_000}
    assert size(kept) < MAX_ROW_PARAMS_BYTES
    view = task_view(replace(TASK, params=kept, cut=marks), room=LIST)
    assert view["params"]["6.text"] == "x" * 500 + "…"
    assert view["cut"] == marks


def test_the_newest_attempts_are_shown() -> None:
    attempts = tuple(Attempt("s", float(n), float(n), f"{n}") for n in range(20))
    view = task_view(replace(TASK, attempts=attempts))
    assert view["attempts"][-1]["outcome"] == "19"
    assert view["cut"] == {"attempts": 20}
