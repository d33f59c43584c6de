"""How a task ended, and whether it may be tried again."""

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from app.comfyui.events import ExecutionError, ExecutionInterrupted
from app.comfyui.history import HistoryEntry
from app.runner.paid_node_keys import PaidNodeKeys
from app.runner.stage_inputs import readable_outcome
from app.tasks.model import Attempt, CancelReason, NewTask, Output, Status, TaskError, fields_of
from app.tasks.outcome import (
    NAMES,
    Canceled,
    Failed,
    Lost,
    Moved,
    Succeeded,
    bounded,
    forgotten,
    judge,
    may_try_again,
    reworded,
)
from tests.unit.tasks.test_model import TASK

# -- texts of errors ----------------------------------------------------------------------------
MARK = "gw-01234567-0123456789abcdef0123456789abcdef.png"
# By the type of a field: a value with the mark in each of its texts. A new type fails until it is
# said here where texts are in it.
MARKED: dict[Any, Any] = {
    str: MARK,
    str | None: MARK,
    tuple[str, ...]: (MARK, f"a {MARK} b"),
    dict[str, Any] | None: {"1": {"errors": [{"details": MARK, "more": [MARK, {"a": [7, MARK]}]}]}},
}


@pytest.mark.parametrize("end", [Failed, Canceled])
def test_every_text_of_an_error_is_reworded(end: type[Failed | Canceled]) -> None:
    texts = {item.name: MARKED[item.type] for item in fields(TaskError)}
    error = TaskError(**{**texts, **dict.fromkeys(NAMES, "name")})
    task = replace(TASK, needs_paid_node_key=True)
    keys = PaidNodeKeys()
    with keys.queueing(
        [NewTask("t", {}, needs_paid_node_key=True, secrets={"api_key_comfy_org": MARK})]
    ):
        pass
    for outcome in (
        reworded(end(error), lambda text: text.replace(MARK, "x")),
        readable_outcome(end(error), {MARK: "x"}),
        keys.without(task, end(error)),
    ):
        said = outcome.error
        assert said is not None
        assert MARK not in json.dumps(fields_of(said))
        for name, value in fields_of(said).items():
            assert type(value) is type(getattr(error, name)), "only the texts are others"
            assert name in NAMES or value != getattr(error, name)
    named = end(TaskError(MARK, "", MARK, MARK))
    assert keys.without(task, named) == named, "names are the workflow's own"


# -- outcomes -----------------------------------------------------------------------------------
def test_a_success() -> None:
    assert isinstance(judge(HistoryEntry(), TASK, []), Succeeded)


def test_a_success_without_its_files_is_none() -> None:
    outcome = judge(HistoryEntry(), TASK, [Output("9", "image", "a.png", error="gone")])
    assert isinstance(outcome, Failed)
    assert outcome.error.code == "output_unavailable"
    assert "a.png" in outcome.error.message


@pytest.mark.parametrize(
    ("kind", "code"),
    [("ValueError", "execution_error"), ("torch.cuda.OutOfMemoryError", "out_of_memory")],
)
def test_an_error(kind: str, code: str) -> None:
    error = ExecutionError("p", "3", "KSampler", kind, "it broke", ("line",))
    outcome = judge(HistoryEntry(error=error), TASK, [])
    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.node_id) == (code, "3")


@pytest.mark.parametrize(
    ("reason", "code"),
    [(CancelReason.REQUEST, None), (CancelReason.TIMEOUT, "timeout"), (None, "interrupted")],
)
def test_an_interrupt(reason: CancelReason | None, code: str | None) -> None:
    entry = HistoryEntry(interrupted=ExecutionInterrupted("p", "3", "KSampler"))
    outcome = judge(entry, replace(TASK, cancel_reason=reason), [])
    assert isinstance(outcome, Canceled)
    assert (outcome.error.code if outcome.error else None) == code


def tries(number: int) -> list[Attempt]:
    return [Attempt("s", 1.0, 2.0, "lost", "x", ran=True)] * number


