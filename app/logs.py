"""Log formats: plain lines, or JSON objects. Structured values are passed as `extra=facts(...)`."""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

from app.limits.json_types import Json
from app.limits.quoting import cut

LogFormat = Literal["plain", "json"]

_REFUSED = (
    # Logged by uvicorn for each refused handshake
    "ASGI callable returned without completing handshake"
)

LONGEST = 8_000  # bytes of a message, which may contain client data
LONGEST_TRACE = 32_000  # characters of a traceback, whose end is kept

# The id of the current request, added to all log lines.
current_request: ContextVar[str | None] = ContextVar("current_request", default=None)


def facts(**values: Any) -> Json:
    """Return structured values of a log line, for `extra=`."""
    return {"facts": values}


def configure(level: str, log_format: LogFormat) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if log_format == "json" else PlainLines())
    # Libraries log too much: httpx URLs, websockets and httpcore headers.
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("app").setLevel(level.upper())
    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.setLevel(max(logging.INFO, logging.getLogger("app").level))
    uvicorn.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Drop uvicorn's lines about WebSockets, which contain the query; there are own ones."""
    text = str(record.msg)
    return '"WebSocket ' not in text and not text.startswith(("connection ", _REFUSED))


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line: Json = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": cut(record.getMessage(), LONGEST),
        }
        if request_id := current_request.get():
            line["request_id"] = request_id
        line.update(getattr(record, "facts", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)[-LONGEST_TRACE:]
        return json.dumps(line, default=str)


class PlainLines(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        found = {"request_id": current_request.get(), **getattr(record, "facts", {})}
        told = [f"{name}={value}" for name, value in found.items() if value is not None]
        # Keep each record on one line, whatever a client sent.
        text = " ".join([cut(super().formatMessage(record), LONGEST), *told])
        return text.replace("\r", "\\r").replace("\n", "\\n")

    def formatException(self, ei: Any) -> str:
        return super().formatException(ei)[-LONGEST_TRACE:]
