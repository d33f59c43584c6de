"""nginx and Caddy in front of a gateway, with settings as they stand in documents and files."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from tests import services
from tests.conftest import wait_until

AROUND = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {settings}
}}
"""


@contextlib.asynccontextmanager
async def nginx(settings: str, folder: Path) -> AsyncIterator[None]:
    program = services.program("nginx", "apt-get install nginx-light")
    (folder / "nginx.conf").write_text(
        AROUND.format(folder=folder, settings=settings), encoding="utf-8"
    )
    process = await asyncio.create_subprocess_exec(
        *(program, "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with ending(process):
        yield


@contextlib.asynccontextmanager
async def caddy(settings: str, folder: Path) -> AsyncIterator[None]:
    program = services.program("caddy", "apt-get install caddy")
    (folder / "Caddyfile").write_text(settings, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(program, "run", "--adapter", "caddyfile", "--config", folder / "Caddyfile"),
        env={"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
        stderr=subprocess.DEVNULL,
    )
    async with ending(process):
        yield


@contextlib.asynccontextmanager
async def ending(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def until_it_answers(url: str) -> None:
    """Wait until the gateway is healthy by way of the proxy."""
    async with httpx.AsyncClient() as http:

        async def is_up() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return (await http.get(f"{url}/api/health")).is_success
            return False

        await wait_until(is_up)
