"""Makes the deliveries, in the background.

Receivers are told at least once, with the same webhook-id each time. A slow or a dead one costs
the others nothing: it gets few of the places, and one only while it fails.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from app.remote.post import Answer, post
from app.remote.transport import Remote
from app.tasks.owner import is_dead
from app.tasks.view import timestamp
from app.tasks.webhooks import EVERYWHERE, Webhook
from app.webhooks.model import Delivery, masked
from app.webhooks.outbox import BATCH, Outbox
from app.webhooks.retries import SCHEDULE, DeliveryStatus, is_success, next_step
from app.webhooks.signing import headers_of

log = logging.getLogger(__name__)

GATHERED = 0.05  # seconds in which news is gathered: a task has three at once when it is short
MOST_FAILING = 10_000  # hosts that are remembered
RESULTS = {
    DeliveryStatus.PENDING: "retry",
    DeliveryStatus.DELIVERED: "delivered",
    DeliveryStatus.DEAD: "dead",
}


@dataclass(frozen=True, slots=True)
class Pace:
    """Times in seconds."""

    schedule: Sequence[float] = SCHEDULE
    timeout: float = 15.0  # for one try
    parallel: int = 32  # deliveries at a time
    per_host: int = 4  # of them to one host; 1 while its last one failed
    idle: float = 5.0  # between two looks for what nobody told us of
    lease: float = 30.0  # beyond the timeout, after which another process tries

    @property
    def held(self) -> float:
        """How long a delivery is a process's own."""
        return self.timeout + self.lease


class Deliverer:
    """`everywhere`: the webhook that the operator has set, and what may reach it."""

    def __init__(
        self,
        outbox: Outbox,
        remote: Remote,
        pace: Pace,
        everywhere: tuple[Webhook, Remote] | None = None,
    ) -> None:
        self._outbox = outbox
        self._remote = remote
        self._pace = pace
        self._everywhere = everywhere
        self.results: Counter[str] = Counter()  # of tries, since the start
        self._running: Counter[str] = Counter()  # host -> deliveries under way
        self._failing: set[str] = set()
        self._news: set[str] = set()
        self._has_news = asyncio.Event()
        self._has_work = asyncio.Event()

    def changed(self, task_id: str) -> None:
        """A task's status may have changed. Only makes things faster: all are looked at anyway."""
        if len(self._news) < BATCH:  # with more than that all are looked at
            self._news.add(task_id)
        self._has_news.set()

    def wake(self) -> None:
        """There may be a delivery that is due."""
        self._has_work.set()

    async def run(self) -> None:
        """Work until cancelled; then let go, so that another process can go on at once."""
        for owner in await self._outbox.owners():
            if is_dead(owner):
                await self._outbox.hand_back(owner)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._announce(), name="webhooks: announce")
                group.create_task(self._deliver_all(group), name="webhooks: deliver")
        finally:
            await asyncio.shield(self._outbox.hand_back())

    async def _announce(self) -> None:
        sweep_at = 0.0  # when to look at all open webhooks, and not only at those of the news
        while True:
            self._has_news.clear()
            news, self._news = self._news, set()
            sweep = time.monotonic() >= sweep_at or len(news) >= BATCH
            try:
                found = await self._outbox.announce(None if sweep else news)
            except Exception:  # a full or locked database: the webhooks are open, go on later
                log.exception("webhooks cannot be looked after")
                sweep_at = 0.0
                await asyncio.sleep(self._pace.idle)
                continue
            if found:
                self.wake()
            if found >= BATCH:
                sweep_at = 0.0  # there may be more
                continue
            if sweep:
                sweep_at = time.monotonic() + self._pace.idle
            await _wait(self._has_news, self._pace.idle)
            await asyncio.sleep(GATHERED)

    async def _deliver_all(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._has_work.clear()
            try:
                wait = await self._start_due(group)
            except Exception:  # as above
                log.exception("webhooks cannot be delivered")
                wait = self._pace.idle
            await _wait(self._has_work, min(wait, self._pace.idle))

    async def _start_due(self, group: asyncio.TaskGroup) -> float:
        """Start what is due, as far as there is room; seconds until the next is due."""
        while self._running.total() < self._pace.parallel:
            busy = self._busy()
            due = await self._outbox.next_at(busy)
            if due is None or due > time.time():
                return self._pace.idle if due is None else due - time.time()
            delivery = await self._outbox.claim(busy)
            if delivery is None:  # another process was faster
                return 0.05
            self._running[delivery.host] += 1
            group.create_task(self._deliver(delivery), name=f"webhook {delivery.delivery_id}")
        return self._pace.idle

    def _busy(self) -> list[str]:
        """Hosts that have all the places they may have."""
        return [
            host
            for host, count in self._running.items()
            if count >= (1 if host in self._failing else self._pace.per_host)
        ]

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            await self._try(delivery)
        except Exception:  # it cannot be written: the lease ends, and it is tried again
            log.exception("webhook %s", delivery.delivery_id)
        finally:
            self._running[delivery.host] -= 1
            self._running += Counter()  # drops the zeros
            self.wake()

    async def _try(self, delivery: Delivery) -> None:
        webhook, remote = self._target(delivery)
        began, clock = time.time(), time.monotonic()
        answer = await self._post(delivery, webhook, remote)
        step = next_step(answer, delivery.tries + 1, self._pace.schedule)
        attempt = {
            "at": timestamp(began),
            "duration_ms": round((time.monotonic() - clock) * 1000),
            "status_code": answer.status,
            "error": answer.error and masked(answer.error, webhook),
            "response": masked(answer.body, webhook),
        }
        self._note(delivery.host, is_success(answer))
        await self._outbox.record(delivery, attempt, step)
        self.results[RESULTS[step.status]] += 1
        if step.status is DeliveryStatus.DEAD:
            log.warning("webhook %s to %s is given up", delivery.delivery_id, delivery.host)

    def _target(self, delivery: Delivery) -> tuple[Webhook, Remote]:
        """The gateway's own webhook is the one that is set now, not when the task came."""
        if delivery.webhook.scope == EVERYWHERE and self._everywhere is not None:
            return self._everywhere
        return delivery.webhook, self._remote

    async def _post(self, delivery: Delivery, webhook: Webhook, remote: Remote) -> Answer:
        if not webhook.url:
            return Answer(error="COMFYUI_WEBHOOK_URL is no longer set")
        body = delivery.body.encode()
        headers = {
            **webhook.headers,
            "content-type": "application/json",
            **headers_of(delivery.delivery_id, int(time.time()), body, webhook.secret),
        }
        return await post(remote, webhook.url, body, headers, seconds=self._pace.timeout)

    def _note(self, host: str, success: bool) -> None:
        if success:
            self._failing.discard(host)
        elif len(self._failing) < MOST_FAILING:
            self._failing.add(host)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
