"""/internal/logs: the end of the log, for programs that show it."""

from __future__ import annotations

from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fake_comfyui.replies import machine_of, reply

_KEPT = 300  # lines; as many as ComfyUI
_SIZE = {"cols": 80, "rows": 24}


def _entries(request: Request) -> list[dict[str, str]]:
    prompts = machine_of(request).records.prompts[-_KEPT:]
    times = (datetime.fromtimestamp(prompt.accepted_at).isoformat() for prompt in prompts)
    return [{"t": when, "m": "got prompt\n"} for when in times]


async def get_logs(request: Request) -> Response:
    """One text, as a JSON string."""
    return reply("".join(f"{entry['t']} - {entry['m']}" for entry in _entries(request)))


async def get_raw_logs(request: Request) -> Response:
    return reply({"entries": _entries(request), "size": _SIZE})


# Unlike all other routes these are not below /api as well.
INTERNAL_ROUTES = [
    Route("/internal/logs", get_logs),
    Route("/internal/logs/raw", get_raw_logs),
]
