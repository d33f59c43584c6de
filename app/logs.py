"""How the log is written: plain lines, or JSON objects. Facts travel as `extra=facts(...)`."""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

Json = dict[str, Any]
LogFormat = Literal["plain", "json"]

# The request that is being answered, for all that is logged meanwhile.
current_request: ContextVar[str | None] = ContextVar("current_request", default=None)


def facts(**values: Any) -> Json:
    """What a line tells besides its words, as `extra=`."""
    return {"facts": values}


def configure(level: str, log_format: LogFormat) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if log_format == "json" else PlainLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs URLs
    logging.getLogger("uvicorn.error").addFilter(_is_no_handshake)


def _is_no_handshake(record: logging.LogRecord) -> bool:
    """uvicorn logs WebSockets with their query, which may hold what is nobody's business."""
    return '"WebSocket ' not in str(record.msg)


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line: Json = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := current_request.get():
            line["request_id"] = request_id
        line.update(getattr(record, "facts", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class PlainLines(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        found = {"request_id": current_request.get(), **getattr(record, "facts", {})}
        told = [f"{name}={value}" for name, value in found.items() if value is not None]
        # Whatever a client sends, a line stays a line.
        text = " ".join([super().formatMessage(record), *told])
        return text.replace("\r", "\\r").replace("\n", "\\n")
