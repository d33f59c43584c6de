"""Each request, each part of a body and each message of a WebSocket takes a piece of a turn."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.api.middleware.fair_turns import PER_TURN, FairTurns
from tests.turns import Clock

CLIENTS, PARTS = 10, 3
HTTP: Scope = {"type": "http"}
Steps = Callable[[Receive, Send, Callable[[], None]], Any]


async def starts(receive: Receive, send: Send, step: Callable[[], None]) -> None:
    step()


async def downloads(receive: Receive, send: Send, step: Callable[[], None]) -> None:
    for _ in range(PARTS):
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        step()
    await send({"type": "http.response.body", "body": b"a"})


async def reads(receive: Receive, send: Send, step: Callable[[], None]) -> None:
    for _ in range(PARTS):
        await receive()
        step()


@pytest.mark.parametrize(
    ("steps", "received", "count"),
    [
        (starts, {"type": "http.disconnect"}, 1),
        (downloads, {"type": "http.disconnect"}, PARTS),
        (reads, {"type": "http.request", "body": b"a", "more_body": True}, PARTS),
        (reads, {"type": "websocket.receive", "text": "{}"}, PARTS),
    ],
)
async def test_a_turn_has_no_more_than_its_share_of_web_work(
    steps: Steps, received: Message, count: int
) -> None:
    begun = list[int]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await steps(receive, send, lambda: begun.append(clock.turn))

    async def receive() -> Message:
        return received

    async def send(message: Message) -> None:
        pass

    fair = FairTurns(app)
    with Clock() as clock:
        await asyncio.gather(*(fair(HTTP, receive, send) for _ in range(CLIENTS)))
    assert len(begun) == CLIENTS * count
    assert max(Counter(begun).values()) <= PER_TURN
