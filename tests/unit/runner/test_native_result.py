"""What of a server's history is kept for a client of ComfyUI's own protocol."""

import json
from typing import Any

import pytest

from app.comfyui.history import HistoryEntry
from app.db.native import result_of as stored
from app.runner.native_result import MOST, result_of
from app.runner.paid_node_keys import PaidNodeKeys
from app.tasks.model import NewTask, Task
from app.tasks.native import NativePrompt, NativeResult
from tests.unit.runner.test_eta import task as task_with

Json = dict[str, Any]

STAGED = f"gw-{'0' * 8}-{'1' * 32}.png"
KEY = "comfyui-0123456789abcdefghij"
FILE = {"filename": "a_00001_.png", "subfolder": "", "type": "output"}


def entry(outputs: Any, meta: Any = None, messages: Any = ()) -> Json:
    return {"prompt": [], "outputs": outputs, "meta": meta, "status": {"messages": messages}}


async def kept(
    raw: Json, task: Task | None = None, keys: PaidNodeKeys | None = None, **names: str
) -> NativeResult:
    task = task or task_with(native=NativePrompt(1.0))
    history = HistoryEntry.read(raw)
    text = await result_of(task, history, names, keys or PaidNodeKeys())
    found = stored(text)
    assert found is not None
    assert text is not None
    assert len(text) <= MOST
    return found


async def test_it_is_kept_as_it_came() -> None:
    outputs = {"9": {"images": [FILE], "animated": [True], "n": [1.5, None, {"deep": [1]}]}}
    meta = {"9": {"node_id": "9", "display_node": "9", "parent_node": None}}
    messages = [["execution_start", {"prompt_id": "x", "timestamp": 1}]]
    assert await kept(entry(outputs, meta, messages)) == NativeResult(outputs, meta, messages)


async def test_other_tasks_and_ends_without_history_have_none() -> None:
    history = HistoryEntry.read(entry({}))
    assert await result_of(task_with(), history, {}, PaidNodeKeys()) is None
    native = task_with(native=NativePrompt(1.0))
    assert await result_of(native, None, {}, PaidNodeKeys()) is None


@pytest.mark.parametrize(
    "raw",
    [{}, entry(None), entry([1]), entry({"1": None}, [], {}), entry({}, {}, [1, ["a"], "bc"])],
)
async def test_what_is_no_history_is_left_out(raw: Json) -> None:
    assert await kept(raw) == NativeResult({}, {}, [])


async def test_of_a_long_one_the_files_are_kept() -> None:
    many = [{**FILE, "filename": f"a_{number:05}_.png"} for number in range(1000)]
    outputs = {"9": {"images": ["x" * MOST, *many], "text": ["ä" * MOST]}}
    messages = [["execution_error", {"traceback": ["y" * 1000] * 5000, "prompt_id": "x"}]]
    found = await kept(entry(outputs, {"9": {"z": "z" * MOST}}, messages))
    assert found.outputs["9"]["images"][: len(many)] == many
    assert found.outputs["9"]["text"][0].startswith("ä")
    assert found.messages[0][0] == "execution_error"


@pytest.mark.parametrize(
    "outputs",
    [
        {str(number): {"n": [number]} for number in range(200_000)},
        {"9": {"images": [FILE, json.loads("[" * 900 + "]" * 900)]}},
    ],
)
async def test_no_history_is_an_error(outputs: Json) -> None:
    """Neither one of too many nodes, nor one that is nested deep."""
    await kept(entry(outputs))


async def test_uploads_have_the_names_that_the_client_gave_them() -> None:
    outputs = {"9": {"images": [{**FILE, "filename": STAGED}], "text": [f"of {STAGED}"]}}
    found = await kept(entry(outputs), **{STAGED: 'my "photo" ä.png'})
    assert found.outputs["9"]["images"][0]["filename"] == 'my "photo" ä.png'
    assert found.outputs["9"]["text"] == ['of my "photo" ä.png']
    assert STAGED not in str(await kept(entry(outputs)))


async def test_secrets_are_in_none_of_its_texts() -> None:
    task = task_with(native=NativePrompt(1.0), needs_paid_node_key=True)
    said = [["execution_error", {KEY: [f"no {KEY}"], "prompt_id": task.task_id}]]
    long_name = {**FILE, "filename": "a_very_long_name_of_a_picture.png"}
    raw, keys = entry({"9": {"images": [long_name]}}, None, said), PaidNodeKeys()
    gone = await kept(raw, task, keys)
    with keys.queueing([NewTask(task.task_id, {}, secrets={"api_key_comfy_org": KEY})]):
        known = await kept(raw, task, keys)
    for found in (gone, known):
        assert found.messages[0][1]["prompt_id"] == task.task_id
        assert found.outputs["9"]["images"] == [long_name]
        assert f"no {KEY}" not in str(found)
    assert KEY not in str(known)
