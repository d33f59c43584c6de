"""A batch becomes one set of parameters for each task."""

import pytest

from app.errors import InvalidParameter
from app.services.batches import MAX_TASKS, Mode, expand


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
