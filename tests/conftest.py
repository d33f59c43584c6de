"""Fixtures over real sockets: stand-in ComfyUI servers and a gateway in front of them."""

import asyncio
import contextlib
import gc
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
import uvicorn.server

from app.api.uvicorn_server import GatewayServer
from app.auth.model import EVERYBODY
from app.auth.native_ports import parse_all
from app.db.engine.database import Database, open_database
from app.db.tasks import TaskRepository, TaskTable
from app.gateway import Gateway
from app.listening import listening
from app.main import create_app
from app.runner import run
from app.servers.server import Server
from app.settings import Settings
from app.webhooks.outbox import Outbox
from fake_comfyui.order import SetOrder
from fake_comfyui.server import DemoServer
from tests import known_settings, services, windows
from tests.databases import KINDS, database_url
from tests.proofs import unproved
from tests.statements import none_too_large

# No deadlines: the machine may be busy. In CI the same examples each time, elsewhere new ones.
hypothesis.settings.register_profile(
    "gateway",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
hypothesis.settings.load_profile("gateway")

ROOT = Path(__file__).parent.parent
WAIT = 60.0  # seconds after which a test gives up waiting; the machine may be busy

Json = dict[str, Any]


async def wait_until(condition: Callable[[], Awaitable[Any] | Any], seconds: float = WAIT) -> Any:
    """The condition's first true answer; fails the test if there is none in time."""
    async with asyncio.timeout(seconds):
        while True:
            answer = condition()
            if isinstance(answer, Awaitable):
                answer = await answer
            if answer:
                return answer
            await asyncio.sleep(0.01)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        services.mark_by_folder(item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    services.now_runs(item)
    if mark := item.get_closest_marker("posix"):
        windows.skip_if_on(mark.args[0])


def is_part(config: pytest.Config) -> bool:
    """Whether not all tests are asked for, or none is run."""
    narrowed = ("keyword", "markexpr", "deselect", "lf", "stepwise", "collectonly", "setupplan")
    return config.args_source is not config.ArgsSource.TESTPATHS or any(
        getattr(config.option, name, None) for name in narrowed
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """All tests that prove a row of the comparison in docs/why.md were run, where all must run."""
    config = session.config
    if is_part(config) or hasattr(config, "workerinput") or not os.environ.get("REQUIRE_SERVICES"):
        return
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    passed, skipped = (
        [report.nodeid for report in reporter.stats.get(outcome, ())]
        for outcome in ("passed", "skipped")
    )
    if missing := unproved(passed, skipped):
        reporter.write_line("Not proved, but claimed by docs/why.md:", red=True)
        for row in missing:
            reporter.write_line(f"  {row}")
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _statements_stay_small() -> Iterator[None]:
    """In every test that has a database in this process."""
    with none_too_large():
        yield


@pytest.fixture(autouse=True)
def _settings_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    make = Settings.__init__

    def checked(self: Settings, **values: Any) -> None:
        known_settings.check(values)
        make(self, **values)

    monkeypatch.setattr(Settings, "__init__", checked)


@pytest.fixture(autouse=True)
def _process_is_as_before() -> Iterator[None]:
    """What `start.run` set for its process is not left to the tests that come after in this one.

    Its handler writes to the stderr of a test that is over: each line was a traceback. And
    without garbage collection a worker grew to 1 GB.
    """
    log, of_app = logging.getLogger(), logging.getLogger("app")
    handlers, levels = log.handlers[:], (log.level, of_app.level)
    yield
    gc.enable()
    for handler in log.handlers[:]:
        if type(handler) is logging.StreamHandler and handler not in handlers:
            log.removeHandler(handler)
            log.setLevel(levels[0])
            of_app.setLevel(levels[1])


def whole(task: Json) -> Json:
    """The task: whichever way it ended, each of its attempts has an end."""
    if task.get("finished_at") is not None:  # a batch has tasks of its own
        for attempt in task["attempts"]:
            assert attempt["ended_at"] is not None, task
            assert attempt["outcome"] is not None, task
    return task


class RunningGateway:
    """A gateway on a real port, with an httpx client for it."""

    def __init__(self, server: GatewayServer, gateway: Gateway, http: httpx.AsyncClient) -> None:
        self.server = server
        self.address = http.base_url.netloc.decode()
        self.gateway = gateway
        self.http = http
        self._database: Database | None = None

    async def database(self) -> Database:
        """Its database, opened beside it."""
        if self._database is None:
            self._database = await open_database(
                self.gateway.settings.database_url.get_secret_value()
            )
        return self._database

    async def close(self) -> None:
        if self._database is not None:
            await self._database.close()

    @property
    def connections(self) -> set[Any]:
        """Those that are open."""
        return self.server.server_state.connections

    async def submit(self, workflow: Json, *, wait: float = WAIT, **form: Any) -> Json:
        body = {"workflow": workflow, **form}
        answer = await self.http.post(f"/api/workflow/submit?wait={wait}", json=body)
        assert answer.status_code in (200, 202), answer.text
        return whole(answer.json())

    async def task(self, task_id: str) -> Json:
        answer = await self.http.get(f"/api/task/{task_id}")
        assert answer.status_code == 200, answer.text
        return whole(answer.json())

    async def until(self, task_id: str, *statuses: str) -> Json:
        """The task when it has one of the statuses."""

        async def has() -> Json | None:
            task = await self.task(task_id)
            return task if task["status"] in statuses else None

        return await wait_until(has)

    async def online(self, count: int = 1) -> None:
        await wait_until(lambda: len(self.gateway.pool.online()) >= count)


@contextlib.asynccontextmanager
async def run_gateway(settings: Settings) -> AsyncIterator[RunningGateway]:
    app = create_app(settings)
    server = GatewayServer(app, settings.model_copy(update={"port": 0}))
    server.config.timeout_graceful_shutdown = 1
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
    _running.add(server)
    places = [(each.host, each.port) for each in parse_all(settings.native_ports)]
    stack = contextlib.ExitStack()
    listeners = stack.enter_context(listening("127.0.0.1", 0, places)) if places else None
    serving = asyncio.create_task(server.serve(listeners and [*listeners]))
    try:
        await wait_until(lambda: server.started or serving.done())
        if serving.done():
            serving.result()
        port = server.servers[0].sockets[0].getsockname()[1]
        address = f"127.0.0.1:{port}"
        async with httpx.AsyncClient(
            base_url=f"http://{address}", timeout=60, verify=False
        ) as http:
            running = RunningGateway(server, app.state.gateway, http)
            try:
                yield running
            finally:
                await running.close()
    finally:
        server.should_exit = True
        await serving
        stack.close()
        _running.discard(server)
    if not _running:
        assert not (left := own_tasks()), f"the gateway has ended, but not {left}"


_running: set[GatewayServer] = set()  # in this process


class _Hurried:
    """asyncio as uvicorn's server has it in this process: it looks for its end more often than ten
    times a second, and waits less for its connections' ends. Some 2,000 gateways are ended here."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 10)

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)


uvicorn.server.asyncio = _Hurried()  # type: ignore[assignment]


def own_tasks() -> list[asyncio.Task[Any]]:
    """The tasks of the event loop that run code of the gateway."""
    return [
        task
        for task in asyncio.all_tasks()
        if (code := getattr(task.get_coro(), "cr_code", None))
        and Path(code.co_filename).is_relative_to(ROOT / "app")
    ]


@pytest.fixture
def settings_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Settings with all data in the test's own folder. Polls are quick, that tests are, too."""
    for name in ("POLL_SECONDS", "BLIND_POLL_SECONDS"):
        monkeypatch.setattr(run, name, 0.2)

    def make(*servers: str, **changes: Any) -> Settings:
        values = {
            "comfyui_server": list(servers),
            "database_url": f"sqlite:///{tmp_path}/gateway.db",
            "workflows_dir": tmp_path / "workflows",
            "uploads_dir": tmp_path / "uploads",
            "outputs_dir": tmp_path / "outputs",
            "_env_file": None,
        }
        return Settings(**{**values, **changes})

    return make


@contextlib.asynccontextmanager
async def over(
    settings_for: Callable[..., Settings], *demos: DemoServer, **settings: Any
) -> AsyncIterator[RunningGateway]:
    """A gateway over these servers, once all of them can get work."""
    async with run_gateway(settings_for(*(demo.address for demo in demos), **settings)) as running:
        pool = running.gateway.pool
        await wait_until(lambda: all(server.accepting for server in pool))
        await wait_until(lambda: not running.gateway.hub.interruption)
        yield running


class _KeptOut(Server):
    """Gets no work, whatever the gateway finds meanwhile: a sweep of it may be under way."""

    accepting = property(lambda self: False)  # type: ignore[assignment]


def keep_out(gateway: RunningGateway, *, out: bool = True) -> None:
    """Let it give its servers no work."""
    for server in gateway.gateway.pool:
        server.__class__ = _KeptOut if out else Server
    gateway.gateway.dispatcher.wake()


@pytest.fixture(params=KINDS)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """Of a new database, once of each kind."""
    async with database_url(request.param, tmp_path) as found:
        yield found


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """The same, open."""
    opened = await open_database(url)
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture
def store(database: Database) -> TaskRepository:
    return TaskRepository(TaskTable(database), EVERYBODY)


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database, "host:1:me", lease_seconds=60)


@pytest.fixture
async def demo() -> AsyncIterator[DemoServer]:
    async with DemoServer(step_seconds=0, preview_method="auto", order=SetOrder(17)) as server:
        yield server


@pytest.fixture
async def gateway(
    demo: DemoServer, settings_for: Callable[..., Settings]
) -> AsyncIterator[RunningGateway]:
    """A gateway with one stand-in server that is online."""
    async with run_gateway(settings_for(demo.address)) as running:
        await running.online()
        yield running


def model_free(color: int = 255, *, size: int = 16, prefix: str = "test") -> Json:
    """EmptyImage -> ImageInvert -> SaveImage: the smallest graph that makes a picture."""
    image = {"width": size, "height": size, "batch_size": 1, "color": color}
    return {
        "1": {"class_type": "EmptyImage", "inputs": image},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": prefix},
        },
    }


def text_to_image(*, steps: int = 4, seed: int = 1, text: str = "a fox", size: int = 64) -> Json:
    """Stable Diffusion 1.5 as the page exports it."""
    return {
        "4": {
            "class_type": "CheckpointLoaderSimple",
            "inputs": {"ckpt_name": "v1-5-pruned-emaonly-fp16.safetensors"},
        },
        "5": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": size, "height": size, "batch_size": 1},
        },
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": text, "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
        "3": {
            "class_type": "KSampler",
            "inputs": {
                "seed": seed,
                "steps": steps,
                "cfg": 7.0,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1.0,
                "model": ["4", 0],
                "positive": ["6", 0],
                "negative": ["7", 0],
                "latent_image": ["5", 0],
            },
        },
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {
            "class_type": "SaveImage",
            "inputs": {"filename_prefix": "fox", "images": ["8", 0]},
        },
    }
