"""From what a client sends to a prompt."""

import copy
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidWorkflow
from app.services.prepare import prepare
from tests.unit.workflows.checks.test_prompt import INFO

Json = dict[str, Any]
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=10,
)
graphs = st.dictionaries(
    st.sampled_from(list("12345")),
    st.fixed_dictionaries(
        {
            "class_type": st.sampled_from([*INFO, "Unknown", 5]),
            "inputs": st.dictionaries(
                st.sampled_from(["seed", "text", "model", "cfg", "image"]),
                json_values | st.tuples(st.sampled_from("123456"), st.just(0)).map(list),
            )
            | json_values,
        }
    )
    | json_values,
)


@given(graphs | json_values, st.dictionaries(st.sampled_from(["1.seed", "2.text"]), json_values))
def test_only_our_errors_come_out(workflow: Any, params: Json) -> None:
    for info in ({}, INFO):
        with suppress(InvalidWorkflow):
            prepare(copy.deepcopy(workflow), [params], info)
