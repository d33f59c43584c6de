"""A delivery: one event of one task for one webhook. Pure."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from app.tasks.model import Status
from app.tasks.task_json import TaskJson
from app.tasks.view import moment, timestamp
from app.tasks.webhook import Webhook, tokens_of
from app.webhooks.delivery_json import DeliveryAttemptJson, DeliveryJson

FINAL_EVENTS = {
    Status.SUCCEEDED: "task.succeeded",
    Status.FAILED: "task.failed",
    Status.CANCELED: "task.canceled",
}
KEPT_TRIES = 30  # in the log of a delivery
MASK = "***"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A claimed delivery, with `tries` earlier attempts. `place`: its host without the port."""

    delivery_id: str
    host: str
    place: str
    body: str = field(repr=False)
    tries: int
    log: tuple[DeliveryAttemptJson, ...] = field(repr=False)
    webhook: Webhook


def body_of(event: str, at: float | None, task: TaskJson) -> str:
    body = {"type": event, "timestamp": timestamp(at), "data": task}
    return json.dumps(body, separators=(",", ":"))


def masked(text: str, webhook: Webhook) -> str:
    """Return the text without secrets of the webhook, which receivers may echo."""
    for secret in sorted(_secrets(webhook), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def _secrets(webhook: Webhook) -> Iterable[str]:
    parts = urlsplit(webhook.url)
    values = [value for _, value in parse_qsl(parts.query)] + tokens_of(parts.path)
    for value in (*webhook.headers.values(), *values, webhook.secret or ""):
        # "Bearer abc" may be echoed as "abc".
        yield from (part for part in (value, *value.split()) if len(part) > 3)


def delivery_view(row: Any) -> DeliveryJson:
    """Return the JSON of a row of deliveries joined with its webhook."""
    pending = row["status"] == "pending"
    return {
        "delivery_id": row["delivery_id"],
        "task_id": row["task_id"],
        "event": row["event"],
        "url": json.loads(row["shown"])["url"],
        "status": row["status"],
        "created_at": moment(row["created_at"]),
        "finished_at": timestamp(row["finished_at"]),
        "next_attempt_at": timestamp(row["next_at"]) if pending else None,
        "attempts": json.loads(row["log"]),
    }
