"""Many clients at once leave the event loop to others between their requests."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.api.middleware.auth import AuthMiddleware
from app.api.middleware.fair_turns import PER_TURN
from tests.conftest import RunningGateway
from tests.turns import Clock

CLIENTS = 40


async def test_a_crowd_of_polls_is_spread_over_turns_of_the_loop(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = list[int]()
    served: Callable[..., Awaitable[None]] = AuthMiddleware.__call__

    async def watched(self: AuthMiddleware, *request: Any) -> None:
        begun.append(clock.turn)
        await served(self, *request)

    monkeypatch.setattr(AuthMiddleware, "__call__", watched)
    host, _, port = gateway.address.rpartition(":")
    clients = [await asyncio.open_connection(host, int(port)) for _ in range(CLIENTS)]
    with Clock() as clock:
        for _, writer in clients:
            writer.write(f"GET /api/task/none HTTP/1.1\r\nHost: {gateway.address}\r\n\r\n".encode())
        answers = [await reader.readline() for reader, _ in clients]
    for _, writer in clients:
        writer.close()
    assert {answer.split()[1] for answer in answers} == {b"404"}
    assert len(begun) == CLIENTS
    assert max(Counter(begun).values()) <= PER_TURN
