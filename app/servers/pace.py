"""How many prompts a server needs so that it never waits for the next one. Pure.

One that runs and one that is ready are enough, unless the next takes longer to arrive than the
ready one runs.
"""

import math

NEWEST = 0.2  # weight of the newest run in the averages
# Seconds of ready work beyond twice a usual hand-over, for moments in which the loop is busy
SPARE_SECONDS = 0.05
SHORTEST = 0.001  # seconds; no prompt counts as shorter


class Pace:
    """Moving averages over the runs of this process on one server, in seconds."""

    def __init__(self) -> None:
        self.ran: float | None = None  # a prompt, as the server tells it
        self.sending: float | None = None  # the POST of a prompt
        self.ending: float | None = None  # from the prompt's end until its slot is free

    def sent(self, seconds: float) -> None:
        self.sending = _blend(self.sending, seconds)

    def ended(self, ran: float, ending: float) -> None:
        """Note a run. A long one counts in full at once, so that no more than usual is ready."""
        self.ran = max(ran, _blend(self.ran, ran))
        self.ending = _blend(self.ending, ending)

    @property
    def ready_seconds(self) -> float:
        """How long what is ready should last; 0 while nothing is known."""
        if self.ending is None or self.sending is None:
            return 0.0
        return 2 * (self.sending + self.ending) + SPARE_SECONDS

    def slots(self, usual: int, most: int) -> int:
        """Return the number of slots: `usual`, more for short prompts, but `most` at the most."""
        if self.ran is None or not self.ready_seconds:
            return usual
        needed = 1 + math.ceil(self.ready_seconds / max(self.ran, SHORTEST))
        return max(usual, min(needed, most))


def _blend(old: float | None, new: float) -> float:
    return new if old is None else old + (new - old) * NEWEST
