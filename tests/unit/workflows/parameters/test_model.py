"""The parameters of a prompt: types, limits, order."""

from app.workflows.parameters.model import list_parameters
from tests.conftest import text_to_image
from tests.unit.workflows.checks.test_prompt import INFO, SAMPLER


def test_what_people_change_first_comes_first() -> None:
    roles = [parameter.role for parameter in list_parameters(text_to_image(), {})]
    assert roles[:4] == ["prompt", "negative_prompt", "seed", "width"]
    assert roles.index("steps") < roles.index("cfg") < roles.index("model")


# -- parameters ---------------------------------------------------------------------------------
def test_parameters_have_types_and_limits() -> None:
    found = {p.key: p for p in list_parameters(SAMPLER, INFO)}
    assert "3.model" not in found
    steps = found["3.steps"]
    assert (steps.type, steps.min, steps.max, steps.default) == ("int", 1, 10000, 20)
    assert found["3.sampler_name"].choices == ["euler", "heun", "dpm_2"]
    assert found["3.scheduler"].choices == ["normal", "karras"]
    assert found["6.text"].multiline
    assert found["8.image"].upload
    assert found["4.name"].type == "string"  # a class nobody knows: told from the value


def test_what_is_of_a_wrong_type_in_a_definition_is_none() -> None:
    options = {"tooltip": 5, "min": True, "max": "9", "step": [1]}
    info = {"Odd": {"input": {"required": {"x": ["INT", options]}}}}
    (found,) = list_parameters({"1": {"class_type": "Odd", "inputs": {"x": 1}}}, info)
    assert (found.tooltip, found.min, found.max, found.step) == (None, None, None, None)
