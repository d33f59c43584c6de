"""Frames that are made once for all subscribers."""

import pytest
from websockets.frames import Frame, Opcode

from app.api.uvicorn_server import BINARY, TEXT, frame_of


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 300_000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_frame_is_as_the_library_makes_it(opcode: int, size: int) -> None:
    message = b"x" * size
    assert frame_of(opcode, message) == Frame(Opcode(opcode), message).serialize(mask=False)
