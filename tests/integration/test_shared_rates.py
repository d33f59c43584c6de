"""Rate limits of several replicas: one bucket for all, and one each while Redis is away."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.auth.model import Rate
from app.auth.rate_limits import RateLimits
from app.redis import connect
from app.settings import Settings
from tests import services
from tests.conftest import over, wait_until
from tests.keyholders import write_keys
from tests.redis_server import running_redis

pytestmark = pytest.mark.service


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine Redis, too, may take its time."""
    services.package("redis")
    monkeypatch.setattr("app.auth.redis_rate_limits.REDIS_TIMEOUT", 20.0)


def shared_rates(client: Any) -> RateLimits:
    from app.auth.redis_rate_limits import SharedRates  # which needs the optional package

    return SharedRates(client)


@pytest.mark.usefixtures("patient")
async def test_replicas_count_together(tmp_path: Path) -> None:
    rate = Rate(requests=5, seconds=3600)
    async with running_redis(tmp_path) as redis:
        clients = [connect(redis.url) for _ in range(2)]
        one, two = (shared_rates(client) for client in clients)
        found = [await rates.take("key", rate) for rates in (one, two) * 3]
        assert [allowance.allowed for allowance in found] == [True] * 5 + [False]
        assert [allowance.remaining for allowance in found] == [4, 3, 2, 1, 0, 0]
        assert found[-1].retry_after > 600
        assert (await two.take("another key", rate)).remaining == 4
        many = await asyncio.gather(*(r.take("crowd", rate) for r in (one, two) * 20))
        assert sum(allowance.allowed for allowance in many) == 5
        for client in clients:
            await client.aclose()


async def test_tokens_come_back(tmp_path: Path) -> None:
    rate = Rate(requests=2, seconds=1)
    async with running_redis(tmp_path) as redis, connect(redis.url) as client:
        rates = shared_rates(client)
        assert [(await rates.take("key", rate)).allowed for _ in range(2)] == [True, True]

        async def is_allowed() -> bool:
            return (await rates.take("key", rate)).allowed

        await wait_until(is_allowed)


@pytest.mark.usefixtures("patient")
async def test_no_bucket_stays_in_redis_for_ever(tmp_path: Path) -> None:
    async with running_redis(tmp_path) as redis, connect(redis.url) as client:
        rates = shared_rates(client)
        for number in range(100):
            await rates.take(f"key {number}", Rate(requests=60, seconds=60))
        kept = [name async for name in client.scan_iter("comfyui-gateway:rate:*")]
        assert len(kept) == 100
        assert all([0 < await client.ttl(name) <= 61 for name in kept])


async def test_each_for_itself_while_redis_is_away(tmp_path: Path) -> None:
    retry_interval = services.package("app.auth.redis_rate_limits").REDIS_RETRY_INTERVAL
    rate = Rate(requests=3, seconds=3600)
    async with running_redis(tmp_path) as redis, connect(redis.url) as client:
        rates = shared_rates(client)
        assert (await rates.take("key", rate)).remaining == 2
        await redis.kill()
        assert [(await rates.take("key", rate)).allowed for _ in range(4)] == [True] * 3 + [False]
        await redis.start()

        async def is_back() -> bool:
            return (await rates.take("key", rate)).allowed

        await wait_until(is_back, retry_interval + 5)


@pytest.mark.usefixtures("patient")
async def test_requests_count_at_any_gateway(
    settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    keys = {"alice": {"scope": "read", "rate": "3/hour"}}
    async with running_redis(tmp_path) as redis, contextlib.AsyncExitStack() as stack:
        texts = write_keys(tmp_path / "keys.json", **keys)
        headers = {"Authorization": f"Bearer {texts['alice']}"}
        gateways = [
            await stack.enter_async_context(
                over(settings_for, api_keys=str(tmp_path / "keys.json"), redis_url=redis.url)
            )
            for _ in range(2)
        ]
        answers = [
            await gateway.http.get("/api/tasks", headers=headers) for gateway in gateways * 2
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [answer.headers["ratelimit-remaining"] for answer in answers[:3]] == ["2", "1", "0"]
        assert int(answers[-1].headers["retry-after"]) > 600
