"""What is told of a run, and when."""

import time
from dataclasses import replace
from typing import cast

import pytest

from app.db.engine.database import Database
from app.db.run_times import RunTime, RunTimes
from app.events.hub import Hub
from app.runner.eta import Seen
from app.runner.publisher import ProgressPublisher
from app.servers.pool import Pool
from app.servers.server import Health
from app.tasks.model import Progress
from tests.hubs import TASK

ADDRESS = "127.0.0.1:8188"


@pytest.mark.parametrize("follows", [True, False])
async def test_a_state_that_is_over_is_not_estimated_any_more(follows: bool) -> None:
    (server,), hub, times = Pool([ADDRESS], slots=1), Hub(), RunTimes(cast(Database, None))
    server.health = Health(online=True)
    times.learn("shape", ADDRESS, RunTime(100.0, {}))
    teller = ProgressPublisher(hub, times, server, lambda _: [])
    task = replace(TASK, shape="shape", started_at=time.time(), server=ADDRESS)
    with hub.subscribe(["a" if follows else "b"]):
        teller.status(Seen(task, Progress(0.1), 0.0))
        teller.progress(Seen(task, Progress(0.2), 0.0))
    told = [update.data for update in hub.since("a", 0)]
    assert [view["progress"]["value"] for view in told] == [0.1, 0.2], "of that moment"
    assert [view["eta_seconds"] is not None for view in told] == [follows] * 2
