"""Which task goes to which server, and what that is decided by."""

import json

import pytest

from app.errors import InvalidParameter
from app.scheduler.planner import LOADING, PATIENCE, Seat, plan
from app.servers.breaker import FAILURES, FIRST_PAUSE, Breaker
from app.servers.fault_attribution import speaks_against_server
from app.servers.inventory import merged
from app.services.batches import MAX_TASKS, Mode, expand
from app.tasks.model import Assignment, Waiting
from app.workflows.requirements import ModelFile, Needs, Refusal, lack_of, needs_of, shape_of
from tests.conftest import model_free, text_to_image

CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"


class Place:
    """A server that has all but some classes."""

    def __init__(self, id: str, *without: str) -> None:
        self.id = id
        self._without = without

    def can_run(self, needs: Needs) -> bool:
        return not needs.classes & set(self._without)


def seat(name: str, *without: str, free: int = 1, wait: float = 0, warm: str = "") -> Seat:
    return Seat(Place(name, *without), free, wait, frozenset(filter(None, [warm])))


def task(seq: int, *, model: str = "", kind: str = "A", priority: int = 0, waited: float = 0,
         wanted: str | None = None) -> Waiting:  # fmt: skip
    files = frozenset([ModelFile("Loader", "name", model)] if model else [])
    return Waiting(seq, "r", Needs(frozenset([kind]), files), wanted, "s", priority, waited)


def planned(tasks: list[Waiting], *seats: Seat, seconds: float = 5) -> list[Assignment]:
    return plan(tasks, seats, lambda shape, server: seconds)


# -- the plan -----------------------------------------------------------------------------------


def test_the_shortest_wait_wins() -> None:
    assert planned([task(1)], seat("a", wait=9), seat("b", wait=3)) == [(1, "b")]


def test_tasks_spread_over_idle_servers_before_they_queue_up() -> None:
    found = planned([task(n) for n in range(4)], seat("a", free=2), seat("b", free=2))
    assert [server for _, server in found] == ["a", "b", "a", "b"]


def test_only_servers_that_have_all_it_needs() -> None:
    assert planned([task(1)], seat("a", "A"), seat("b", "A")) == []
    assert planned([task(1)], seat("a", "A"), seat("b", wait=99)) == [(1, "b")]


def test_a_wanted_server_is_waited_for() -> None:
    assert planned([task(1, wanted="c")], seat("a"), seat("b")) == []
    assert planned([task(1, wanted="b")], seat("a"), seat("b", wait=99)) == [(1, "b")]


def test_a_warm_server_is_worth_a_wait_as_long_as_loading() -> None:
    for wait, chosen in ((LOADING - 1, "warm"), (LOADING + 1, "cold")):
        seats = seat("cold"), seat("warm", wait=wait, warm="m")
        assert planned([task(1, model="m")], *seats) == [(1, chosen)]


def test_models_are_loaded_where_none_are_lost() -> None:
    assert planned([task(1, model="m")], seat("a", warm="x"), seat("b")) == [(1, "b")]


def test_models_are_not_swapped_in_turns() -> None:
    tasks = [task(1, model="y"), task(2, model="x"), task(3, model="y"), task(4, model="x")]
    assert planned(tasks, seat("a", free=2, warm="x")) == [(2, "a"), (4, "a")]
    tasks[0] = task(1, model="y", waited=PATIENCE + 1)
    assert planned(tasks, seat("a", warm="x")) == [(1, "a")], "but not for ever"


def test_less_important_tasks_do_not_overtake_for_the_sake_of_models() -> None:
    tasks = [task(1, model="y", priority=5), task(2, model="x")]
    assert planned(tasks, seat("a", warm="x")) == [(1, "a")]


def test_a_free_server_is_used_even_if_it_must_load() -> None:
    tasks = [task(1, model="y"), task(2, model="x")]
    found = planned(tasks, seat("a", warm="x"), seat("b", warm="z"))
    assert sorted(found) == [(1, "b"), (2, "a")]


# -- what is needed -----------------------------------------------------------------------------


def test_needs_are_node_types_and_model_files() -> None:
    needs = needs_of(text_to_image())
    assert needs.classes >= {"KSampler", "SaveImage"}
    assert needs.models == {CHECKPOINT}
    assert Needs.load(needs.dump()) == needs
    assert needs_of(model_free()).files == frozenset()


