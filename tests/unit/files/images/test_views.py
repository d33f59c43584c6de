"""Views that are being made when the gateway stops."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.files.images.jobs import View
from app.files.images.views import Views
from app.files.stores.local import LocalStore
from app.files.stores.store import once
from app.limits.worker_threads import Workers


class Stuck(Workers):
    """Decoders that never come to an end."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.folder = Path()

    async def run(self, work: Any, *args: Any) -> Any:
        self.folder = args[1].parent
        self.asked.set()
        await asyncio.Event().wait()


async def test_close_gives_up_what_is_being_made(tmp_path: Path) -> None:
    files, decoders = LocalStore(tmp_path), Stuck()
    await files.save("a.png", once(b"bytes"))
    views = Views(files, decoders)
    asking = asyncio.create_task(
        views.of(files, "a.png", View(None, width=8), content_type="image/png"), name="request"
    )
    await decoders.asked.wait()
    assert decoders.folder.exists()
    await views.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not decoders.folder.exists()
