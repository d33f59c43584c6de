"""What the client of a native task is told of what a server says, and when."""

import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.comfyui.events import Preview, decode
from app.comfyui.history import HistoryEntry
from app.events.client_channels import Channel, ClientChannels, Mailbox, Message
from app.files.kinds import Kind
from app.runner import relay
from app.runner.context import RunContext
from app.runner.paid_node_keys import PaidNodeKeys
from app.runner.relay import Relay
from app.runner.run_record import RunRecord
from app.tasks.model import Attempt, Output, Task
from app.tasks.native import NativePrompt
from tests.hubs import TASK
from tests.unit import recordings

Json = dict[str, Any]
ENDS = ("execution_success", "execution_error", "execution_interrupted")
ID = "69845731-ae13-4d7f-9204-d11ffef3440c"
STAGED = f"gw-{'0' * 8}-{'1' * 32}.png"
BEGUN = replace(TASK, task_id=ID, started_at=1.0, native=NativePrompt(1.0, "c"))
WAITS = replace(BEGUN, started_at=None)


class Listener:
    """A relay, and what a socket of its client gets."""

    def __init__(self, task: Task, mailbox: Mailbox, channels: ClientChannels) -> None:
        self.mailbox = mailbox
        self.record = SimpleNamespace(task=task, names={STAGED: "cat.png"})
        context = SimpleNamespace(channels=channels, paid_node_keys=PaidNodeKeys())
        about = (cast(RunRecord, self.record), {"3": {"class_type": "SaveImage"}})
        self.relay = Relay(*about, cast(RunContext, context))

    def hear(self, frame: str | bytes, *, is_result: bool = False) -> None:
        event = decode(frame)
        if isinstance(event, Preview):
            self.relay.take_image(event, frame, event.node_id or "3", is_result=is_result)
        else:
            self.relay.take(event, frame)

    def says(self, type: str, **data: Any) -> None:
        self.hear(text(type, **data))

    def begin(self) -> None:
        self.record.task = replace(self.record.task, started_at=1.0)
        self.relay.tell()

    def told(self) -> list[Message]:
        found = list(self.mailbox._waiting.values())
        self.mailbox._waiting.clear()
        return found

    def types(self) -> list[str]:
        return [
            json.loads(one.data)["type"] if one.kind == "text" else one.kind for one in self.told()
        ]


def text(type: str, **data: Any) -> str:
    return json.dumps({"type": type, "data": {"prompt_id": ID, **data}})


def picture(name: str = "a.png") -> Json:
    return {"images": [{"filename": name, "subfolder": "x", "type": "output"}]}


def stored(name: str = "a.png") -> Output:
    return Output("3", Kind.IMAGE, filename=name, subfolder="x", key=f"{ID}/{name}")


def preview(data: bytes = b"jpeg", node_id: str = "3") -> bytes:
    head = json.dumps({"node_id": node_id, "prompt_id": ID, "image_type": "image/jpeg"}).encode()
    return struct.pack(">II", 4, len(head)) + head + data


def listening(task: Task) -> Iterator[Listener]:
    channels = ClientChannels()
    with channels.open(Channel(task.owner, "c"), "") as mailbox:
        yield Listener(task, mailbox, channels)


@pytest.fixture
def begun() -> Iterator[Listener]:
    yield from listening(BEGUN)


@pytest.fixture
def waits() -> Iterator[Listener]:
    yield from listening(WAITS)


@pytest.mark.parametrize("version", recordings.VERSIONS)
def test_recorded_messages_go_on_as_they_came_but_for_ends_and_names(
    version: str, begun: Listener
) -> None:
    told = set()
    for _, message in recordings.messages(version):
        kind, data = message["type"], message.get("data")
        if kind in ("status", "feature_flags"):
            continue  # never for a run
        begun.hear(frame := json.dumps(message))
        begun.relay.finish(HistoryEntry(), again=False)
        sent = begun.told()
        is_blocked = kind == "execution_error" and "ExecutionBlocked" in data["exception_type"]
        if (
            (kind in ENDS and not is_blocked)
            or (kind == "executing" and data["node"] is None)
            or kind == "execution_start"  # the task was started before
        ):
            assert not sent
            continue
        (one,) = sent
        assert one.data.startswith(b'{"type":')
        if kind == "executed" and '"filename"' in frame:
            assert f'"subfolder": "{ID}' in one.data.decode()
        else:
            assert one.data.decode() == frame
        told.add(kind)
    assert {"executed", "executing", "progress", "progress_state", "execution_cached"} <= told
    assert {"execution_error"} <= told, "of a blocked node"


