"""Reading of request bodies: limited, strict, and with errors that suggest a remedy."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from app.api.body_memory import hold
from app.api.requests import RunRequest, Strict, SubmitRequest
from app.errors import InvalidInput, PayloadTooLarge
from app.gateway import Gateway
from app.services.submission_request import Submission
from app.webhooks.requests import wanted
from app.workflows.embedded import is_image
from app.workflows.extra_data import parted, remarks_on
from app.workflows.formats import describe, is_api, is_ui, picture_info
from app.workflows.json_text import parse_json

M = TypeVar("M", bound=Strict)
T = TypeVar("T")

CHUNK = 1 << 20
UNCOUNTED = 16 * 1024  # bytes of a body that needs no reservation of memory
MAX_UNKNOWN, MAX_FAULTS = 20, 500  # unknown fields, and errors, that are processed
WORKED_ON_HERE = 64 * 1024  # bytes up to which a body is processed in the event loop
MAX_PICTURE = 64 << 20  # bytes of an image with a workflow, of which only the texts are parsed
# Fields of ComfyUI's own body that have no effect, and their replacements.
COMFYUI_FIELDS = {
    "number": '"priority": higher runs first',
    "front": '"priority": higher runs first',
    "partial_execution_targets": "a workflow without the other output nodes",
}


@dataclass(frozen=True, slots=True)
class BodySchema:
    """Describes for OpenAPI what a dependency reads from the body.

    Used as `Annotated[T, Depends(read), BodySchema(...)]`. For a route with a model as its
    parameter, FastAPI describes the body.
    """

    model: type[Strict]
    required: bool = True
    or_workflow: bool = False  # whether the body may be the workflow itself
    or_form: bool = False


async def by_size(request: Request, work: Callable[[bytes], T], body: bytes) -> T:
    """Call `work` with the body, in a thread if the body is large."""
    gateway: Gateway = request.state.gateway
    return await gateway.workers.unless(len(body) <= WORKED_ON_HERE, work, body)


async def read_body(request: Request) -> bytes:
    """Read the whole body, cached for further calls. Raises PayloadTooLarge and TooManyBodies."""
    known: bytes | None = getattr(request.state, "body", None)
    if known is None:
        gateway: Gateway = request.state.gateway
        known = request.state.body = await _received(request, gateway.settings.max_body_bytes)
    return known


async def _received(request: Request, limit: int) -> bytes:
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    size = int(length) if length.isdigit() else limit
    if size > UNCOUNTED:
        await hold(request, size)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The body is larger than the {limit} bytes that are allowed.",
        hint="Upload files with POST /api/image/upload and name them in the workflow. The limit "
        "is the setting COMFYUI_MAX_BODY_BYTES.",
    )


def read_model(model: type[M], body: bytes) -> M:
    """Parse a body as a model. Raises what `parse_json` and `model_of` raise."""
    return model_of(model, parse_json(body))


def model_of(model: type[M], value: Any) -> M:
    """Validate a JSON value as a model.

    Raises InvalidInput, and RequestValidationError like FastAPI; of many errors only a few are
    processed.
    """
    if not isinstance(value, Mapping):
        raise InvalidInput(f"The body must be a JSON object; it is {describe(value)}.")
    unknown = [name for name in value if name not in model.names]
    if beyond := set(unknown[MAX_UNKNOWN:]):  # the first few are enough for the error
        value = {name: item for name, item in value.items() if name not in beyond}
    try:
        return model.model_validate(value)
    except ValidationError as error:
        # Each error is an object, and the answer lists a few only
        if error.error_count() > MAX_FAULTS:
            raise InvalidInput(
                f"The body has {error.error_count()} faults, in fields that are not what they "
                "should be.",
                hint="The documentation of this route has an example.",
            ) from error
        raise RequestValidationError(
            [{**fault, "loc": ("body", *fault["loc"])} for fault in _faults(error, value)]
        ) from error


def _faults(error: ValidationError, value: Mapping[str, Any]) -> list[Any]:
    """Return the errors; for a webhook only those of the variant (URL or object) that was sent."""
    other = "str" if isinstance(value.get("webhook"), Mapping) else "WebhookRequest"
    found = []
    for fault in error.errors():
        first, *rest = fault["loc"] or ("",)
        if first == "webhook" and rest and rest[0] in ("str", "WebhookRequest"):
            if rest[0] == other:
                continue
            rest = rest[1:]
        found.append({**fault, "loc": (first, *rest) if fault["loc"] else ()})
    return found


async def submission(request: Request) -> Submission:
    """Return a submit from an envelope {workflow | filename, params, ...} or a bare workflow."""
    body = await read_body(request)
    found = await by_size(request, _submitted, body)
    if isinstance(found, Submission):
        return found
    return await submission_of(found, request, size=len(body))


def _submitted(body: bytes) -> Submission | SubmitRequest:
    value = as_envelope(parse_json(body))
    is_envelope = isinstance(value, dict) and ("workflow" in value or "filename" in value)
    if not is_envelope or is_api(value) or is_ui(value):
        return Submission(
            workflow=value, size=len(body)
        )  # errors in it are reported when it is unwrapped
    return model_of(SubmitRequest, value)


def as_envelope(body: Any) -> Any:
    """Convert ComfyUI's own body to an envelope; other values are returned unchanged.

    Raises InvalidInput for fields without effect.
    """
    if not isinstance(body, dict) or not (is_api(body.get("prompt")) or is_ui(body.get("prompt"))):
        return body
    for name, instead in COMFYUI_FIELDS.items():
        if body.get(name) not in (None, False):
            raise InvalidInput(f"{name}: it has no effect here.", hint=f"Send {instead}.")
    # The socket's client_id is the gateway's
    dropped = ("prompt", "workflow", "client_id", *COMFYUI_FIELDS)
    found = {name: value for name, value in body.items() if name not in dropped}
    if is_ui(page := body.get("workflow")) and isinstance(found.get("extra_data", {}), dict):
        extra = found.get("extra_data", {})
        found["extra_data"] = {**extra, "extra_pnginfo": {"workflow": page, **picture_info(extra)}}
    if found.get("extra_data", {}) is None:
        del found["extra_data"]
    return {"workflow": body["prompt"], **found}


async def submission_of(
    body: RunRequest, request: Request, *, size: int | None = None, **more: Any
) -> Submission:
    """Return the submit. Raises UrlNotAllowed and InvalidInput for an invalid webhook.

    `size`: bytes of a body that has all of it.
    """
    gateway: Gateway = request.state.gateway
    fields = {name: getattr(body, name) for name in type(body).model_fields}
    if (webhook := fields["webhook"]) is not None:
        asked = webhook if isinstance(webhook, str) else webhook.model_dump()
        fields["webhook"] = await wanted(asked, gateway.guard)
    if extra := fields["extra_data"]:  # it may be as large as a body
        small = size is not None and size <= WORKED_ON_HERE
        kept = await gateway.workers.unless(small, parted, extra)
        fields["extra_data"], fields["secrets"] = kept
        fields["warnings"] = remarks_on(extra)
    return Submission(**fields, size=size, **more)


def file_content(file: UploadFile, limit: int) -> bytes:
    """Read a file of a form; an image may exceed `limit`. Raises PayloadTooLarge.

    Called in a thread.
    """
    content = file.file.read(limit + 1)
    if len(content) > limit and is_image(content):
        limit = max(limit, MAX_PICTURE)
        content += file.file.read(limit + 1 - len(content))
    if len(content) > limit:
        raise PayloadTooLarge(f"The file is larger than the {limit} bytes that are allowed.")
    return content


SubmissionBody = Annotated[
    Submission, Depends(submission), BodySchema(SubmitRequest, or_workflow=True)
]


async def chunks_of(upload: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await upload.read(CHUNK):
        yield chunk
