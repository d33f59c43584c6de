"""Events of a server reach the prompt that they are of, and what is a stranger's reaches nobody."""

import json
import struct
from collections.abc import Iterator

import pytest

from app.comfyui.events import Event, Preview, Progress, Unknown, decode
from app.comfyui.socket import Connected, Heard
from app.servers.event_inbox import MOST_BYTES, EventInbox
from app.servers.prompt_events import PromptEvents

TEXT = b"\0\0\0\x03\0\0\0\x013words"
PREVIEW = struct.pack(">II", 1, 1) + b"jpeg"


class Server:
    def __init__(self, events: PromptEvents, inbox: EventInbox) -> None:
        self.events = events
        self.inbox = inbox
        self.running: str | None = None

    def says(self, type: str, **data: object) -> str:
        frame = json.dumps({"type": type, "data": data})
        self.sends(frame)
        return frame

    def sends(self, frame: str | bytes) -> None:
        self.running = self.events.deliver(Heard(decode(frame), frame), self.running)

    async def heard(self) -> list[tuple[Event, str | bytes | None]]:
        found = []
        while not self.inbox.empty():
            found.append((await self.inbox.next(1), self.inbox.frame))
        return found

    async def frames(self) -> list[str | bytes | None]:
        return [frame for _, frame in await self.heard()]


def following(inbox: EventInbox) -> Iterator[Server]:
    events = PromptEvents()
    with events.follow("ours", inbox):
        yield Server(events, inbox)


@pytest.fixture
def server() -> Iterator[Server]:
    yield from following(EventInbox(lambda: True))


async def test_what_names_no_prompt_is_of_the_one_that_runs(server: Server) -> None:
    server.sends(TEXT)
    server.says("pack", a=1)
    assert await server.frames() == []
    start = server.says("execution_start", prompt_id="ours")
    server.sends(TEXT)
    pack = server.says("pack", a=1)
    steps = server.says("progress", value=1, max=2, node="3")
    server.sends(PREVIEW)
    server.sends(b"\0\0\0\x09any")
    sent = [start, TEXT, pack, steps, PREVIEW, b"\0\0\0\x09any"]
    assert await server.frames() == sent


async def test_after_its_end_nothing_is_of_it(server: Server) -> None:
    """A stranger's prompt runs then, of which only such messages come here."""
    server.says("execution_start", prompt_id="ours")
    end = server.says("executing", node=None, prompt_id="ours")
    server.sends(TEXT)
    server.sends(PREVIEW)
    server.says("pack", a=1)
    assert (await server.frames())[1:] == [end]


async def test_while_a_stranger_is_heard_of_nothing_is_ours(server: Server) -> None:
    server.says("execution_start", prompt_id="ours")
    server.says("progress", prompt_id="theirs", value=1, max=2, node="3")  # without a client_id
    server.sends(TEXT)
    server.says("pack", prompt_id="theirs")
    assert len(await server.frames()) == 1
    named = server.says("pack", prompt_id="ours")
    server.sends(TEXT)
    assert await server.frames() == [named], "who speaks late does not run"


async def test_runs_that_want_no_frames_get_what_they_got() -> None:
    for server in following(EventInbox()):
        server.says("execution_start", prompt_id="ours")
        server.sends(TEXT)
        server.says("pack", prompt_id="ours")
        server.sends(PREVIEW)
        (_, first), (event, second) = await server.heard()
        assert isinstance(event, Preview)
        assert first is second is None


async def test_a_frame_is_of_its_event_only(server: Server) -> None:
    frame = server.says("execution_start", prompt_id="ours")
    server.events.connected()
    (_, first), (connected, second) = await server.heard()
    assert (first, second) == (frame, None)
    assert isinstance(connected, Connected)


def test_frames_fill_no_memory() -> None:
    inbox = EventInbox(lambda: True)
    for _ in range(5):
        inbox.offer(Unknown("binary_9", 1), b"x" * (MOST_BYTES // 4))
    assert inbox.qsize() == 4
    inbox.offer(Progress("ours", "3", 1, 2), "{}")
    assert inbox.qsize() == 4