@pytest.mark.parametrize("version", recordings.VERSIONS)
def test_recorded_frames(version: str, begun: Listener) -> None:
    for _, frame in recordings.binaries(version):
        begun.hear(frame)
        (sent,) = begun.told()
        kind = int.from_bytes(frame[:4], "big")
        assert sent.kind == ("binary" if kind == 3 else "preview")
        if kind == 1:
            length = int.from_bytes(sent.data[4:8], "big")
            assert json.loads(sent.data[8 : 8 + length]) == {
                "node_id": "3",
                "prompt_id": ID,
                "display_node_id": "3",
                "parent_node_id": None,
                "real_node_id": "3",
                "image_type": "image/jpeg" if frame[7] == 1 else "image/png",
            }
            assert sent.data[8 + length :] == frame[8:]
        else:
            assert sent.data == frame


def test_results_over_the_socket_are_no_previews(begun: Listener) -> None:
    begun.hear(preview(), is_result=True)
    begun.hear(struct.pack(">II", 1, 2) + b"png", is_result=True)
    assert [(one.kind, one.data[:4]) for one in begun.told()] == [("binary", b"\0\0\0\x04")] * 2


def test_nothing_is_told_before_the_start_is_written(waits: Listener) -> None:
    waits.says("execution_start", timestamp=5)
    waits.says("executing", node="3")
    assert waits.types() == []
    waits.begin()
    assert waits.types() == ["execution_start", "executing"]


@pytest.mark.parametrize("ran", [True, False])
def test_the_start_is_told_by_one_attempt(ran: bool) -> None:
    """Of an attempt that only waited on its server the client knows nothing."""
    before = Attempt("a", 1.0, ended_at=2.0, outcome="lost", ran=ran)
    for listener in listening(replace(WAITS, attempts=(before,))):
        listener.says("execution_start", timestamp=5)
        listener.says("executing", node="3")
        listener.begin()
        assert listener.types() == ["execution_start"] * (not ran) + ["executing"]


def test_a_start_that_was_not_heard_is_told_all_the_same(waits: Listener) -> None:
    waits.begin()
    waits.says("executing", node="3")
    start, _ = waits.told()
    assert json.loads(start.data) == {
        "type": "execution_start",
        "data": {"prompt_id": ID, "timestamp": 1000},
    }
    waits.says("execution_start", timestamp=5)
    assert waits.types() == []


def test_a_result_is_told_when_it_can_be_read_and_what_follows_after_it(begun: Listener) -> None:
    begun.says("executed", node="3", output=picture(), display_node="3", more=[1])
    begun.says("executing", node="4")
    begun.hear(preview())
    begun.relay.stored(stored("b.png"))
    begun.relay.stored(replace(stored(), key=None, error="gone"))
    assert begun.types() == []
    begun.relay.stored(stored())
    executed, executing, _ = begun.told()
    data = {"node": "3", "output": picture(), "display_node": "3", "more": [1], "prompt_id": ID}
    data["output"]["images"][0]["subfolder"] = f"{ID}/x"  # type: ignore[index]
    assert json.loads(executed.data) == {"type": "executed", "data": data}
    assert json.loads(executing.data)["type"] == "executing"


def test_files_of_an_earlier_process_can_be_read() -> None:
    for listener in listening(replace(BEGUN, outputs=(stored(),))):
        listener.says("executed", node="3", output=picture())
        assert listener.types() == ["executed"]


