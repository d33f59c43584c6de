"""Handling of answers that are not ComfyUI's own: from a proxy, a login, a limit, a broken node.

They say nothing about the prompt, so they count against the server. ComfyUI's own answers to POST
/prompt are 200 with a `prompt_id`, and 400 with `error` and `node_errors` (recorded from 0.3.64).
ComfyUI also answers 500 for prompts that raise an exception in it.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from app.comfyui import wire
from app.comfyui.node_errors import rejection
from app.errors import ComfyError, ComfyUnreachable
from app.limits.json_types import Json

TOO_LARGE = 413
LONGEST_WAIT = 600.0  # maximum seconds of a Retry-After
_AWAY = {408, 429, 502, 503, 504, *range(520, 531)}  # 520 and above are Cloudflare's
_MAY_BE_THE_PROMPTS = {400, 500}
_LOGIN = (
    "What stands in front of it wants a login, which the gateway has not: let the gateway through, "
    "or give it an address of ComfyUI itself."
)
_ELSEWHERE = "Is this the address of ComfyUI itself? Try it with /system_stats behind it."
_BEHIND = "What stands in front of ComfyUI gets no answer from it: is it running, or restarting?"
_REMEDIES = {
    400: "ComfyUI's own refusals look different: see the log of what stands in front of it.",
    401: _LOGIN,
    403: _LOGIN,
    404: _ELSEWHERE,
    405: _ELSEWHERE,
    407: _LOGIN,
    TOO_LARGE: "It is too large for ComfyUI or what stands in front of it: raise that limit "
    "(client_max_body_size of nginx, --max-upload-size of ComfyUI), or send pictures as uploads.",
    429: "What stands in front of it limits requests: raise the limit for the gateway.",
    500: "ComfyUI's log has the reason, most often a custom node: update or remove that, and "
    "restart ComfyUI.",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered; `headers` are found in any case, `path` is that of the request."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    path: str

    @property
    def is_error(self) -> bool:
        return self.status >= 400


def taken(answer: Answer, address: str) -> Json:
    """Return ComfyUI's answer for an accepted prompt.

    Raises PromptRejected if ComfyUI refuses it, and ComfyError for an answer that is not ComfyUI's.
    """
    said = _object(answer)
    if answer.status == 400 and ("error" in said or "node_errors" in said):
        raise rejection(answer.content, address)
    if 200 <= answer.status < 300 and "prompt_id" in said:
        return said
    raise _marked(ComfyError(_words(answer, address)), answer)


def fault(answer: Answer, address: str) -> ComfyError:
    """Return the error for an answer with an error status.

    ComfyUnreachable stands for an answer in ComfyUI's place, so that a retry makes sense.
    """
    kind = ComfyUnreachable if is_away(answer.status) else ComfyError
    return _marked(kind(_words(answer, address)), answer)


def is_away(status: int | None) -> bool:
    """Return whether the status means that ComfyUI is temporarily unreachable."""
    return status in _AWAY


def may_be_the_prompts(status: int | None) -> bool:
    """Return whether the status may be caused by the prompt; other tasks at the server decide."""
    return status in _MAY_BE_THE_PROMPTS


def leaves_doubt(status: int | None) -> bool:
    """Return whether ComfyUI may have received the request in spite of the status."""
    return status is not None and (status >= 500 or status < 300 or status == 408)


def _marked(error: ComfyError, answer: Answer) -> ComfyError:
    error.answered = answer.status
    error.retry_after = _retry_after(answer.headers.get("retry-after", ""))
    return error


def _words(answer: Answer, address: str) -> str:
    status, path = answer.status, answer.path
    how = "" if answer.is_error else ", and not as ComfyUI does,"
    return f"ComfyUI at {address} answered {status}{how} to {path}. {_remedy(status)}"


def _remedy(status: int) -> str:
    if status < 300:
        return "Something else answers there, a login page say. " + _ELSEWHERE
    if status < 400:
        return "It leads elsewhere: use the address that it leads to."
    if status not in _REMEDIES and is_away(status):
        return _BEHIND
    return _REMEDIES.get(status, "See the log of ComfyUI, and of what stands in front of it.")


def _retry_after(text: str) -> float | None:
    """Return the seconds of a Retry-After header, given in seconds or as a date (RFC 9110)."""
    try:
        if text.strip().isdecimal():
            seconds = float(text)
        else:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT)


def _object(answer: Answer) -> Json:
    try:
        said = wire.loads(answer.content)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
