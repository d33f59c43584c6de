"""Parsing of requests to Comfy API v2."""

import re
import time
from dataclasses import dataclass
from typing import Annotated
from uuid import uuid4

from blake3 import blake3
from fastapi import Depends, Header, Query, Request

from app.api import v2_errors
from app.api.bodies import BodySchema, by_size, model_of, read_body
from app.api.deps import own_address
from app.api.pages import PATTERN, position
from app.api.v2.schemas import LABEL, JobRequest, checked_metadata
from app.api.v2.shapes import Here
from app.db.idempotency import IdempotencyKey
from app.errors import (
    GatewayError,
    InvalidCursor,
    InvalidInput,
    InvalidMetadataFilter,
    InvalidRequest,
)
from app.gateway import Gateway
from app.limits import text_lengths
from app.limits.json_types import Json
from app.services.submission_request import Submission
from app.workflows.json_text import parse_json
from app.workflows.references.results import OwnAddress
from app.workflows.secret_values import check_secrets

MAX_FILTERS = 3
MAX_PLACE = 300  # characters of the host
MAX_FILTER = 1024  # characters
RESERVED = {"webhook_url", "inputs"}
_FILTER = re.compile(r"metadata\[(.*)\]")


async def place(request: Request) -> Here:
    """Return the URL and path prefix under which the client reaches the gateway.

    The host is the request's. Raises InvalidRequest.
    """
    gateway: Gateway = request.state.gateway
    prefix = gateway.base_path
    if len(request.url.netloc) > MAX_PLACE:  # it would be repeated in hundreds of URLs
        raise InvalidRequest(f"Host: it is longer than {MAX_PLACE} characters.")
    origin = f"{request.url.scheme}://{request.url.netloc}"
    return Here(f"{origin}{prefix}", prefix, time.time(), gateway.settings.retention_age)


async def submission(request: Request) -> Submission:
    """Return the job to queue. Raises MetadataInvalid and InvalidInput."""
    return await by_size(request, _job, await read_body(request))


def _job(content: bytes) -> Submission:
    body = parse_json(content)
    reserved = RESERVED & body.keys() if isinstance(body, dict) else None
    if reserved:
        raise InvalidInput(
            f"{min(reserved)}: it is reserved in Comfy API v2 and has no meaning yet.",
            hint="POST /api/workflow/submit has more to offer.",
        )
    job = model_of(JobRequest, body)
    secret = job.extra_data.api_key_comfy_org if job.extra_data else None
    key = secret.get_secret_value() if secret else ""
    secrets = {"api_key_comfy_org": key} if key else {}
    check_secrets(secrets)
    return Submission(
        workflow=job.workflow,
        metadata=checked_metadata(job.metadata),
        priority=job.priority,
        secrets=secrets,
        size=len(content),
    )


SingleUseHeader = Annotated[
    str | None,
    Header(
        description="A request with a key that was used is refused.",
        json_schema_extra={
            "pattern": "^[ -~]*$",
            "minLength": 1,
            "maxLength": text_lengths.IDEMPOTENCY_KEY,
        },
    ),
]


async def single_use(idempotency_key: SingleUseHeader = None) -> IdempotencyKey | None:
    """Return a key that matches no second request, whatever its body.

    v2 refuses a repeated key, where the gateway's own routes return the first result.
    """
    if idempotency_key is None:
        return None
    most = text_lengths.IDEMPOTENCY_KEY
    printable = idempotency_key.isascii() and idempotency_key.isprintable()
    if not printable or not 1 <= len(idempotency_key) <= most:
        raise InvalidInput(f"Idempotency-Key: 1 to {most} printable ASCII characters.")
    name = f"v2:{blake3(idempotency_key.encode()).hexdigest()}"
    return IdempotencyKey(name, str(uuid4()), single_use=True)


@dataclass(frozen=True, slots=True)
class NewJob:
    """A request for a job."""

    job: Submission
    key: IdempotencyKey | None
    gateway: Gateway
    here: Here
    address: OwnAddress


async def new_job(request: Request, idempotency_key: SingleUseHeader = None) -> NewJob:
    """One dependency for all of it: FastAPI takes 20 us to resolve each, however small."""
    job, key = await submission(request), await single_use(idempotency_key)
    return NewJob(job, key, request.state.gateway, await place(request), own_address(request))


SingleUse = Annotated[IdempotencyKey | None, Depends(single_use)]
NewJobDep = Annotated[NewJob, Depends(new_job), BodySchema(JobRequest)]


async def labels(request: Request) -> dict[str, str]:
    """Return the filter `metadata[<key>]=<value>`. Raises InvalidMetadataFilter."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if not name.startswith("metadata"):
            continue
        match = _FILTER.fullmatch(name)
        if match is None or not LABEL.fullmatch(match[1]) or match[1] in found:
            raise InvalidMetadataFilter(
                f"{name[:60]!r} is no filter: write metadata[key]=value, each key once."
            )
        if len(value) > MAX_FILTER:
            raise InvalidMetadataFilter(f"{name}: a value has {MAX_FILTER} characters at most.")
        found[match[1]] = value
    if len(found) > MAX_FILTERS:
        raise InvalidMetadataFilter(f"{len(found)} filters; {MAX_FILTERS} are allowed.")
    return found


async def seq(
    cursor: Annotated[
        str | None,
        Query(
            description="`next_cursor` of the page before.",
            json_schema_extra={"pattern": PATTERN},
        ),
    ] = None,
) -> int | None:
    """Return the position of a cursor. Raises InvalidCursor, and InvalidInput if out of range."""
    return None if cursor is None else position(cursor, InvalidCursor)


def failures(*errors: type[GatewayError]) -> dict[int | str, Json]:
    """Return the `responses=` of a route that may raise these errors.

    InvalidInput and internal errors are included.
    """
    found: dict[int | str, Json] = {}
    every: list[type[GatewayError]] = [*errors, InvalidInput, GatewayError]
    for error in every:
        status, code = v2_errors.meaning(error.status, error.code)
        known = found.get(status)
        text = f"`{code}`"
        if known and text not in known["description"]:
            text = f"{known['description']} {text}"
        found[status] = {"model": v2_errors.ErrorEnvelope, "description": text}
    return found


HereDep = Annotated[Here, Depends(place)]
Labels = Annotated[dict[str, str], Depends(labels)]
Before = Annotated[int | None, Depends(seq)]
