"""When a server is taken out, and tried again."""

from app.servers.breaker import Breaker

FAILURES = 5  # in a row
FIRST_PAUSE = 30.0  # seconds


# -- the breaker --------------------------------------------------------------------------------
class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_server_that_fails_every_task_is_taken_out_and_tried_again() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for number in range(FAILURES):
        assert not breaker.is_open
        assert breaker.failed("good", proven=True) is (number == FAILURES - 1)
    assert breaker.is_open
    clock.now += FIRST_PAUSE
    assert breaker.is_probing
    assert breaker.failed("good", proven=True)
    clock.now += FIRST_PAUSE
    assert breaker.is_open, "the second pause is longer"
    clock.now += FIRST_PAUSE
    assert breaker.is_probing
    breaker.succeeded()
    assert not breaker.is_open
    assert not breaker.is_probing
    assert breaker.reason is None


def test_a_bad_workflow_does_not_take_a_server_out() -> None:
    breaker = Breaker()
    for _ in range(FAILURES * 3):
        assert not breaker.failed("bad", proven=False)


def test_many_different_failures_do() -> None:
    breaker = Breaker()
    assert any(breaker.failed(f"unknown {n}", proven=False) for n in range(FAILURES))


def test_a_success_in_between_counts() -> None:
    breaker = Breaker()
    for _ in range(FAILURES * 2):
        assert not breaker.failed("good", proven=True)
        breaker.succeeded()


def fail(breaker: Breaker, key: str, times: int) -> list[bool]:
    return [breaker.failed("good", proven=True, key=key) for _ in range(times)]


def test_one_key_takes_a_server_from_itself_only() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    assert True in fail(breaker, "mallory", FAILURES * 3)
    assert (breaker.is_open, breaker.is_probing, breaker.barred) == (False, False, {"mallory"})
    clock.now += FIRST_PAUSE
    assert breaker.barred == frozenset()
    assert breaker.on_trial("mallory")
    assert not breaker.on_trial("victim")
    fail(breaker, "mallory", 1)
    clock.now += FIRST_PAUSE
    assert breaker.barred == {"mallory"}, "the second pause is longer"
    assert not fail(breaker, "victim", 1)[0], "one more of another key"
    breaker.succeeded()
    assert (breaker.barred, breaker.reason) == (frozenset(), None)


def test_a_server_that_fails_the_tasks_of_all_keys_is_taken_out() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    ends = [fail(breaker, ("one", "two")[number % 2], 1)[0] for number in range(FAILURES)]
    assert ends == [False] * (FAILURES - 1) + [True]
    assert breaker.is_open
    clock.now += FIRST_PAUSE
    fail(breaker, "one", 1)
    assert breaker.is_probing, "the next trial is another key's"
    assert breaker.barred == {"one"}
    fail(breaker, "two", 1)
    clock.now += FIRST_PAUSE
    assert breaker.is_open, "the second pause is longer"
    clock.now += FIRST_PAUSE
    assert breaker.is_probing
