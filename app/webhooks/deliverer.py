"""Sends deliveries in the background.

Each event is delivered at least once, with the same webhook-id in every attempt. A slow or dead
receiver does not delay others: hosts and API keys are limited to a few slots (fair_share.py), and
take turns.
"""

import asyncio
import logging
import time
from collections import Counter
from functools import partial

from app.db.lease import is_dead
from app.limits.periodic import attempt, every, to_its_end
from app.outbound.post import Answer, post
from app.outbound.transport import Remote
from app.tasks.model import Status, Task
from app.tasks.view import moment
from app.tasks.webhook import EVERYWHERE, Webhook
from app.webhooks.delivery_json import DeliveryAttemptJson
from app.webhooks.fair_share import DeliveryPace, DeliverySlots
from app.webhooks.model import Delivery, masked
from app.webhooks.outbox import MAX_BATCH_WEBHOOKS, Outbox
from app.webhooks.retries import DeliveryStatus, is_success, next_step
from app.webhooks.signing import headers_of

log = logging.getLogger(__name__)

GATHERED = 0.05  # seconds in which changes are collected: a short task has three at once
RESULTS = {
    DeliveryStatus.PENDING: "retry",
    DeliveryStatus.DELIVERED: "delivered",
    DeliveryStatus.DEAD: "dead",
}


class Deliverer:
    """Sends deliveries; `everywhere` is the operator's webhook and the `Remote` for it."""

    def __init__(
        self,
        outbox: Outbox,
        remote: Remote,
        pace: DeliveryPace,
        everywhere: tuple[Webhook, Remote] | None = None,
    ) -> None:
        self._outbox = outbox
        self._remote = remote
        self._pace = pace
        self._everywhere = everywhere
        self.results: Counter[str] = Counter()  # results of attempts since the start
        self._slots = DeliverySlots(pace)
        self._news: set[str] = set()
        self._has_news = asyncio.Event()
        self._has_work = asyncio.Event()
        self._sweep_at = 0.0  # monotonic time of the next check of all open webhooks

    def look_at(self, task: Task) -> None:
        """Note a task whose status was published; there is nothing to tell of one that waits."""
        if task.status is not Status.QUEUED or task.started_at is not None:
            self.changed(task.task_id)

    def changed(self, task_id: str) -> None:
        """Note that a task's status may have changed; an optimization, as all are checked
        regularly."""
        if len(self._news) < MAX_BATCH_WEBHOOKS:  # beyond that all open webhooks are checked
            self._news.add(task_id)
        self._has_news.set()

    def wake(self) -> None:
        """Look for due deliveries now."""
        self._has_work.set()

    async def run(self) -> None:
        """Work until cancelled; then release the claims, so that another process can continue at
        once."""
        for runner_id in await self._outbox.runner_ids():
            if is_dead(runner_id):
                await self._outbox.hand_back(runner_id)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._announce_all(), name="webhooks: announce")
                group.create_task(self._deliver_all(group), name="webhooks: deliver")
        finally:
            await to_its_end(self._outbox.hand_back())

    async def _announce_all(self) -> None:
        """Create deliveries for events until cancelled."""
        await every(self._pace.idle, self._announce, "announcing webhooks", self._has_news)

    async def _announce(self) -> None:
        """Create deliveries for the changed tasks, and at intervals for all tasks with webhooks."""
        await asyncio.sleep(GATHERED)
        self._has_news.clear()
        news, self._news = self._news, set()
        next_sweep, self._sweep_at = self._sweep_at, 0.0  # if this fails, all are checked next
        sweep = time.monotonic() >= next_sweep or len(news) >= MAX_BATCH_WEBHOOKS
        found = await self._outbox.announce(None if sweep else news)
        if found:
            self.wake()
        if found >= MAX_BATCH_WEBHOOKS:
            self._has_news.set()  # there may be more
        else:
            self._sweep_at = time.monotonic() + self._pace.idle if sweep else next_sweep

    async def _deliver_all(self, group: asyncio.TaskGroup) -> None:
        """Start due deliveries until cancelled; after a failure continue at the next interval."""
        wait = self._pace.idle

        async def start() -> None:
            nonlocal wait
            wait = self._pace.idle
            wait = min(await self._start_due(group), wait)

        await every(lambda: wait, start, "delivering webhooks", self._has_work)

    async def _start_due(self, group: asyncio.TaskGroup) -> float:
        """Start due deliveries while slots are free; return the seconds until the next is due."""
        while not self._slots.full:
            due = await self._outbox.lanes()
            order = self._slots.order(due, time.time())
            if not order:
                return self._slots.wait(due, time.time())
            for lane in order:  # one each, so that busy lanes do not delay others
                if not self._slots.full and (delivery := await self._claimed(lane)) is not None:
                    self._slots.begin(lane, delivery.place, delivery.host)
                    work = self._deliver(lane, delivery)
                    group.create_task(work, name=f"webhook {delivery.delivery_id}")
        return self._pace.idle

    async def _claimed(self, lane: str) -> Delivery | None:
        """Claim the lane's next delivery to a host with free slots.

        Return None if there is none, or another process was faster.
        """
        began = time.monotonic()
        large = self._slots.is_slow(lane)
        delivery = await self._outbox.claim(lane, self._slots.busy, large=large)
        self._slots.looked(lane, time.monotonic() - began, found=delivery is not None)
        return delivery

    async def _deliver(self, lane: str, delivery: Delivery) -> None:
        """Make one attempt. If its result cannot be written, the lease ends and it is repeated."""
        try:
            await attempt(partial(self._try, delivery), f"webhook {delivery.delivery_id}")
        finally:
            self._slots.end(lane, delivery.place, delivery.host)
            self.wake()

    async def _try(self, delivery: Delivery) -> None:
        webhook, remote = self._target(delivery)
        began, clock = time.time(), time.monotonic()
        answer = await self._post(delivery, webhook, remote)
        step = next_step(answer, delivery.tries + 1, self._pace.schedule)
        made: DeliveryAttemptJson = {
            "at": moment(began),
            "duration_ms": round((time.monotonic() - clock) * 1000),
            "status_code": answer.status,
            "error": answer.error and masked(answer.error, webhook),
            "response": masked(answer.body, webhook),
        }
        self._slots.note(delivery.host, is_success(answer))
        await self._outbox.record(delivery, made, step)
        self.results[RESULTS[step.status]] += 1
        if step.status is DeliveryStatus.DEAD:
            log.warning("webhook %s to %s is given up", delivery.delivery_id, delivery.host)

    def _target(self, delivery: Delivery) -> tuple[Webhook, Remote]:
        """Return the webhook; for the operator's own one the current setting."""
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
