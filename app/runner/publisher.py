"""Publishes the state of a run to subscribers, with its estimated end."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from app.comfyui.events import Preview
from app.db.run_times import RunTimes
from app.events.hub import Hub
from app.runner.eta import Seen, is_waiting
from app.runner.expectation import SeenOn, expected_on
from app.servers.server import Server
from app.tasks.model import Output, Progress, Task
from app.tasks.view import UNKNOWN, Expected, output_view, progress_view, task_view

View = Callable[[Task, Progress, Expected], Mapping[str, Any]]


class ProgressPublisher:
    """Publishes one run on one server. `seen_on` returns the tasks of all gateways there."""

    def __init__(self, hub: Hub, run_times: RunTimes, server: Server, seen_on: SeenOn) -> None:
        self._hub = hub
        self._run_times = run_times
        self._server = server
        self._seen_on = seen_on

    def status(self, seen: Seen) -> None:
        self._publish("status", seen, task_view)

    def progress(self, seen: Seen) -> None:
        self._publish("progress", seen, progress_view)

    def output(self, task: Task, output: Output) -> None:
        self._hub.publish(task, "output", partial(output_view, task.task_id, output))

    def preview(self, task: Task, node_id: str | None, preview: Preview) -> None:
        about = {"task_id": task.task_id, "node_id": node_id, "content_type": preview.content_type}
        self._hub.publish(task, "preview", lambda: about, preview.image)

    def _publish(self, type: Literal["status", "progress"], seen: Seen, view: View) -> None:
        is_past = False

        def render() -> Mapping[str, Any]:
            return view(seen.task, seen.progress, UNKNOWN if is_past else self._expected(seen))

        self._hub.publish(seen.task, type, render)
        is_past = (
            True  # who looks later gets no estimate: it would be of the servers as they are then
        )

    def _expected(self, seen: Seen) -> Expected:
        if seen.task.finished or is_waiting(seen.task):
            return UNKNOWN
        return expected_on(self._server, seen, self._seen_on, self._run_times)
