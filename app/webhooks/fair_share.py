"""Who gets the places in which deliveries are made. Pure.

A lane is an API key; what the operator's own webhook is told of a key's tasks is a lane of its own.
Without keys there is one lane. A host is a name or an address, whatever its ports: a client can
name any number of ports and, with a wildcard in its DNS, any number of hosts, so each key has a
limit, too.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.tasks.webhook import OPERATOR
from app.webhooks.retries import SCHEDULE

MOST_FAILING = 10_000  # addresses (with ports) that are remembered
QUICK = 0.002  # seconds: a look that takes longer is made in a thread
RESTS = 20  # times as long as a look took that found nothing, until the next


@dataclass(frozen=True, slots=True)
class DeliveryPace:
    """Times in seconds."""

    schedule: Sequence[float] = SCHEDULE
    timeout: float = 15.0  # for one try
    parallel: int = 32  # deliveries at a time
    per_key: int = 8  # of them of one API key
    per_host: int = 4  # of them to one host; 1 to an address while its last one failed
    idle: float = 5.0  # between two looks for what nobody told us of
    lease: float = 30.0  # beyond the timeout, after which another process tries

    @property
    def held(self) -> float:
        """How long a delivery is a process's own."""
        return self.timeout + self.lease


@dataclass(frozen=True, slots=True)
class Busy:
    """What has all the places that it may have: hosts, and addresses (hosts with their ports)."""

    hosts: Sequence[str] = ()
    addresses: Sequence[str] = ()


class DeliverySlots:
    """The deliveries of one process that are under way."""

    def __init__(self, pace: DeliveryPace) -> None:
        self._pace = pace
        self._lanes: Counter[str] = Counter()
        self._hosts: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()
        self._failing: set[str] = set()
        self._turns: dict[str, int] = {}  # of lanes: who had the last one how long ago
        self._turn = 0
        self._looks: dict[str, tuple[float, float]] = {}  # lane -> (until when it rests, seconds)

    @property
    def full(self) -> bool:
        return self._lanes.total() >= self._pace.parallel

    @property
    def busy(self) -> Busy:
        pace, failing = self._pace, self._failing
        hosts = [host for host, count in self._hosts.items() if host and count >= pace.per_host]
        addresses = [
            address
            for address, count in self._addresses.items()
            if count >= (1 if address in failing else pace.per_host)
        ]
        return Busy(hosts, addresses)

    def order(self, due: Mapping[str, float], now: float) -> list[str]:
        """The lanes that may have another place, those with the fewest first, then who waits for
        its turn the longest. `due`: when their first deliveries are."""
        for known in (self._turns, self._looks):
            for lane in known.keys() - due.keys():
                del known[lane]
        found = [lane for lane, at in due.items() if at <= now and self._may(lane)]
        return sorted(found, key=lambda lane: (self._lanes[lane], self._turns.get(lane, 0)))

    def wait(self, due: Mapping[str, float], now: float) -> float:
        """Seconds until there may be something to start, if nothing changes meanwhile."""
        rests = {lane: until - time.monotonic() for lane, (until, _) in self._looks.items()}
        open_lanes = [lane for lane in due if not self._has_all(lane)]
        waits = [max(due[lane] - now, rests.get(lane, 0.0)) for lane in open_lanes]
        return max(min([*waits, self._pace.idle]), 0.0)

    def begin(self, lane: str, host: str, address: str) -> None:
        self._turn += 1
        self._turns[lane] = self._turn
        for counter, name in self._of(lane, host, address):
            counter[name] += 1

    def end(self, lane: str, host: str, address: str) -> None:
        for counter, name in self._of(lane, host, address):
            counter[name] -= 1
            if counter[name] <= 0:
                del counter[name]

    def looked(self, lane: str, seconds: float, *, found: bool) -> None:
        """A look for something to start took so long. What waits for busy hosts is passed over by
        each look, and there may be very much of it."""
        rest = 0.0 if found else max(seconds * RESTS, 0.05)
        self._looks[lane] = (time.monotonic() + rest, seconds)

    def is_slow(self, lane: str) -> bool:
        """Whether the last look took long."""
        return self._looks.get(lane, (0.0, 0.0))[1] > QUICK

    def note(self, address: str, success: bool) -> None:
        if success:
            self._failing.discard(address)
        elif len(self._failing) < MOST_FAILING:
            self._failing.add(address)

    def _may(self, lane: str) -> bool:
        rests_until = self._looks.get(lane, (0.0, 0.0))[0]
        return not self._has_all(lane) and time.monotonic() >= rests_until

    def _has_all(self, lane: str) -> bool:
        is_of_a_key = lane not in ("", OPERATOR)
        most = self._pace.per_key if is_of_a_key else self._pace.parallel
        return self._lanes[lane] >= most

    def _of(self, lane: str, host: str, address: str) -> list[tuple[Counter[str], str]]:
        return [(self._lanes, lane), (self._hosts, host), (self._addresses, address)]
