"""What a run waits for in its inbox ends, whatever a server tells and whatever the clock says."""

import asyncio
import time

import pytest

from app.comfyui.events import Event, Progress
from app.runner import messages
from app.runner.messages import CancelRequest, hear_out, until_heard
from app.servers.event_inbox import EventInbox
from app.servers.server import Server
from app.tasks.model import CancelReason
from tests.conftest import WAIT


@pytest.fixture
def server() -> Server:
    made = Server("http://127.0.0.1:1", slots=1)
    made.connected = True
    return made


async def test_a_server_that_tells_for_ever_is_not_heard_for_ever(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "ALL_OF_IT", 0.05)
    inbox, heard = EventInbox(), 0

    async def hear(event: Event) -> None:
        nonlocal heard
        heard += 1
        inbox.offer(event)

    inbox.offer(Progress("p", "1", 1, 2))
    async with asyncio.timeout(WAIT):
        await hear_out(server, inbox, hear, lambda: True)
    assert heard > 1


async def test_a_cancel_ends_it(server: Server) -> None:
    inbox = EventInbox()
    inbox.put_nowait(CancelRequest(CancelReason.TIMEOUT))

    async def hear(event: Event) -> None:
        raise AssertionError(event)

    async with asyncio.timeout(WAIT):
        await hear_out(server, inbox, hear, lambda: True)


async def test_a_clock_that_is_put_back_makes_no_task_wait(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "SOCKET_COMES", 0.05)
    server.connected, server.health.since = False, time.time() + 3600
    async with asyncio.timeout(WAIT):
        await until_heard(server, EventInbox())
