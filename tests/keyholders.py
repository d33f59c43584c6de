"""A gateway with API keys, and clients that hold them."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx

from app.auth.key_store import KeyFile
from app.auth.model import AccessKey
from app.auth.secrets import hash_of, new_key
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, over

WRONG = f"cgw_{'x' * 43}"

Json = dict[str, Any]


class Guarded:
    """A running gateway whose keys may change; `texts` are those of its keys by name."""

    def __init__(self, running: RunningGateway, file: KeyFile, texts: dict[str, str]) -> None:
        self.address = running.address
        self.gateway = running.gateway
        self.running = running
        self.file = file
        self.texts = texts
        self._stack = contextlib.AsyncExitStack()

    async def client(self, name: str | None = None, *, key: str | None = None) -> httpx.AsyncClient:
        """A client with the key of that name, or with that text, or without any."""
        text = key or (self.texts[name] if name else None)
        headers = {"Authorization": f"Bearer {text}"} if text else {}
        client = httpx.AsyncClient(
            verify=False,
            base_url=f"http://{self.address}",
            timeout=60,
            headers=headers,
            follow_redirects=False,
        )
        return await self._stack.enter_async_context(client)

    async def __aenter__(self) -> "Guarded":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


def write_keys(path: Path, **scopes: str | Json) -> dict[str, str]:
    """A file of keys: name="run", or name={"scope": "run", "daily": 3}. Answers their texts."""
    texts = {name: new_key() for name in scopes}
    entries = [
        {"name": name, "hash": hash_of(texts[name]), **(one if isinstance(one, dict) else {})}
        | ({"scope": one} if isinstance(one, str) else {})
        for name, one in scopes.items()
    ]
    path.write_text(json.dumps({"keys": entries}), encoding="utf-8")
    return texts


@contextlib.asynccontextmanager
async def guarded(
    settings_for: Callable[..., Settings],
    folder: Path,
    *demos: DemoServer,
    keys: dict[str, str | Json],
    **settings: Any,
) -> AsyncIterator[Guarded]:
    path = folder / "keys.json"
    texts = write_keys(path, **keys)
    async with (
        over(settings_for, *demos, api_keys=str(path), **settings) as running,
        Guarded(running, KeyFile(path), texts) as found,
    ):
        yield found


def key_named(name: str, text: str, **fields: Any) -> AccessKey:
    return AccessKey.load({"name": name, "hash": hash_of(text), **fields})