@pytest.mark.parametrize(
    ("history", "again", "told"),
    [
        (HistoryEntry(), False, ["executed", "executing"]),
        (None, False, ["executing"]),
        (HistoryEntry(), True, ["executing"]),
    ],
)
def test_at_the_end_nothing_is_held_back(
    begun: Listener, history: HistoryEntry | None, again: bool, told: list[str]
) -> None:
    begun.says("executed", node="3", output=picture())
    begun.says("executing", node="4")
    begun.relay.finish(history, again=again)
    assert begun.types() == told
    assert begun.relay._bytes == 0


def test_results_that_were_not_heard_of_are_told_at_the_end(waits: Listener) -> None:
    waits.begin()
    outputs = {"3": picture(), "2.0.1": {"text": [STAGED]}}
    waits.relay.finish(HistoryEntry(outputs=outputs), again=False)
    start, first, second = (json.loads(one.data) for one in waits.told())
    assert start["type"] == "execution_start"
    assert first["data"]["output"]["images"][0]["subfolder"] == f"{ID}/x"
    assert second["data"] == {
        "node": "2.0.1",
        "display_node": "2",
        "output": {"text": ["cat.png"]},
        "prompt_id": ID,
    }


def test_what_waits_is_bounded(begun: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "HELD_MESSAGES", 6)
    begun.says("executed", node="3", output=picture())
    for number in range(10):
        begun.says("progress", node="4", value=number, max=10)
        begun.hear(preview())
        if number % 5 == 0:
            begun.hear(preview(), is_result=True)
    assert begun.types() == []
    begun.relay.stored(stored())
    told = begun.types()
    assert told[0] == "executed"
    assert [told.count(kind) for kind in ("binary", "progress", "preview")] == [2, 3, 0]


def test_what_may_not_be_lost_does_not_wait_for_ever(
    begun: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "HELD_BYTES", 10_000)
    begun.says("executed", node="3", output=picture())
    begun.says("progress", node="4", value=1, max=10)
    for _ in range(3):
        begun.hear(preview(b"x" * 4000), is_result=True)
    assert begun.types() == ["executed", "binary", "binary", "binary"]
    assert begun.relay._bytes == 0


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (text("pack.event", where=f"/in/{STAGED}"), text("pack.event", where="/in/cat.png")),
        ('{"data": {"a": 1}, "x": 2, "type": "b"}', '{"type": "b", "data": {"a": 1}, "x": 2}'),
        ('{"type":"b"}', '{"type":"b"}'),
        (b"\0\0\0\x03\0\0\0\x013" + STAGED.encode(), b"\0\0\0\x03\0\0\0\x013cat.png"),
        (b"\0\0\0\x09any", b"\0\0\0\x09any"),
        ('{"type": "executed", "data": {"node": "3"}}', None),  # of which prompt?
        ('{"type": ', None),
        (text("executing", node=None), None),
    ],
)
def test_other_messages(begun: Listener, frame: str | bytes, told: str | bytes | None) -> None:
    begun.hear(frame)
    expected = told.encode() if isinstance(told, str) else told
    assert [one.data for one in begun.told()] == ([] if told is None else [expected])


def test_what_nobody_hears_costs_nothing() -> None:
    """A socket that comes later gets what comes later, and no start of before."""
    channels = ClientChannels()
    mailbox = Mailbox(Channel(None, "c"), "")
    listener = Listener(WAITS, mailbox, channels)
    assert not listener.relay.is_heard()
    listener.relay.take(decode(text("execution_start")), None)
    listener.begin()
    with channels.open(Channel(WAITS.owner, "c"), "") as listener.mailbox:
        assert listener.relay.is_heard()
        listener.says("executing", node="3")
        assert listener.types() == ["executing"]


@pytest.mark.parametrize("native", [None, NativePrompt(1.0, None)])
def test_tasks_without_a_client(native: NativePrompt | None) -> None:
    for listener in listening(replace(BEGUN, native=native)):
        assert not listener.relay.is_heard()
        listener.says("executing", node="3")
        listener.relay.finish(HistoryEntry(outputs={"3": picture()}), again=False)
        assert listener.types() == []
