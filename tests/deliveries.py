"""What delivers webhooks in a test, without a gateway around it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.outbound.guard import Guard
from app.outbound.transport import Remote
from app.webhooks.deliverer import Deliverer
from app.webhooks.fair_share import DeliveryPace
from app.webhooks.outbox import Outbox


@asynccontextmanager
async def delivering(outbox: Outbox, guard: Guard, pace: DeliveryPace) -> AsyncIterator[Deliverer]:
    deliverer = Deliverer(outbox, Remote(guard), pace)
    work = asyncio.create_task(deliverer.run())
    try:
        yield deliverer
    finally:
        work.cancel()
        await asyncio.wait([work])
