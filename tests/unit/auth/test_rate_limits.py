"""Token buckets."""

from hypothesis import given
from hypothesis import strategies as st

from app.auth.model import Rate
from app.auth.rate_limits import take


# -- rates --------------------------------------------------------------------------------------
def test_a_bucket_empties_and_fills_again() -> None:
    rate, tokens = Rate.parse("3/minute"), 3.0
    answers = []
    for elapsed in (0, 0, 0, 0, 19, 1):
        answer, tokens = take(rate, tokens, elapsed)
        answers.append((answer.allowed, answer.remaining, answer.retry_after))
    assert answers == [
        *((True, 2, 0), (True, 1, 0), (True, 0, 0)),
        *((False, 0, 20), (False, 0, 1), (True, 0, 0)),
    ]
    assert str(rate) == "3/minute"


@given(
    st.integers(1, 1000),
    st.sampled_from([1, 60, 3600, 86400]),
    st.lists(st.floats(0, 1e6), max_size=50),
)
def test_no_more_than_the_rate_ever_gets_through(
    requests: int, seconds: int, gaps: list[float]
) -> None:
    rate, tokens, allowed = Rate(requests, seconds), float(requests), 0
    for gap in gaps:
        answer, tokens = take(rate, tokens, gap)
        allowed += answer.allowed
        assert 0 <= tokens <= requests
        assert answer.allowed is (answer.retry_after == 0)
    assert allowed <= requests + sum(gaps) * requests / seconds + 1e-6
