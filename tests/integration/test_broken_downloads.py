"""Downloads whose file is replaced or deleted: whole on POSIX, broken off on Windows; quiet."""

import logging
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests import windows_files
from tests.conftest import RunningGateway, over

LARGE = 48 << 20  # bytes: more than what sockets hold


async def replace(gateway: RunningGateway) -> None:
    data = {"overwrite": "true"}
    answer = await gateway.http.post(
        "/api/image/upload", files={"image": ("a.bin", b"\0anew")}, data=data
    )
    assert answer.status_code == 201, answer.text


async def delete(gateway: RunningGateway) -> None:
    store = gateway.gateway.uploads.store
    await store.delete("a.bin")


@pytest.mark.parametrize("change", [replace, delete])
@pytest.mark.parametrize(
    "system", [pytest.param("here", marks=pytest.mark.posix("no file stays open")), "windows"]
)
async def test_a_file_that_changes_while_it_is_read(
    system: str,
    change: Callable[[RunningGateway], object],
    settings_for: Callable[..., Settings],
    demo: DemoServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    if system == "windows":
        windows_files.pretend(monkeypatch)
    async with over(settings_for, demo) as gateway:
        files = {"image": ("a.bin", bytes(LARGE))}
        assert (await gateway.http.post("/api/image/upload", files=files)).status_code == 201
        got = 0
        async with gateway.http.stream("GET", "/api/image/a.bin?type=input") as answer:
            pieces = answer.aiter_raw(1 << 16)
            got += len(await anext(pieces))
            await change(gateway)
            try:
                async for piece in pieces:
                    got += len(piece)
            except httpx.RemoteProtocolError:
                assert system == "windows"
        assert (got == LARGE) == (system == "here")
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not any(record.exc_info for record in lines)
    broken = [record for record in lines if "breaks off" in record.getMessage()]
    assert len(broken) == (system == "windows")
