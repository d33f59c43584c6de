"""Bodies of ComfyUI's own routes: JSON, whatever their Content-Type says."""

import math
from typing import Any
from uuid import UUID

from starlette.requests import HTTPConnection, Request

from app.api.bodies import by_size, read_body
from app.api.native.errors import refused
from app.comfyui import problems
from app.comfyui.cleaning import is_sound
from app.errors import InvalidInput
from app.limits import text_lengths
from app.limits.json_types import Json
from app.limits.quoting import quoted
from app.services.native_prompts import PostedPrompt
from app.workflows.extra_data import PREVIEWS, parted
from app.workflows.formats import describe
from app.workflows.json_text import parse_json, parse_leniently

_USAGE = "comfy-usage-source"  # a header that ComfyUI 0.33 keeps in extra_data


async def json_of(request: Request) -> Any:
    """Return the body. Raises InvalidJson, PayloadTooLarge."""
    return await by_size(request, parse_json, await read_body(request))


async def object_of(request: Request) -> Json:
    """Return the body, an object. Raises InvalidJson, InvalidInput, PayloadTooLarge."""
    found = await json_of(request)
    if not isinstance(found, dict):
        raise InvalidInput(f"The body must be a JSON object; it is {describe(found)}.")
    return found


def address_of(request: HTTPConnection) -> str:
    """Return the address that the client has."""
    return request.client.host if request.client else ""


def user_agent_of(request: HTTPConnection) -> str:
    return request.headers.get("user-agent", "")


async def posted_prompt(request: Request) -> PostedPrompt:
    """Return the body of POST /prompt. Raises what `object_of` does, InvalidRequest with ComfyUI's
    words, and InvalidInput for other fields."""
    content = await read_body(request)
    # ComfyUI itself writes NaN into the prompts of pictures (`is_changed`), and takes it back
    body = await by_size(request, parse_leniently, content)
    if not isinstance(body, dict) or "prompt" not in body:
        raise _refused(problems.no_prompt())
    if not isinstance(body["prompt"], dict):
        raise InvalidInput(f"prompt: an object of nodes is wanted; it is {_kind(body['prompt'])}.")
    extra = body.get("extra_data")
    kept, secrets = parted(_extra_data({} if extra is None else extra, request))
    return PostedPrompt(
        prompt=body["prompt"],
        prompt_id=_prompt_id(body.get("prompt_id")),
        number=_number(body["number"]) if body.get("number") is not None else None,
        front=bool(body.get("front")),
        client_id=_client_id(body, extra),
        extra_data=kept,
        secrets=secrets,
        targets=_targets(body.get("partial_execution_targets")),
        address=address_of(request),
        user_agent=user_agent_of(request),
        size=len(content),
    )


def is_canonical(prompt_id: Any) -> bool:
    """Return whether a value is a UUID as ComfyUI writes it."""
    try:
        return isinstance(prompt_id, str) and str(UUID(prompt_id)) == prompt_id
    except ValueError:
        return False


def _prompt_id(value: Any) -> str | None:
    if value is not None and not is_canonical(value):
        raise _refused(problems.invalid_prompt_id())
    return None if value is None else str(value)


def _refused(problem: problems.Problem) -> Exception:
    return refused(problem["type"], problem["message"], problem["details"], **problem["extra_info"])


def _extra_data(extra: Any, request: Request) -> Any:
    """Return extra_data without what ComfyUI takes no notice of, and with what it adds."""
    if not isinstance(extra, dict):
        return extra
    found = dict(extra)
    if found.get("preview_method") not in PREVIEWS:
        found.pop("preview_method", None)  # then it is as the server was started
    if source := request.headers.get(_USAGE):
        found["comfy_usage_source"] = source
    return found


def _client_id(body: Json, extra: Any) -> str | None:
    """Return the id of the client, of the body or of extra_data. Raises InvalidInput."""
    value = body.get("client_id")
    if "client_id" not in body and isinstance(extra, dict):
        value = extra.get("client_id")
    if value is None or value == "":
        return None
    if isinstance(value, dict | list):
        raise InvalidInput(f"client_id: a text is wanted; it is {_kind(value)}.")
    text = str(value)
    if len(text) > text_lengths.CLIENT or not is_sound(text):
        raise InvalidInput(f"client_id: {text_lengths.CLIENT} characters at most, and no NUL.")
    return text


def _number(value: Any) -> float:
    """Return what Python makes of it, as ComfyUI does. Raises InvalidInput."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise InvalidInput(f"number: a finite number is wanted; it is {quoted(value)}.")
    return found


def _targets(value: Any) -> Any:
    if isinstance(value, str | None):
        return value
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InvalidInput("partial_execution_targets: a list of ids of output nodes is wanted.")
    return value


def _kind(value: Any) -> str:
    return describe(value)
