"""Allocation of delivery slots to lanes and hosts. Pure.

A lane is an API key; deliveries of the operator's webhook about a key's tasks are a separate lane.
Without keys there is one lane. A host is a name or address regardless of the port. A client can
name any number of ports and, with wildcard DNS, any number of hosts, so each key is limited as
well.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.tasks.webhook import OPERATOR
from app.webhooks.retries import SCHEDULE

MOST_FAILING = 10_000  # addresses (with ports) whose last delivery failed
QUICK = 0.002  # seconds; a slower query runs in a thread
RESTS = 20  # pause after a query without result, as a multiple of its time


@dataclass(frozen=True, slots=True)
class DeliveryPace:
    """Limits of deliveries; times in seconds."""

    schedule: Sequence[float] = SCHEDULE
    timeout: float = 15.0  # per attempt
    parallel: int = 32  # deliveries at a time
    per_key: int = 8  # of these, per API key
    per_host: int = 4  # of these, per host; 1 per address while its last delivery failed
    idle: float = 5.0  # interval of checks for events without a notification
    lease: float = 30.0  # beyond the timeout, before another process may try

    @property
    def held(self) -> float:
        """Duration of a claim."""
        return self.timeout + self.lease


@dataclass(frozen=True, slots=True)
class Busy:
    """Hosts and addresses (hosts with ports) that have no free slot."""

    hosts: Sequence[str] = ()
    addresses: Sequence[str] = ()


class DeliverySlots:
    """The deliveries of one process that are in progress."""

    def __init__(self, pace: DeliveryPace) -> None:
        self._pace = pace
        self._lanes: Counter[str] = Counter()
        self._hosts: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()
        self._failing: set[str] = set()
        self._turns: dict[str, int] = {}  # lane -> turn of its last delivery
        self._turn = 0
        # Lane -> (end of its pause, seconds of its last query)
        self._looks: dict[str, tuple[float, float]] = {}

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
        """Return the lanes that may start a delivery: fewest in progress first, then longest
        waiting.

        `due`: the time of the first delivery of each lane.
        """
        for known in (self._turns, self._looks):
            for lane in known.keys() - due.keys():
                del known[lane]
        found = [lane for lane, at in due.items() if at <= now and self._may(lane)]
        return sorted(found, key=lambda lane: (self._lanes[lane], self._turns.get(lane, 0)))

    def wait(self, due: Mapping[str, float], now: float) -> float:
        """Return the seconds until a delivery may be startable if nothing changes."""
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
        """Record the time of a query for a delivery.

        Each query skips the deliveries to busy hosts, which may be very many.
        """
        rest = 0.0 if found else max(seconds * RESTS, 0.05)
        self._looks[lane] = (time.monotonic() + rest, seconds)

    def is_slow(self, lane: str) -> bool:
        """Return whether the last query was slow."""
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
