"""How many prompts a server should hold, by what they and their hand-over take."""

import pytest

from app.servers.pace import Pace
from app.servers.server import Server


def paced(ran: float, sending: float = 0.005, ending: float = 0.005) -> Pace:
    pace = Pace()
    pace.sent(sending)
    pace.ended(ran, ending)
    return pace


@pytest.mark.parametrize(
    ("ran", "handing_over", "slots"),
    [
        (0.05, 0.01, 3),  # one runs, two are ready
        (0.07, 0.01, 2),
        (0.02, 0.01, 5),
        (0.008, 0.01, 8),  # 10, but for the bound
        (0.0, 0.01, 8),
        (0.05, 0.1, 6),  # a slow way
        (0.5, 0.1, 2),
        (1, 1, 4),
        (5, 2, 2),  # large results
        (30, 0.01, 2),
        (30, 2, 2),
        (3600, 30, 2),
    ],
)
def test_short_prompts_get_more_slots(ran: float, handing_over: float, slots: int) -> None:
    pace = paced(ran, handing_over / 2, handing_over / 2)
    assert pace.slots(2, 8) == slots


def test_nothing_is_known_at_first() -> None:
    assert Pace().slots(2, 8) == 2
    pace = Pace()
    pace.sent(1)
    assert (pace.slots(2, 8), pace.ready_seconds) == (2, 0)


@pytest.mark.parametrize(("usual", "most", "slots"), [(3, 3, 3), (3, 0, 3), (1, 8, 3), (2, 2, 2)])
def test_the_settings_bound_them(usual: int, most: int, slots: int) -> None:
    assert paced(0.05).slots(usual, most) == slots


def test_a_long_prompt_counts_at_once_and_short_ones_slowly() -> None:
    pace = paced(0.02)
    assert pace.slots(2, 8) == 5
    pace.ended(10, 0.005)
    assert pace.slots(2, 8) == 2
    for _ in range(20):
        pace.ended(0.02, 0.005)
    assert pace.slots(2, 8) == 2
    for _ in range(20):
        pace.ended(0.02, 0.005)
    assert pace.slots(2, 8) == 5


def test_a_number_of_its_own_is_kept() -> None:
    server = Server("http://127.0.0.1:1", 2, max_slots=8, own_slots=1)
    server.pace = paced(0.01)
    assert (server.slots, server.usual_slots) == (1, 1)
    server.own_slots = None
    assert (server.slots, server.usual_slots) == (8, 2)
