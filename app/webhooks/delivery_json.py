"""The JSON of deliveries of webhooks. Pure."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from app.webhooks.retries import DeliveryStatus


class DeliveryAttemptJson(TypedDict):
    at: str
    duration_ms: int
    status_code: Annotated[int | None, Field(description="null: there was no answer.")]
    error: str | None
    response: Annotated[str, Field(description="The beginning of the answer's body.")]


class DeliveryJson(TypedDict):
    delivery_id: Annotated[str, Field(description="The header webhook-id.")]
    task_id: str
    event: str
    url: str
    status: DeliveryStatus
    created_at: str
    finished_at: str | None
    next_attempt_at: Annotated[
        str | None,
        Field(description="When it is tried again; during a try: when that counts as lost."),
    ]
    attempts: Annotated[list[DeliveryAttemptJson], Field(description="The newest 30.")]


class DeliveryListJson(TypedDict):
    deliveries: list[DeliveryJson]


class DeliveryPageJson(DeliveryListJson):
    next_cursor: str | None
