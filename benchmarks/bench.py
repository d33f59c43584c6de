"""What the rows share: how much to do, and the programs that most of them measure."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import Peers
from benchmarks.programs import Gateway, Program, Proxy, StandIn

Measure = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Effort:
    """`quick` proves that the scripts run; its figures mean nothing."""

    quick: bool = False

    @property
    def rounds(self) -> int:
        return 1 if self.quick else 3

    def of(self, full: int, quick: int) -> int:
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Bench:
    """`comfyui`: base URL of the server that is driven directly, and through the others."""

    folder: Path
    effort: Effort
    comfyui: str
    stand_in: StandIn | None  # None: it is a real one
    gateway: Gateway
    proxy: Proxy | None
    peers: Peers

    def scratch(self) -> Path:
        """An empty folder."""
        folder = self.folder / f"{time.monotonic_ns():x}"
        folder.mkdir(parents=True)
        return folder


@asynccontextmanager
async def stage(
    folder: Path,
    effort: Effort,
    *,
    comfyui: str | None,
    peers: Peers,
) -> AsyncIterator[Bench]:
    """A ComfyUI, a gateway in front of it, and the proxy, if it is installed."""
    async with AsyncExitStack() as stack:
        stand_in = None
        if comfyui is None:
            stand_in = await stack.enter_async_context(StandIn(folder / "comfyui"))
            comfyui = stand_in.base
        gateway = await stack.enter_async_context(Gateway(folder / "gateway", comfyui))
        proxy = None
        if peers.proxy:
            proxy = await stack.enter_async_context(Proxy(peers.proxy, comfyui))
        yield Bench(folder, effort, comfyui, stand_in, gateway, proxy, peers)


async def by_turns(rounds: int, measures: Mapping[str, Measure]) -> dict[str, list[float]]:
    """What each party measures in each round. The one that begins changes from round to round."""
    found: dict[str, list[float]] = {party: [] for party in measures}
    order = list(measures)
    for _ in range(rounds):
        for party in order:
            found[party].append(await measures[party]())
        order.append(order.pop(0))
    return found


__all__ = ["Bench", "Effort", "Program", "by_turns", "stage"]
