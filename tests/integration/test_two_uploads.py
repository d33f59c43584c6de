"""Two uploads that overwrite one name at once: none fails, and one of them wins whole."""

import asyncio
from collections.abc import Callable
from typing import Any

from blake3 import blake3
from sqlalchemy import select

from app.db.tables import assets
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import over

MakeSettings = Callable[..., Settings]


async def test_one_of_two_wins_whole(
    settings_for: MakeSettings, demo: DemoServer, url: str
) -> None:
    async with over(settings_for, demo, database_url=url) as gateway:

        async def send(content: bytes) -> Any:
            files = {"image": ("same.txt", content)}
            return await gateway.http.post(
                "/api/image/upload", files=files, data={"overwrite": "true"}
            )

        for number in range(10):
            contents = [f"{number}{letter}".encode() * 50_000 for letter in "abc"]
            answers = await asyncio.gather(*map(send, contents))
            assert {answer.status_code for answer in answers} <= {200, 201}, answers[0].text
            kept = await gateway.http.get("/api/image/same.txt?type=input")
            assert kept.content in contents
            database, query = await gateway.database(), select(assets.c.hash)
            hashes = await database.read(lambda c, query=query: list(c.scalars(query)))
            assert hashes == [f"blake3:{blake3(kept.content).hexdigest()}"], "no record of others"
