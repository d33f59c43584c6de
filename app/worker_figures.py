"""The figures of all workers, whichever of them is asked for: they tell each other over sockets.

Each worker listens on a Unix socket in a folder of the parent, which only its user can read.
Prometheus would see the counters of one worker, then of another, and take that for restarts.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

SECONDS = 2.0  # for a worker to tell its figures; one that is dead or frozen is left out
_NAME = re.compile(r"^([a-zA-Z_:][\w:]*)(\{)?")


class WorkerFigures:
    """`own`: the page of this worker, in Prometheus's format."""

    def __init__(self, folder: Path, own: Callable[[], bytes]) -> None:
        self._folder = folder
        self._own = own

    async def listen(self, number: int) -> asyncio.AbstractServer:
        return await asyncio.start_unix_server(self._tell, self._folder / str(number))

    async def page(self) -> bytes:
        """Return the figures of all workers that answer, each with the label `worker`."""
        paths = sorted(self._folder.iterdir())
        pages = await asyncio.gather(*map(_ask, paths))
        return merged({path.name: page for path, page in zip(paths, pages, strict=True)})

    async def _tell(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            writer.write(self._own())
            await writer.drain()
        writer.close()


async def _ask(path: Path) -> bytes:
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                return await reader.read()
            finally:
                writer.close()
    return b""


def merged(pages: Mapping[str, bytes]) -> bytes:
    """Join the pages of workers by their names: a figure has its samples in one place."""
    heads: dict[str, str] = {}
    samples: dict[str, list[str]] = {}
    for worker, page in pages.items():
        label = f'worker="{worker}"'
        figure = ""
        for line in page.decode().splitlines():
            if line.startswith("#"):
                _, word, figure, _ = line.split(" ", 3)
                heads.setdefault(f"{word} {figure}", line)
                continue
            more = rf"\1{{{label}," if "{" in line else rf"\1{{{label}}}"
            samples.setdefault(figure, []).append(_NAME.sub(more, line))
    lines = []
    for figure, found in samples.items():
        lines += [heads[f"HELP {figure}"], heads[f"TYPE {figure}"], *found]
    return "".join(f"{line}\n" for line in lines).encode()
