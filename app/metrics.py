"""Metrics for Prometheus, with a registry per gateway."""

import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, case, func, select
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine.database import Database
from app.db.queries import is_active
from app.db.tables import tasks
from app.events.hub import Hub
from app.events.status_log import Transition
from app.events.subscription import Update
from app.scheduler.dispatcher import Dispatcher
from app.servers.pool import Pool
from app.settings import VERSION
from app.tasks.model import Status
from app.webhooks.deliverer import Deliverer
from app.worker_figures import WorkerFigures

PREFIX = "comfyui_gateway"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WS")
MOST_SERVERS = 500  # in labels; further servers share one label

_WAITS = (0.05, 0.25, 1, 5, 15, 60, 300, 900, 3600, 14400)
_RUNS = (0.25, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640, 1800, 3600)
_REQUESTS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)

_BAND = case((tasks.c.priority > 0, "high"), (tasks.c.priority < 0, "low"), else_="normal")
_ACTIVE = (
    select(tasks.c.status, _BAND.label("band"), func.count(), func.min(tasks.c.created_at))
    .where(is_active())
    .group_by(tasks.c.status, _BAND)
)


class Metrics:
    """Counters are updated by events; gauges are read when Prometheus asks."""

    def __init__(self, database: Database) -> None:
        self._registry = CollectorRegistry()
        self._database = database
        self._servers: set[str] = set()
        self._workers: WorkerFigures | None = None  # if this process is one of several
        ProcessCollector(registry=self._registry)
        self._tasks = self._counter("tasks", "Tasks that came into a status", "status", "server")
        self._wait = self._histogram("queue_wait_seconds", "From submit to start", _WAITS)
        self._run = self._histogram("run_seconds", "From start to end", _RUNS, "server", "status")
        self._events = self._counter("events", "What was published of tasks", "type")
        self._requests = self._counter("http_requests", "Answers", "method", "route", "status")
        self._took = self._histogram(
            "http_request_seconds", "But of streams", _REQUESTS, "method", "route"
        )
        # They are looked up for each request, and there are as many as routes
        self._requests_of = lru_cache(maxsize=1000)(self._requests.labels)
        self._took_of = lru_cache(maxsize=1000)(self._took.labels)

    def watch(self, pool: Pool, hub: Hub, dispatcher: Dispatcher, deliverer: Deliverer) -> None:
        """Add the gauges of these components."""
        self._registry.register(_Present(pool, hub, dispatcher, deliverer))

    async def page(self) -> bytes:
        """Return all metrics in Prometheus's format; without the queue if the database is
        unavailable."""
        queue = CollectorRegistry()
        queue.register(await self._look_at_queue())
        processes = await self._workers.page() if self._workers else self.own()
        return processes + generate_latest(queue)

    def own(self) -> bytes:
        """Return the metrics of this process."""
        return generate_latest(self._registry)

    async def share(self, folder: Path, number: int) -> None:
        """Be the worker `number` of those that tell each other their metrics in `folder`."""
        self._workers = WorkerFigures(folder, self.own)
        self._listening = await self._workers.listen(number)

    # -- events ---------------------------------------------------------------------------------

    def published(self, update: Update) -> None:
        self._events.labels(update.type).inc()

    def task_changed(self, transition: Transition) -> None:
        task = transition.task
        server = self._label(task.server)
        self._tasks.labels(task.status, server).inc()
        if task.status is Status.RUNNING:
            self._wait.observe((task.started_at or task.created_at) - task.created_at)
        if task.started_at and task.finished_at and task.status is not Status.EXPIRED:
            self._run.labels(server, task.status).observe(task.finished_at - task.started_at)

    def request(self, method: str, route: str, status: int, seconds: float | None) -> None:
        """Count a request; `seconds` is None for streams, whose duration depends on the client."""
        method = method if method in METHODS else "other"
        self._requests_of(method, route, status).inc()
        if seconds is not None:
            self._took_of(method, route).observe(seconds)

    # -- helpers --------------------------------------------------------------------------------

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, labels, registry=self._registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", text, labels, buckets=buckets, registry=self._registry)

    def _label(self, server: str | None) -> str:
        """Return the label of a server; limited in number, as servers come and go."""
        if server is None:
            return ""
        if len(self._servers) < MOST_SERVERS:
            self._servers.add(server)
        return server if server in self._servers else "other"

    async def _look_at_queue(self) -> "_Queue":
        try:
            return _Queue(await self._database.read(_look, large=True))
        except SQLAlchemyError:
            return _Queue(None)


Row = tuple[str, str, int, float]  # status, priority band, count, oldest creation time


def _look(connection: Connection) -> tuple[list[Row], float]:
    return [tuple(row) for row in connection.execute(_ACTIVE)], time.time()


class _Queue(Collector):
    """Gauges of the queue in the database, equal for all processes that share it."""

    def __init__(self, found: tuple[list[Row], float] | None) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        yield _gauge("database_up", "1 if the database answers", float(self._found is not None))
        if self._found is None:
            return
        rows, now = self._found
        active = _family("tasks_active", "Tasks that are not finished", "status")
        for status in ("queued", "running", "canceling"):
            count = sum(row[2] for row in rows if row[0] == status)
            active.add_metric([status], count)
        depth = _family(
            "queue_depth", "Tasks that wait, by priority below, at or above 0", "priority"
        )
        for band in ("low", "normal", "high"):
            count = sum(row[2] for row in rows if row[:2] == ("queued", band))
            depth.add_metric([band], count)
        oldest = min((row[3] for row in rows if row[0] == "queued"), default=now)
        yield active
        yield depth
        yield _gauge("queue_oldest_seconds", "How long the oldest waits", max(now - oldest, 0))


class _Present(Collector):
    """Gauges of servers, streams and webhooks of this process."""

    def __init__(self, pool: Pool, hub: Hub, dispatcher: Dispatcher, deliverer: Deliverer) -> None:
        self._pool = pool
        self._hub = hub
        self._dispatcher = dispatcher
        self._deliverer = deliverer

    def collect(self) -> Iterator[Metric]:
        yield from self._servers()
        hub = self._hub
        yield _gauge(
            "subscribers", "WebSockets, event streams and waiting requests", hub.subscribers
        )
        yield _count("events_relayed", "Events given to subscribers", hub.relayed)
        yield _count("subscribers_dropped", "Subscribers that were too slow", hub.dropped)
        tries = CounterMetricFamily(
            f"{PREFIX}_webhook_attempts", "Tries to deliver webhooks", labels=["result"]
        )
        for result, count in self._deliverer.results.items():
            tries.add_metric([result], count)
        yield tries
        info = _family("info", "Its version", "version")
        info.add_metric([VERSION], 1)
        yield info

    def _servers(self) -> Iterator[Metric]:
        up = _family("server_up", "1 if the server answers", "server")
        accepting = _family("server_accepting", "1 if it may get new work", "server")
        total = _family("server_slots", "Tasks that it may hold", "server")
        used = _family("server_slots_used", "Tasks of ours that it holds", "server")
        length = _family("server_queue_length", "Prompts there, strangers' too", "server")
        for server in self._pool:
            name = [server.id]
            up.add_metric(name, server.online)
            accepting.add_metric(name, server.accepting)
            total.add_metric(name, server.slots)
            used.add_metric(name, len(self._dispatcher.running_on(server)))
            length.add_metric(name, server.queue_length)
        yield from (up, accepting, total, used, length)


def _family(name: str, text: str, label: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=[label])


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value=value)


def _count(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"{PREFIX}_{name}", text, value=value)
