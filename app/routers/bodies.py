"""Reading request bodies: with a limit, strictly, and with errors that say what to do."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, NoReturn, TypeVar

from fastapi import Depends, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from app.errors import InvalidInput, InvalidJson, PayloadTooLarge
from app.gateway import Gateway
from app.routers.schemas import SubmitRequest
from app.tasks.service import Submission
from app.workflows.formats import describe, is_api, is_ui

Json = dict[str, Any]
M = TypeVar("M", bound=BaseModel)

MAX_DEPTH = 100  # of nested arrays and objects; workflows have about ten
CHUNK = 1 << 20
COMFYUI_IDS = ("client_id", "prompt_id")

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


async def read_json(request: Request) -> Any:
    """The body's JSON. Raises InvalidJson and PayloadTooLarge."""
    gateway: Gateway = request.state.gateway
    body = await _read(request, gateway.settings.max_body_bytes)
    return parse_json(body)


async def read_json_or_empty(request: Request) -> Any:
    """The same where a body is optional: none is {}."""
    gateway: Gateway = request.state.gateway
    body = await _read(request, gateway.settings.max_body_bytes)
    return parse_json(body) if body.strip() else {}


def parse_json(body: bytes) -> Any:
    """Strict JSON: UTF-8, no NaN, no lone surrogates, not too deep. Raises InvalidJson."""
    if not body.strip():
        raise InvalidJson("The body is empty.", hint="Send JSON: curl -d @workflow.json ...")
    try:
        value = json.loads(body.decode(), parse_constant=_refuse_constant)
        if _SURROGATE.search(body):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise _not_json(error) from error
    if _depth_exceeds(value, MAX_DEPTH):
        raise _too_deep()
    return value


def _not_json(error: ValueError) -> InvalidJson:
    match error:
        case UnicodeDecodeError():
            return InvalidJson(
                f"The body is not UTF-8 (byte {error.start}).", hint="Save the file as UTF-8."
            )
        case UnicodeEncodeError():
            return InvalidJson("The body holds half of a surrogate pair (\\uD800-\\uDFFF).")
        case json.JSONDecodeError():
            place = f"line {error.lineno}, column {error.colno}"
            return InvalidJson(
                f"The body is not valid JSON: {error.msg} in {place}.",
                hint="With curl, send a file with -d @FILE, and inline JSON in single quotes.",
            )
        case _:  # a number with thousands of digits
            return InvalidJson(f"The body is not valid JSON: {error}.")


async def _read(request: Request, limit: int) -> bytes:
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)
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


def _too_deep() -> InvalidJson:
    return InvalidJson(f"The JSON is nested more than {MAX_DEPTH} levels deep.")


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidJson(
        f"{name} is not valid JSON.", hint="Use a finite number, or null where one is missing."
    )


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True


def validated(model: type[M], value: Any) -> M:
    """The value as a model, or the same error as FastAPI's own validation gives."""
    if not isinstance(value, Mapping):
        raise InvalidInput(f"The body must be a JSON object; it is {describe(value)}.")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise RequestValidationError(
            [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
        ) from error


async def submission(request: Request) -> Submission:
    """Both forms of a submit: an envelope {workflow | filename, params, ...}, or the workflow."""
    value = await read_json(request)
    if isinstance(value, dict) and (is_api(value.get("prompt")) or is_ui(value.get("prompt"))):
        # ComfyUI's own body. Its ids are ours to choose; all else must be something we know.
        rest = {key: value[key] for key in value if key not in COMFYUI_IDS}
        value = {"workflow": rest.pop("prompt"), **rest}
    is_envelope = isinstance(value, dict) and ("workflow" in value or "filename" in value)
    if not is_envelope or is_api(value) or is_ui(value):
        return Submission(workflow=value)  # what is wrong with it is said when it is unwrapped
    return Submission(**validated(SubmitRequest, value).model_dump())


SubmissionBody = Annotated[Submission, Depends(submission)]
JsonBody = Annotated[Any, Depends(read_json)]


async def chunks_of(upload: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await upload.read(CHUNK):
        yield chunk
