"""A load generator, in a process of its own: `python -m benchmarks.load` reads a Load as JSON
from its standard input and answers a Outcome."""

import asyncio
import itertools
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from benchmarks.wire import Connection, encoded

NUMBER = b"%NUMBER%"  # in a body: another number in each request


@dataclass(frozen=True, slots=True)
class Load:
    """Requests to `base_url`, by turns those of `paths`. As many as `count`, or for `seconds`;
    `rate`: so many a second, or else each as soon as the answer before it is there."""

    base_url: str
    paths: list[str]
    method: str = "GET"
    body: str | None = None
    connections: int = 32
    count: int | None = None
    seconds: float | None = None
    rate: float | None = None

    async def run(self) -> "Outcome":
        """In a process of its own."""
        return await (await self.start()).wait()

    async def start(self) -> "Generating":
        """Return once the first requests are being sent."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.load"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(self)).encode())
        process.stdin.close()
        assert process.stdout is not None
        await process.stdout.readline()
        return Generating(process)


@dataclass(frozen=True, slots=True)
class Generating:
    """A load that has begun."""

    process: asyncio.subprocess.Process

    async def wait(self) -> "Outcome":
        answer, _ = await self.process.communicate()
        if self.process.returncode:
            raise RuntimeError("the load generator failed")
        return Outcome(**json.loads(answer))

    async def stop(self) -> "Outcome":
        """What it did until now; requests that have begun are answered first."""
        self.process.terminate()
        return await self.wait()


@dataclass(slots=True)
class Outcome:
    seconds: float = 0.0
    bytes: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def check(self, status: int) -> "Outcome":
        """All answers had this status; a benchmark of errors is none."""
        if set(self.statuses) != {str(status)}:
            raise RuntimeError(f"not all answers were {status}: {self.statuses}")
        return self


class Generator:
    def __init__(self, load: Load) -> None:
        self._load = load
        self._statuses: Counter[str] = Counter()
        self._outcome = Outcome()
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True

    async def run(self) -> Outcome:
        load = self._load
        connections = [
            await Connection.open(load.base_url, keep=False) for _ in range(load.connections)
        ]
        sys.stdout.write("begun\n")
        sys.stdout.flush()
        requests, begin = self._requests(connections[0].host), time.perf_counter()
        numbers = itertools.count()
        work = [self._work(connection, requests, numbers, begin) for connection in connections]
        await asyncio.gather(*work)
        self._outcome.seconds = time.perf_counter() - begin
        self._outcome.statuses = dict(self._statuses)
        return self._outcome

    def _requests(self, host: str) -> Iterator[bytes]:
        load = self._load
        body = None if load.body is None else load.body.encode()
        plain = [encoded(host, load.method, path, body) for path in load.paths]
        if body is None or NUMBER not in body:
            yield from itertools.cycle(plain)
        for number in itertools.count():
            path = load.paths[number % len(load.paths)]
            yield encoded(host, load.method, path, body.replace(NUMBER, b"%d" % number))

    async def _work(
        self,
        connection: Connection,
        requests: Iterator[bytes],
        numbers: Iterator[int],
        begin: float,
    ) -> None:
        load, clock = self._load, time.perf_counter
        for number in numbers:
            due = begin + number / load.rate if load.rate else clock()
            if self._stopped or (load.count is not None and number >= load.count):
                break
            if load.seconds is not None and due >= begin + load.seconds:
                break
            if (early := due - clock()) > 0:
                await asyncio.sleep(early)
            answer = await connection.send(next(requests))
            # From when it was due: a server that stalls must not hold back what would show it.
            self._outcome.latencies.append(clock() - due)
            self._outcome.bytes += answer.size
            self._statuses[str(answer.status)] += 1
        connection.close()


async def main() -> None:
    generator = Generator(Load(**json.loads(sys.stdin.read())))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, generator.stop)
    outcome = await generator.run()
    sys.stdout.write(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    import uvloop  # not on Windows, where tests import this file

    uvloop.run(main())
