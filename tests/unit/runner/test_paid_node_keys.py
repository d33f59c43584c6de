"""The keys of paid nodes stay in memory and out of texts."""

from contextlib import suppress
from dataclasses import replace

import pytest

from app.comfyui.cleaning import cut
from app.errors import QueueFull
from app.limits import text_lengths
from app.runner.paid_node_keys import PaidNodeKeys
from app.tasks.model import NewTask, Task
from tests.unit.tasks.test_model import TASK


@pytest.mark.parametrize("shown", range(4, 24))
def test_a_key_is_hidden_where_a_text_was_cut(shown: int) -> None:
    key = "comfyui-0123456789abcdef"
    said = cut("x" * (text_lengths.MESSAGE - 22 - shown) + key + "y" * 100, text_lengths.MESSAGE)
    keys = PaidNodeKeys()
    with keys.queueing(
        [NewTask("1", {}, needs_paid_node_key=True, secrets={"api_key_comfy_org": key})]
    ):
        pass
    task = Task(
        **dict.fromkeys(Task.__dataclass_fields__)  # type: ignore[arg-type]
        | {"task_id": "1", "needs_paid_node_key": True}
    )
    assert key[:5] not in keys.hidden(task, said)


def test_keys_of_a_task_stay_when_another_one_wants_its_id() -> None:
    keys, task = PaidNodeKeys(), replace(TASK, needs_paid_node_key=True)
    first, other = (
        NewTask("t", {}, needs_paid_node_key=True, secrets={"api_key_comfy_org": word})
        for word in "ab"
    )
    with keys.queueing([first]):
        with suppress(QueueFull), keys.queueing([other]):
            assert keys.extra_data(task) == first.secrets
            raise QueueFull("")
        assert keys.extra_data(task) == first.secrets
    with suppress(QueueFull), keys.queueing([other]):
        raise QueueFull("")
    assert keys.extra_data(task) == first.secrets
    with suppress(QueueFull), keys.queueing([replace(first, task_id="u")]):
        with keys.queueing([replace(other, task_id="u")]):
            pass
        raise QueueFull("")
    assert keys.extra_data(replace(task, task_id="u")) == other.secrets, "it was the faster one"
    with keys.queueing([other]):  # the former task is gone
        pass
    assert keys.extra_data(task) == other.secrets
