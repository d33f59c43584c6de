"""What tests see of the folders of a running gateway."""

import asyncio
from pathlib import Path

from app.files.stores.temporary import open_part
from tests.folders import settled


async def test_what_is_being_written_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "kept").write_bytes(b"x")
    with open_part(tmp_path / "a") as file:
        seen = asyncio.create_task(settled(tmp_path))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not seen.done()
        Path(file.name).unlink()
    assert sorted(await seen) == [tmp_path / "a", tmp_path / "a" / "kept"]
