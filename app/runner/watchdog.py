"""Detects prompts that run without sending events."""

import time

from app.runner.run_record import RunRecord
from app.servers.server import Server
from app.tasks.warnings import may_be_stuck


class Watchdog:
    """Measures the time since the last event; over `limit` seconds count as stalled."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._last = time.monotonic()

    def reset(self) -> float:
        """Record an event; return the current time in seconds of the monotonic clock."""
        self._last = time.monotonic()
        return self._last

    def stalled_for(self) -> float | None:
        """Return the seconds since the last event if they exceed the limit, else None."""
        stalled_for = time.monotonic() - self._last
        return stalled_for if stalled_for > self._limit else None


async def check_pulse(watchdog: Watchdog, server: Server, record: RunRecord) -> None:
    """Mark the server as stalled if its running prompt has sent no event for too long."""
    if not server.connected:
        watchdog.reset()  # events cannot arrive while the socket is down
    if (stalled_for := watchdog.stalled_for()) and not server.stalled:
        said = f"no sign of progress for {stalled_for:.0f} s"
        server.mark_stalled(f"task {record.task.task_id}: {said}")
        await record.warn(may_be_stuck(server.id, said))
