"""Published clients of ComfyUI's own protocol: which doors each can use, and how they are run."""

import asyncio
import io
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tests import services
from tests.conftest import ROOT, WAIT, model_free

Json = dict[str, Any]

HERE = Path(__file__).parent
INSTALLED = ROOT / ".clients"  # scripts/clients


@dataclass(frozen=True)
class Client:
    """`driver`: a file in drivers/. `header`: it sends a key in one, or as a password."""

    driver: str
    header: bool = True
    path: bool = True
    port: bool = True

    @property
    def doors(self) -> tuple[str, ...]:
        return tuple(door for door in ("header", "path", "port") if getattr(self, door))


CLIENTS = {
    "comfykit": Client("kit.py"),
    "comfyui-workflow-client": Client("workflow_client.py"),
    # It takes the path out of the address.
    "comfy_api_simplified": Client("api_simplified.py", path=False),
    # Only a host and a port can be told to it.
    "comfy-cli": Client("cli.py", header=False, path=False),
    "comfyui-async-api-tool": Client("async_api_tool.py"),
    # Its socket is at the root of the host, without a key.
    "pycomfy": Client("pycomfy_images.py", header=False, path=False),
    "comfy-headless": Client("headless.py"),
    "@saintno/comfyui-sdk": Client("saintno.mjs"),
    "@stable-canvas/comfyui-client": Client("stable_canvas.mjs"),
    "comfyui-mcp": Client("mcp.mjs"),
    # Node's fetch takes no password in an address.
    "comfy-ui-client": Client("comfy_ui_client.mjs", header=False),
}


def jobs_at(name: str, url: str, key: str | None, color: int) -> list[Json]:
    """Two jobs there, with pictures of their own; `second` where a client has a second way."""
    host = url.removeprefix("http://")
    return [
        {
            "name": f"{name}-{number}",
            "url": url,
            "host": host,
            "key": key,
            "second": bool(number),
            "graph": titled(color + number),
        }
        for number in range(2)
    ]


def titled(color: int) -> Json:
    """A graph whose nodes have titles, by which some clients find them."""
    titles = {"1": "Empty Image", "2": "Invert", "3": "Save Image"}
    graph = model_free(color, prefix="ComfyUI")
    return {node: {**graph[node], "_meta": {"title": titles[node]}} for node in graph}


async def done_by(client: Client, jobs: list[Json], folder: Path) -> Json:
    """What became of each job: "ok", or what went wrong."""
    script, environment = HERE / "drivers" / client.driver, {**os.environ}
    installed()
    if script.suffix == ".mjs":
        command = [node(), str(script)]
        environment["NATIVE_CLIENTS"] = str(INSTALLED)
    else:
        command = [sys.executable, str(script)]
        environment["PYTHONPATH"] = str(INSTALLED / "python")
    said = await told_by(command, json.dumps(jobs), folder, environment)
    results = json.loads(said.splitlines()[-1])
    return {job["name"]: results[job["name"]] or outcome(job, folder) for job in jobs}


def outcome(job: Json, folder: Path) -> str:
    """Whether the picture is the job's own."""
    wanted = (0xFFFFFF - job["graph"]["1"]["inputs"]["color"]).to_bytes(3)
    with Image.open(io.BytesIO((folder / f"{job['name']}.png").read_bytes())) as picture:
        found = picture.convert("RGB").getpixel((0, 0))
    return "ok" if found == tuple(wanted) else f"another picture: {found}, not {(*wanted,)}"


async def told_by(command: list[str], text: str, folder: Path, environment: Json) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(2 * WAIT):
            out, err = await process.communicate(text.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, (out.decode()[-2000:], err.decode()[-2000:])
    return out.decode()


def installed() -> None:
    if not (INSTALLED / ".installed").exists():
        services.absent("the clients are not installed: scripts/clients does it")


def node() -> str:
    """The program; one that was installed with the clients where the machine's is too old."""
    own = INSTALLED / "node/node_modules/.bin/node"
    return str(own) if own.exists() else services.program("node")
