"""Where clients of ComfyUI's own protocol ask: a stand-in, or the doors of a gateway over two."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.auth.url_tokens import new_token
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.keyholders import guarded
from tests.ports import free_port

Json = dict[str, Any]
SettingsFor = Callable[..., Settings]


@dataclass(frozen=True)
class Place:
    """`url`: all that is told to a client; `key`: what it can send in a header, if it can."""

    url: str
    key: str | None = None
    headers: Json = field(init=False)

    def __post_init__(self) -> None:
        bearer = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        object.__setattr__(self, "headers", bearer)

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://").partition("/")[0]

    @property
    def ws(self) -> str:
        return self.url.replace("http://", "ws://") + "/ws"


@contextlib.asynccontextmanager
async def two_servers() -> AsyncIterator[list[DemoServer]]:
    """They take a moment, as each ComfyUI does: some clients listen only after it has answered."""
    async with contextlib.AsyncExitStack() as stack:
        found = [await stack.enter_async_context(DemoServer(step_seconds=0)) for _ in range(2)]
        for demo in found:
            demo.knobs.slow = 0.1
        yield found


@contextlib.asynccontextmanager
async def places(
    demos: list[DemoServer], settings_for: SettingsFor, folder: Path
) -> AsyncIterator[dict[str, Place]]:
    """The first stand-in itself (`direct`), and a gateway with keys by each of its doors."""
    port = free_port()
    async with guarded(
        *(settings_for, folder, *demos), keys={"alice": "run"}, native_ports=[f"{port}:alice"]
    ) as gate:
        text, token = new_token("")
        gate.file.add_url("alice", token)
        yield {
            "direct": Place(f"http://{demos[0].address}"),
            "header": Place(f"http://{gate.address}", gate.texts["alice"]),
            "path": Place(f"http://{gate.address}/comfy/~{text}"),
            "port": Place(f"http://127.0.0.1:{port}"),
        }