def test_tries_of_what_was_lost() -> None:
    waiting = replace(TASK, status=Status.QUEUED, started_at=None)
    away, back = Lost("server_lost", "x"), Lost("server_restarted", "x")
    assert may_try_again(waiting, away, tries(9), 3, elsewhere=False), "it never ran"
    assert not may_try_again(TASK, away, tries(1), 3, elsewhere=False), "nobody could run it"
    assert may_try_again(TASK, away, tries(1), 3, elsewhere=True)
    assert may_try_again(TASK, back, tries(1), 3, elsewhere=False)
    assert not may_try_again(TASK, back, tries(3), 3, elsewhere=True), "it had its tries"
    canceling = replace(TASK, status=Status.CANCELING)
    assert may_try_again(canceling, away, tries(9), 3, elsewhere=False), "that ends it as canceled"
    assert may_try_again(TASK, Moved("drained"), tries(9), 3, elsewhere=False)
    waited = [replace(attempt, ran=False) for attempt in tries(9)]
    assert may_try_again(TASK, away, [*waited, *tries(1)], 3, elsewhere=True), "only runs count"


def test_what_a_server_takes_and_forgets_is_not_tried_for_ever() -> None:
    waiting = replace(TASK, status=Status.QUEUED, started_at=None)
    lost = forgotten("s")
    assert (lost.word, lost.code) == ("forgotten", "prompt_forgotten")
    gone = [replace(attempt, ran=False, outcome=lost.word) for attempt in tries(3)]
    assert may_try_again(waiting, lost, gone[:2], 3, elsewhere=False)
    assert not may_try_again(waiting, lost, gone, 3, elsewhere=True)
    away = [replace(attempt, ran=False, outcome="lost") for attempt in tries(9)]
    assert may_try_again(waiting, lost, [*away, *gone[:2]], 3, elsewhere=False), "free of count"
    canceling = replace(waiting, status=Status.CANCELING)
    assert may_try_again(canceling, lost, gone, 3, elsewhere=False), "that ends it as canceled"


@pytest.mark.parametrize(
    "outcome", [Moved("drained"), Lost("server_restarted", "x"), Lost("server_lost", "x")]
)
@pytest.mark.parametrize(("max_attempts", "most"), [(1, 20), (3, 20), (10, 50)])
def test_attempts_have_an_end(outcome: Lost | Moved, max_attempts: int, most: int) -> None:
    waiting = replace(TASK, status=Status.QUEUED, started_at=None)
    some = [replace(attempt, ran=False, outcome=outcome.word) for attempt in tries(most)]
    assert may_try_again(waiting, outcome, some[:-1], max_attempts, elsewhere=True)
    assert bounded(outcome, some[:-1], max_attempts) is outcome
    assert not may_try_again(waiting, outcome, some, max_attempts, elsewhere=True)
    last = bounded(outcome, some, max_attempts)
    assert last.status is Status.FAILED
    assert last.error is not None


@pytest.mark.parametrize("code", ["out_of_memory", "output_unavailable"])
def test_a_second_try_where_it_may_help(code: str) -> None:
    failed = Failed(TaskError(code, "x"), retryable=True)
    first = [Attempt("s", 1.0, 2.0, failed.word, "x", ran=True)]
    assert may_try_again(TASK, failed, first, 3, elsewhere=False)
    assert not may_try_again(TASK, failed, first * 2, 3, elsewhere=False), "once is enough"
    assert not may_try_again(TASK, failed, first, 1, elsewhere=False)
    for_good = replace(failed, retryable=False)
    assert not may_try_again(TASK, for_good, first, 3, elsewhere=True)


def test_a_bad_graph_is_not_tried_again_but_by_a_server_on_trial() -> None:
    failed = Failed(TaskError("execution_error", "x"))
    first = [Attempt("s", 1.0, 2.0, failed.word, "x", ran=True)]
    assert not may_try_again(TASK, failed, first, 3, elsewhere=True)
    assert may_try_again(TASK, failed, first, 3, elsewhere=False, doubtful=True)
    assert not may_try_again(TASK, failed, first * 3, 3, elsewhere=False, doubtful=True)


def test_results_gone_from_the_cache_are_worth_a_second_try() -> None:
    gone = [Output("9", "image", "a.png", error="gone")]
    for cached, retryable in ((frozenset({"9"}), True), (frozenset({"8"}), False)):
        outcome = judge(HistoryEntry(cached=cached), TASK, gone)
        assert isinstance(outcome, Failed)
        assert outcome.retryable is retryable
