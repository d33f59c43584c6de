"""Deliveries: one event of one task on its way to one webhook. Pure."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from app.limits.json_types import Json
from app.tasks.model import Status
from app.tasks.task_json import TaskJson
from app.tasks.view import timestamp
from app.tasks.webhook import Webhook, tokens_of

FINAL_EVENTS = {
    Status.SUCCEEDED: "task.succeeded",
    Status.FAILED: "task.failed",
    Status.CANCELED: "task.canceled",
}
KEPT_TRIES = 30  # in the log of a delivery
MASK = "***"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery that is to be made now. `tries` were made before. `place`: its host, whatever the
    port."""

    delivery_id: str
    host: str
    place: str
    body: str = field(repr=False)
    tries: int
    log: tuple[Json, ...] = field(repr=False)
    webhook: Webhook


def body_of(event: str, at: float | None, task: TaskJson) -> str:
    body = {"type": event, "timestamp": timestamp(at), "data": task}
    return json.dumps(body, separators=(",", ":"))


def masked(text: str, webhook: Webhook) -> str:
    """The text without secrets of ours: receivers repeat what they were sent."""
    for secret in sorted(_secrets(webhook), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def _secrets(webhook: Webhook) -> Iterable[str]:
    parts = urlsplit(webhook.url)
    values = [value for _, value in parse_qsl(parts.query)] + tokens_of(parts.path)
    for value in (*webhook.headers.values(), *values, webhook.secret or ""):
        # "Bearer abc" may come back as "abc".
        yield from (part for part in (value, *value.split()) if len(part) > 3)


def delivery_view(row: Any) -> Json:
    """A row of deliveries, joined with its webhook, as the API shows it."""
    pending = row["status"] == "pending"
    return {
        "delivery_id": row["delivery_id"],
        "task_id": row["task_id"],
        "event": row["event"],
        "url": json.loads(row["shown"])["url"],
        "status": row["status"],
        "created_at": timestamp(row["created_at"]),
        "finished_at": timestamp(row["finished_at"]),
        "next_attempt_at": timestamp(row["next_at"]) if pending else None,
        "attempts": json.loads(row["log"]),
    }
