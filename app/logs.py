"""Log formats: plain lines, or JSON objects. Structured values are passed as `extra=facts(...)`."""

import json
import logging
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

from app.limits.json_types import Json
from app.limits.quoting import cut
from app.limits.redaction import without_secrets

LogFormat = Literal["plain", "json"]

_NO_NEWS = (  # of uvicorn
    "connection ",
    "ASGI callable returned without completing handshake",  # for each refused one
    "ASGI callable returned without completing response",  # for each that breaks off
    # Around why a start failed, which is one line
    "Started server process",  # app/serving.py says so when it is true
    "Waiting for application startup",
    "Application startup failed",
)

LONGEST = 8_000  # bytes of a message, which may contain client data
LONGEST_TRACE = 32_000  # characters of a traceback, whose end is kept

# The id of the current request, added to all log lines.
current_request: ContextVar[str | None] = ContextVar("current_request", default=None)


def facts(**values: Any) -> Json:
    """Return structured values of a log line, for `extra=`."""
    return {"facts": values}


def configure(level: str, log_format: LogFormat, worker: int | None = None) -> None:
    """Set up logging. `worker`: the number of this process if there are several."""
    # No line tells where it was logged: see "Optimization" in the documentation of `logging`
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    handler = logging.StreamHandler()
    handler.setFormatter((JsonLines if log_format == "json" else PlainLines)(worker))
    # Libraries log too much: httpx URLs, websockets and httpcore headers.
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("app").setLevel(level.upper())
    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.setLevel(max(logging.INFO, logging.getLogger("app").level))
    uvicorn.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Drop uvicorn's lines about WebSockets, which contain the query; there are own ones."""
    text = str(record.msg)
    return '"WebSocket ' not in text and not text.startswith(_NO_NEWS)


class JsonLines(logging.Formatter):
    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._of_all = {} if worker is None else {"worker": worker}

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line: Json = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": cut(record.getMessage(), LONGEST),
            **self._of_all,
        }
        if request_id := current_request.get():
            line["request_id"] = request_id
        line.update(getattr(record, "facts", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)[-LONGEST_TRACE:]
        return without_secrets(json.dumps(line, default=str))


class PlainLines(logging.Formatter):
    def __init__(self, worker: int | None = None) -> None:
        super().__init__("%(asctime)s")  # has `formatTime` called
        self._worker = worker
        self._second, self._shown = 0, ""

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        if (second := int(record.created)) != self._second:
            self._second = second
            self._shown = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        return f"{self._shown},{int(record.msecs):03d}"

    def formatMessage(self, record: logging.LogRecord) -> str:
        found = {"worker": self._worker, "request_id": current_request.get()}
        found.update(getattr(record, "facts", {}))
        told = [f"{name}={value}" for name, value in found.items() if value is not None]
        line = f"{record.asctime} {record.levelname} {record.name}: {record.message}"
        # Keep each record on one line, whatever a client sent.
        text = " ".join([cut(line, LONGEST), *told])
        return text.replace("\r", "\\r").replace("\n", "\\n")

    def formatException(self, ei: Any) -> str:
        return super().formatException(ei)[-LONGEST_TRACE:]
