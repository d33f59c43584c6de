"""Messages of ComfyUI's own protocol, byte for byte as recorded from ComfyUI 0.33.0."""

import json
import struct

import pytest

from app.api.native import frames

ABOUT = {"node_id": "5", "prompt_id": "p", "image_type": "image/jpeg"}


def picture(about: object, image: bytes = b"JPEG") -> bytes:
    metadata = json.dumps(about).encode()
    return struct.pack(">II", 4, len(metadata)) + metadata + image


def test_texts_begin_with_their_type() -> None:
    """SwarmUI takes a frame for a text by these eight bytes."""
    first = frames.status(2, "an id")
    assert first == (
        b'{"type": "status", "data": '
        b'{"status": {"exec_info": {"queue_remaining": 2}}, "sid": "an id"}}'
    )
    assert json.loads(frames.status(0)) == {
        "type": "status",
        "data": {"status": {"exec_info": {"queue_remaining": 0}}},
    }
    for text in (first, frames.executing("5", "p"), frames.text("feature_flags", {})):
        assert text[:8] == b'{"type":'


def test_executing_names_its_prompt() -> None:
    assert json.loads(frames.executing("5", "p"))["data"] == {
        "node": "5",
        "display_node": "5",
        "prompt_id": "p",
    }
    assert json.loads(frames.executing(None, "p"))["data"] == {"node": None, "prompt_id": "p"}


@pytest.mark.parametrize(("kind", "number"), [("image/jpeg", 1), ("image/png", 2)])
def test_a_picture_for_who_knows_no_metadata(kind: str, number: int) -> None:
    frame = picture({**ABOUT, "image_type": kind})
    assert frames.is_picture(frame)
    assert frames.without_metadata(frame) == struct.pack(">II", 1, number) + b"JPEG"


def test_frames_that_are_no_such_pictures() -> None:
    assert not frames.is_picture(struct.pack(">II", 3, 1) + b"5text")
    assert not frames.is_picture(b"\0\0\0\4")
    for broken in (picture([1]), struct.pack(">II", 4, 900) + b"{}{", picture(1)):
        assert frames.without_metadata(broken) is None


@pytest.mark.parametrize(
    ("message", "flags"),
    [
        ({"type": "feature_flags", "data": {"a": True}}, {"a": True}),
        ({"type": "feature_flags"}, {}),
        ({"type": "feature_flags", "data": [1]}, {}),
        ({"type": "hello", "data": {"a": True}}, None),
        ([], None),
    ],
)
def test_flags(message: object, flags: object) -> None:
    assert frames.flags_in(message) == flags