@pytest.mark.parametrize(
    ("definition", "lacking"),
    [
        ([[CHECKPOINT], {}], 0),
        ([["other.safetensors"], {}], 1),
        (["COMBO", {"options": ["other.safetensors"]}], 1),
        (["COMBO", {"options": [CHECKPOINT]}], 0),
        (["STRING", {}], 0),
        ([["other.safetensors"], {"image_upload": True}], 0),
    ],
)
def test_a_file_is_lacking_if_the_choices_do_not_name_it(
    definition: list[object], lacking: int
) -> None:
    types = {name: {"input": {}} for name in needs_of(text_to_image()).classes}
    types["CheckpointLoaderSimple"] = {"input": {"required": {"ckpt_name": definition}}}
    lack = lack_of(needs_of(text_to_image()), types)
    assert len(lack) == lacking
    assert (CHECKPOINT in str(lack)) is bool(lacking)


def test_lacking_node_types() -> None:
    assert lack_of(needs_of(model_free()), {"SaveImage": {}}).classes == (
        "EmptyImage",
        "ImageInvert",
    )


def test_the_shape_is_the_cost() -> None:
    shape = shape_of(text_to_image())
    assert shape == shape_of(text_to_image(seed=9, text="a cat"))
    assert shape != shape_of(text_to_image(steps=5))
    assert shape != shape_of(text_to_image(size=128))


def test_choices_of_several_servers_are_joined() -> None:
    def of(definition: object, **more: object) -> dict[str, object]:
        return {"L": {"input": {"required": {"name": definition}}}, **more}

    for one, other, joined in (
        ([["a"], {}], [["b", "a"], {}], [["a", "b"], {}]),
        (
            ["COMBO", {"options": ["a"], "x": 1}],
            ["COMBO", {"options": ["b"]}],
            ["COMBO", {"options": ["a", "b"], "x": 1}],
        ),
        (
            ["INT", {"max": 1}],
            ["INT", {"max": 2}],
            ["INT", {"max": 1, "everywhere": {"max": 1}}],
        ),
        ([["a"]], ["COMBO", {"options": ["b"]}], [["a"]]),
    ):
        first, second = of(one), of(other, M={})
        result = merged([first, second])
        assert result["L"]["input"]["required"]["name"] == joined
        assert "M" in result
        assert first == of(one), "what the servers told stays as it is"


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


@pytest.mark.parametrize(
    ("kind", "message", "counts"),
    [
        ("RuntimeError", "CUDA error: device-side assert triggered", True),
        ("torch.AcceleratorError", "HIP error", True),
        ("torch.OutOfMemoryError", "", True),
        ("MemoryError", "", True),
        ("ModuleNotFoundError", "No module named 'sageattention'", True),
        ("ConnectionResetError", "", True),
        ("OSError", "[Errno 28] No space left on device", True),
        ("OSError", "[Errno 36] File name too long: '[Errno 28]'", False),
        ("Exception", "Saving image outside the output folder is not allowed.", False),
        ("ValueError", "CUDA error", False),
        ("builtins.KeyError", "", False),
        ("UnicodeEncodeError", "", False),
        ("FileNotFoundError", "[Errno 2] No such file", False),
        ("PermissionError", "", False),
        ("graph.DependencyCycleError", "", False),
    ],
)
def test_which_errors_speak_against_a_server(kind: str, message: str, counts: bool) -> None:
    assert speaks_against_server(kind, message) is counts


# -- batches ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("product", [(1, "x"), (1, "y"), (2, "x"), (2, "y")]),
        ("zip", [(1, "x"), (2, "y")]),
    ],
)
def test_a_batch(mode: Mode, expected: list[tuple[int, str]]) -> None:
    found = expand({"steps": 4}, {"seed": [1, 2], "prompt": ["x", "y"]}, mode)
    assert [(params["seed"], params["prompt"]) for params in found] == expected
    assert all(params["steps"] == 4 for params in found)


@pytest.mark.parametrize(
    ("batch", "mode", "word"),
    [
        ({"seed": []}, "product", "empty"),
        ({"steps": [1]}, "product", "stands in params"),
        ({"seed": [1, 2], "prompt": ["x"]}, "zip", "seed 2, prompt 1"),
        ({"seed": list(range(MAX_TASKS + 1))}, "product", str(MAX_TASKS)),
    ],
)
def test_a_bad_batch(batch: dict[str, list[object]], mode: Mode, word: str) -> None:
    with pytest.raises(InvalidParameter, match=word):
        expand({"steps": 4}, batch, mode)


def test_needs_keep_who_refuses_them_and_older_gateways_find_nobody_for_them() -> None:
    refused = frozenset({Refusal("a:1", "mode of Node: 'x'"), Refusal("b:2", "another")})
    needs = Needs(frozenset({"Node"}), frozenset(), refused)
    assert Needs.load(needs.dump()) == needs
    assert needs.refusers == {"a:1", "b:2"}
    classes, files = json.loads(needs.dump())
    assert set(classes) > {"Node"}, "a gateway of before looks for more than any server has"
    assert files == []
