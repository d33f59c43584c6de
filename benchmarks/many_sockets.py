"""What many idle WebSockets and slow readers cost everybody else.

    .venv/bin/python benchmarks/many_sockets.py [--idle 2000] [--slow 200] [--seconds 20]

Starts a gateway with its stand-in and measures how long an event takes to a healthy subscriber:
alone, and beside the crowd. An event's id is the microsecond of its publication. Idle sockets
follow a task each that makes no news; slow readers want everything, previews too, and never read.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import multiprocessing
import os
import resource
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from websockets.asyncio.client import connect

from tests.ports import free_port

ROOT = Path(__file__).parent.parent
STEPS = 200
AT_A_TIME = 50  # connections that are being opened


@contextlib.asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[tuple[str, int]]:
    """Its address and process id."""
    port = free_port()
    places = {
        "COMFYUI_DATABASE_URL": f"sqlite:///{folder}/gateway.db",
        "COMFYUI_WORKFLOWS_DIR": f"{folder}/workflows",
        "COMFYUI_UPLOADS_DIR": f"{folder}/uploads",
        "COMFYUI_OUTPUTS_DIR": f"{folder}/outputs",
        "COMFYUI_LOG_LEVEL": "WARNING",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ROOT / "start.py"), "--demo", "--port", str(port)),
        env={**os.environ, **places},
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            async with asyncio.timeout(60):
                while not await is_ready(http):
                    await asyncio.sleep(0.1)
        yield f"127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        await process.wait()


async def is_ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/api/ready")).status_code == 200
    except httpx.HTTPError:
        return False


def rss(pid: int) -> float:
    """Megabytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize() / 1e6


def workflow(seed: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (ROOT / "workflows/sd15_text_to_image.json").read_text(encoding="utf-8")
    )
    for node in found.values():
        if node["class_type"] == "KSampler":
            node["inputs"].update(seed=seed, steps=STEPS)
    return found


async def keep_busy(address: str) -> None:
    """Two tasks at a time, whose steps make events and previews."""
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=120) as http:
        for seed in range(10**6):
            body = {"workflow": workflow(seed)}
            (await http.post("/api/workflow/submit?wait=60", json=body)).raise_for_status()


async def latencies(address: str, seconds: float) -> list[float]:
    """Milliseconds from publication to a subscriber that reads."""
    found = []
    async with connect(f"ws://{address}/ws") as subscriber:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            async with asyncio.timeout(30):
                update = json.loads(await subscriber.recv())
            found.append(time.time() * 1000 - update["id"] / 1000)
    return found


# -- the crowd, in a process of its own ---------------------------------------------------------


def crowd(address: str, idle: int, slow: int, everything: bool, ready: Any, stop: Any) -> None:
    allow_many_files()
    asyncio.run(_crowd(address, idle, slow, everything, ready, stop))


async def _crowd(
    address: str, idle: int, slow: int, everything: bool, ready: Any, stop: Any
) -> None:
    places = asyncio.Semaphore(AT_A_TIME)
    count = 0

    async def one(kind: Any) -> None:
        nonlocal count
        while True:  # whoever is let go comes again
            async with places:
                held = await kind(address, everything)
            count += 1
            await held

    tasks = [asyncio.create_task(one(idle_socket)) for _ in range(idle)]
    tasks += [asyncio.create_task(one(slow_reader)) for _ in range(slow)]
    while count < idle + slow:
        await asyncio.sleep(0.1)
    ready.set()
    while not stop.is_set():
        await asyncio.sleep(0.1)
    os._exit(0)


async def idle_socket(address: str, everything: bool) -> Any:
    socket = await connect(f"ws://{address}/ws", open_timeout=60, compression=None)
    if not everything:
        await socket.send(json.dumps({"type": "subscribe", "task_ids": [str(uuid4())]}))

    async def listen() -> None:
        async for _ in socket:
            pass

    return listen()


async def slow_reader(address: str, _: bool) -> Any:
    host, port = address.split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, (host, int(port)))
    key = base64.b64encode(os.urandom(16)).decode()
    await loop.sock_sendall(
        connection,
        f"GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode(),
    )
    await loop.sock_recv(connection, 1000)
    message = b'{"type":"subscribe","previews":true}'
    mask = bytes([0x81, 0x80 | len(message)]) + b"\0\0\0\0"
    await loop.sock_sendall(connection, mask + message)

    async def sleep() -> None:
        while connection.fileno() >= 0:
            await asyncio.sleep(5)
            # An error says that the gateway has ended it; nothing is read.
            if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                connection.close()

    return sleep()


# -- the report ---------------------------------------------------------------------------------


def show(name: str, found: list[float], megabytes: float) -> None:
    cuts = statistics.quantiles(found, n=100)
    figures = f"p50 {cuts[49]:7.1f} ms   p99 {cuts[98]:7.1f} ms   max {max(found):7.1f} ms"
    sys.stdout.write(f"{name:28} {len(found):6} events   {figures}   RSS {megabytes:6.0f} MB\n")
    sys.stdout.flush()


def allow_many_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def measure(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with gateway(Path(folder)) as (address, pid):
            busy = [asyncio.create_task(keep_busy(address)) for _ in range(2)]
            show("alone", await latencies(address, options.seconds), rss(pid))
            ready, stop = multiprocessing.Event(), multiprocessing.Event()
            arguments = (address, options.idle, options.slow, options.everything, ready, stop)
            people = multiprocessing.Process(target=crowd, args=arguments)
            people.start()
            while not ready.is_set():
                await asyncio.sleep(0.2)
            for _ in range(options.rounds):
                name = f"beside {options.idle} idle, {options.slow} slow"
                show(name, await latencies(address, options.seconds), rss(pid))
            stop.set()
            people.join(20)
            show("after them", await latencies(address, options.seconds), rss(pid))
            for task in busy:
                task.cancel()
            await asyncio.gather(*busy, return_exceptions=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle", type=int, default=2000)
    parser.add_argument("--slow", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--everything", action="store_true", help="idle sockets follow all tasks, too"
    )
    allow_many_files()
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
