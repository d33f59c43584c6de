"""Which answers to a prompt are ComfyUI's own, and what is said of the others."""

import json

import pytest

from app.comfyui import answers
from app.errors import ComfyError, ComfyUnreachable, PromptRejected


def answer(status: int, body: object = "", **headers: str) -> answers.Answer:
    text = body if isinstance(body, str) else json.dumps(body)
    return answers.Answer(status, headers, text.encode(), "/prompt")


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"type": "x", "message": "No."}, "node_errors": {}},
        {"error": "No."},
        {"node_errors": {"1": {}}},
    ],
)
def test_a_refusal_is_comfyuis_own(body: object) -> None:
    with pytest.raises(PromptRejected):
        answers.taken(answer(400, body), "a:1")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, "<html>"),
        (400, {"detail": "no"}),
        (400, [1]),
        (200, "<html>"),
        (200, {}),
        (200, []),
        (302, ""),
        (418, ""),
        *((status, "") for status in (401, 403, 404, 405, 413, 429, 500, 502, 503, 504, 522)),
    ],
)
def test_whatever_is_not_says_nothing_of_the_prompt(status: int, body: object) -> None:
    with pytest.raises(ComfyError) as caught:
        answers.taken(answer(status, body), "a:1")
    error = caught.value
    assert not isinstance(error, PromptRejected | ComfyUnreachable)
    assert error.answered == status
    said, remedy = error.detail.split(". ", 1)
    assert said.startswith(f"ComfyUI at a:1 answered {status}")
    assert len(remedy) > 20


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_stands_in_front_cannot_be_asked_for_now(status: int) -> None:
    assert isinstance(answers.fault(answer(status), "a:1"), ComfyUnreachable)
    assert not isinstance(answers.fault(answer(500), "a:1"), ComfyUnreachable)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        (" 120 ", 120),
        ("999999999999", answers.LONGEST_WAIT),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("Sat, 01 Jan 2022 00:00:00 GMT", 0),
        ("Sat, 01 Jan 2222 00:00:00 GMT", answers.LONGEST_WAIT),
        ("Fri, 99 Nov 2026 99:99:99 GMT", None),
        ("9" * 5000, answers.LONGEST_WAIT),
    ],
)
def test_a_retry_after_is_seconds_or_a_date(header: str, seconds: float | None) -> None:
    found = answers.fault(answer(503, "", **{"retry-after": header}), "a:1")
    assert found.retry_after == seconds
