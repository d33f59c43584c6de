"""ComfyUI's own protocol against the gateway's own API, and tasks while its history is polled."""

import asyncio
import json
import time
from collections.abc import Awaitable, Iterable
from contextlib import AsyncExitStack
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect

from benchmarks.bench import Bench, by_turns
from benchmarks.figures import median, ratios, spread
from benchmarks.load import Load
from benchmarks.programs import Gateway, StandIn, workflow
from benchmarks.report import Row
from benchmarks.rows.storm import LONGEST, beside_polls
from benchmarks.wire import Connection

CLIENTS, PROMPTS = 3, 12
SLOW = 0.5  # seconds of a prompt: of its one node that is not in the cache
POLLERS, POLLS = 20, 10.0  # clients that ask for the history, and how often a second each does
ENDED = 200  # tasks in that history
SOCKET = {"proxy": None, "max_size": None, "compression": None, "close_timeout": 0.1}


async def measure(bench: Bench) -> list[Row]:
    folder = bench.scratch()
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(StandIn(folder / f"comfyui{number}"))
            for number in range(2)
        ]
        addresses = [server.address for server in servers]
        gateway = await stack.enter_async_context(Gateway(folder / "gateway", *addresses))
        ended = bench.effort.of(ENDED, 3)
        await _all_of(_native_client(gateway.base, ended // CLIENTS + 1) for _ in range(CLIENTS))
        for server in servers:
            await server.knobs(slow=bench.effort.of(1, 0) * SLOW)
        return [await _clients(bench, gateway.base), await _polled(bench, gateway.base)]


async def _clients(bench: Bench, base: str) -> Row:
    each = bench.effort.of(PROMPTS, CLIENTS) // CLIENTS

    async def native() -> float:
        return await _all_of(_native_client(base, each) for _ in range(CLIENTS))

    async def own() -> float:
        return await _all_of(_own_client(base, each) for _ in range(CLIENTS))

    found = await by_turns(bench.effort.rounds, {"native": native, "own": own})
    times = ratios(found["native"], found["own"])
    return Row(
        what=f"{CLIENTS * each} prompts of {CLIENTS} clients over two servers, by ComfyUI's own "
        "protocol",
        goal="≤ 1.15 x the time by the gateway's own API",
        result=f"{median(times):.2f} x",
        met=median(times) <= 1.15,
        figures={"gateway": f"{median(found['native']):.2f} s, {median(found['own']):.2f} s own"},
        spread=f"{spread(times)} x",
        note=f"a prompt takes {SLOW * 1000:.0f} ms. Each client has a socket, posts its prompts, "
        "and waits until the last end is told. By ComfyUI's protocol one of a client runs at a "
        "time.",
    )


async def _polled(bench: Bench, base: str) -> Row:
    count = bench.effort.of(24, 3)

    async def rate_of_tasks() -> float:
        return count / await _all_of(_native_client(base, count // CLIENTS) for _ in range(CLIENTS))

    return await beside_polls(
        bench,
        rate_of_tasks,
        Load(base, ["/history"], connections=POLLERS, seconds=LONGEST, rate=POLLERS * POLLS),
        what=f"tasks while {POLLERS} clients ask for the history {POLLS:.0f} times a second each",
        least=0.9,
        note=f"{ENDED} ended tasks are in the history, a prompt takes {SLOW * 1000:.0f} ms; "
        "{polls} of the polls are answered.",
    )


async def _all_of(clients: Iterable[Awaitable[None]]) -> float:
    """Seconds until all clients have what they want."""
    begin = time.perf_counter()
    await asyncio.gather(*clients)
    return time.perf_counter() - begin


async def _native_client(base: str, prompts: int) -> None:
    client = uuid4().hex
    http = await Connection.open(base)
    async with connect(f"ws{base.removeprefix('http')}/ws?clientId={client}", **SOCKET) as socket:
        waiting = set()
        for _ in range(prompts):
            body = {"prompt": workflow(uuid4().hex), "client_id": client}
            waiting.add((await http.ask("POST", "/prompt", body)).json["prompt_id"])
        async for frame in socket:
            if isinstance(frame, str) and '"executing"' in frame:
                data = json.loads(frame)["data"]
                if data["node"] is None:
                    waiting.discard(data["prompt_id"])
                    if not waiting:
                        break
    http.close()


async def _own_client(base: str, prompts: int) -> None:
    http = await Connection.open(base)
    async with connect(f"ws{base.removeprefix('http')}/ws", **SOCKET) as socket:
        waiting = set()
        for _ in range(prompts):
            body = {"workflow": workflow(uuid4().hex)}
            waiting.add((await http.ask("POST", "/api/workflow/submit", body)).json["task_id"])
        await _until_final(socket, waiting)
    http.close()


async def _until_final(socket: ClientConnection, waiting: set[str]) -> None:
    async for frame in socket:
        update = json.loads(frame)
        if update.get("event") == "status" and update["status"] in ("succeeded", "failed"):
            waiting.discard(update["task_id"])
            if not waiting:
                return
