"""Rate limits shared by replicas: the same token buckets in Redis, with Redis's clock."""

import asyncio
import logging
import time

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.auth.model import Rate
from app.auth.rate_limits import Allowance, LocalRates, take

log = logging.getLogger(__name__)

REDIS_TIMEOUT = 0.25  # seconds that a request waits for Redis
REDIS_RETRY_INTERVAL = 2.0  # seconds without further requests to Redis after a failure

# Like `take`; returns the tokens before this request.
_SCRIPT = """
local limit, pace = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = limit
if bucket[1] then
    tokens = math.min(limit, bucket[1] + math.max(now - bucket[2], 0) * pace)
end
local left = tokens >= 1 and tokens - 1 or tokens
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', left), 'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], math.ceil(limit / pace) + 1)
return string.format('%.6f', tokens)
"""


class SharedRates:
    """Counters in Redis; while it is unavailable each process counts by itself."""

    def __init__(self, redis: Redis) -> None:
        self._bucket = redis.register_script(_SCRIPT)
        self._local = LocalRates()
        self._away_until = 0.0

    async def take(self, name: str, rate: Rate) -> Allowance:
        if time.monotonic() >= self._away_until:
            try:
                async with asyncio.timeout(REDIS_TIMEOUT):
                    return await self._take(name, rate)
            except (RedisError, OSError) as error:  # TimeoutError is an OSError
                log.warning("rates are counted by each process for itself: %r", error)
                self._away_until = time.monotonic() + REDIS_RETRY_INTERVAL
        return await self._local.take(name, rate)

    async def _take(self, name: str, rate: Rate) -> Allowance:
        tokens = await self._bucket(
            keys=[f"comfyui-gateway:rate:{name}"],
            args=[rate.requests, rate.requests / rate.seconds],
        )
        return take(rate, float(tokens), 0.0)[0]
