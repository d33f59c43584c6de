"""Every recorded frame of both versions decodes to what it says."""

import io
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.comfyui import events
from app.comfyui.events import NodeText, Preview, Unknown, decode
from tests.unit.recordings import FOLDER, VERSIONS, binaries, messages

# What newer servers send about assets; we have no use for it and must not stumble over it.
IGNORED = "assets."
# The fields that stand in the event as they stand in the message.
SAME = {
    "execution_start": ("prompt_id", "timestamp"),
    "execution_success": ("prompt_id", "timestamp"),
    "execution_cached": ("prompt_id", "nodes"),
    "executing": ("node", "prompt_id"),
    "progress": ("node", "prompt_id", "value", "max"),
    "executed": ("node", "prompt_id", "output", "display_node"),
    "execution_error": ("prompt_id", "node_id", "node_type", "exception_type", "traceback"),
    "execution_interrupted": ("prompt_id", "node_id", "node_type"),
    "progress_state": ("prompt_id",),
}


def expected(message: dict[str, Any]) -> dict[str, Any]:
    """The fields that the event of a raw message must have, read by hand."""
    kind, data = message["type"], message["data"]
    if kind == "status":
        remaining = data["status"]["exec_info"]["queue_remaining"]
        return {"queue_remaining": remaining, "sid": data.get("sid")}
    if kind == "feature_flags":
        return {"flags": data}
    fields = {name: data.get(name) for name in SAME[kind]}
    return {
        name: tuple(value) if name in ("nodes", "traceback") else value
        for name, value in fields.items()
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_text_frames(version: str) -> None:
    seen = set()
    for case, message in messages(version):
        event = decode(json.dumps(message))
        kind = message["type"]
        if kind.startswith(IGNORED):
            assert isinstance(event, Unknown)
            assert event.type == kind
            continue
        name = "".join(part.title() for part in kind.split("_"))
        assert type(event).__name__ == name, (case, message)
        for field, value in without_nan(expected(message)).items():
            assert getattr(event, field) == value, (case, field, message)
        if isinstance(event, events.ProgressState):
            assert {
                node: (state.state, state.value, state.max) for node, state in event.nodes.items()
            } == {
                node: (raw["state"], raw["value"], raw["max"])
                for node, raw in message["data"]["nodes"].items()
            }
        seen.add(kind)
    assert len(seen) == 11, seen


def without_nan(fields: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(fields)
    cleaned = json.loads(text, parse_constant=lambda _: None)
    return {key: tuple(v) if isinstance(fields[key], tuple) else v for key, v in cleaned.items()}


@pytest.mark.parametrize("version", VERSIONS)
def test_binary_frames(version: str) -> None:
    seen = set()
    for case, frame in binaries(version):
        event = decode(frame)
        (kind,) = struct.unpack(">I", frame[:4])
        seen.add(kind)
        if kind == 3:
            assert isinstance(event, NodeText), case
            assert event.text.startswith(("width: ", "Status: ")), event
            assert event.node_id.isdigit()
            continue
        assert isinstance(event, Preview), case
        assert event.content_type in ("image/jpeg", "image/png")
        signature = b"\xff\xd8\xff" if event.content_type == "image/jpeg" else b"\x89PNG"
        assert event.image.startswith(signature)
        named = event.prompt_id is not None and event.node_id is not None
        assert named == (kind == 4)
    assert seen == {1, 3, 4}


def test_a_whole_preview() -> None:
    event = decode((FOLDER / "preview_type4.bin").read_bytes())
    assert isinstance(event, Preview)
    assert event.node_id == "5"
    assert event.prompt_id == "b50e39d6-5c99-4ed8-a98e-b70d97e33b1c"
    image = Image.open(io.BytesIO(event.image))
    assert (image.format, image.size) == ("JPEG", (512, 512))


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "null",
        "[]",
        "not json",
        '{"type": "status", "data": null}',
        '{"type": "progress", "data": {"value": "x", "max": []}}',
        '{"type": "executed", "data": {"node": "1"}}',
        '{"type": "progress_state", "data": {"prompt_id": "p", "nodes": [1]}}',
        "[" * 100_000,
        b"",
        b"\x00",
        b"\x00\x00\x00\x01",
        b"\x00\x00\x00\x01\x00\x00\x00\x09jpeg",
        b"\x00\x00\x00\x04\xff\xff\xff\xff{}",
        b"\x00\x00\x00\x04\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x63junk",
    ],
)
def test_what_cannot_be_read_is_unknown(frame: str | bytes) -> None:
    assert isinstance(decode(frame), Unknown)


def test_nan_and_infinity_become_null() -> None:
    event = decode(
        '{"type": "executed", "data": {"node": "1", "prompt_id": "p",'
        ' "output": {"score": [NaN, Infinity, 1e999, 1.5]}}}'
    )
    assert isinstance(event, events.Executed)
    assert event.output == {"score": [None, None, None, 1.5]}


@given(st.one_of(st.binary(), st.text()))
def test_decode_never_raises(frame: str | bytes) -> None:
    decode(frame)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children),
    max_leaves=8,
)
KINDS = list(events._READERS)
FIELDS = ["prompt_id", "node", "nodes", "value", "max", "output", "status", "timestamp"]


@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), json_values))
def test_known_messages_with_wrong_fields_never_raise(kind: str, data: dict[str, Any]) -> None:
    decode(json.dumps({"type": kind, "data": data}))
