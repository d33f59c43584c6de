"""Clients of ComfyUI's own protocol, as their authors published them, do their whole job here.

Each posts graphs without a model, waits in its own way and fetches its pictures, several at once.
Both stand-ins make a ComfyUI_00001_.png, so that a name alone tells nothing.
"""

from pathlib import Path

import pytest

from tests.acceptance.native.clients import CLIENTS, done_by, jobs_at
from tests.acceptance.native.places import SettingsFor, places, two_servers


@pytest.mark.parametrize("name", CLIENTS)
async def test_it_works_through_every_door_that_it_can_use(
    name: str, settings_for: SettingsFor, tmp_path: Path
) -> None:
    client = CLIENTS[name]
    async with two_servers() as demos, places(demos, settings_for, tmp_path) as found:
        jobs = [
            job
            for number, door in enumerate(("direct", *client.doors))
            for job in jobs_at(door, found[door].url, found[door].key, 0x345600 + 16 * number)
        ]
        told = await done_by(client, jobs, tmp_path)
    assert told == dict.fromkeys((job["name"] for job in jobs), "ok")
