"""Tasks as a client of ComfyUI's own protocol makes them, without its routes."""

from collections.abc import Sequence
from itertools import count
from typing import Any

from app.services.submission_request import Submission
from app.tasks.model import Task
from app.tasks.native import NativePrompt, NativeRequest, lane_of, origin_of
from tests.conftest import RunningGateway

Json = dict[str, Any]

ADDRESS = "192.0.2.7"

_numbers = count(1)


def native_prompt(client: str | None = "krita", owner: str | None = None) -> NativePrompt:
    lane = lane_of(owner, ADDRESS, client) if client else None
    return NativePrompt(float(next(_numbers)), client, origin_of(ADDRESS, "test"), lane)


async def submit(
    gateway: RunningGateway,
    prompt: Json,
    *,
    client: str | None = "krita",
    targets: Sequence[str] | None = None,
    **fields: Any,
) -> Task:
    """Queue it; `fields` are those of the submission."""
    native, asked = native_prompt(client), NativeRequest(["3"], targets)
    submission = Submission(workflow=prompt, native=native, native_request=asked, **fields)
    return (await gateway.gateway.submissions.submit(submission))[0].task
