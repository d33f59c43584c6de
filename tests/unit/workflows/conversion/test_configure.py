"""What a file saved for a node is brought together with what its class has now."""

from tests.unit.workflows.conversion.graphs import flow, inputs_of, node

LOAD = node(1, "Load", "b.ckpt", outputs=["MODEL", "CLIP"])
TUNE = node(2, "Tune", 1.0, inputs={"model": (1, "MODEL")}, outputs=["MODEL"])


TO_TUNE, TO_SAMPLE = [1, 1, 0, 2, 0, "MODEL"], [2, 2, 0, 3, 0, "MODEL"]


def test_inputs_are_found_by_name_wherever_the_file_has_them() -> None:
    """Widgets were no inputs in old files, so the numbers differ."""
    sample = node(3, "Sample", inputs={"latent": None, "model": (2, "MODEL")})
    workflow = flow([LOAD, TUNE, sample], TO_TUNE, [2, 2, 0, 3, 1, "MODEL"])
    assert inputs_of(workflow, "3")["model"] == ["2", 0]
    assert "latent" not in inputs_of(workflow, "3")


def test_a_converted_widget_is_sent_as_a_link() -> None:
    steps = {"name": "steps", "type": "INT", "link": 1, "widget": {"name": "steps"}}
    sample = node(3, "Sample", 7, "fixed", 30, 4.5, "fine") | {"inputs": [steps]}
    number = node(1, "Number", 12, outputs=["INT"])
    workflow = flow([number, sample], [1, 1, 0, 3, 0, "INT"])
    assert inputs_of(workflow, "3") == {
        "seed": 7, "steps": ["1", 0], "cfg": 4.5, "mode": "fine",
    }  # fmt: skip


def test_a_converted_widget_that_the_class_has_no_more_is_dropped() -> None:
    gone = {"name": "gone", "type": "INT", "link": 1, "widget": {"name": "gone"}}
    sample = node(3, "Sample") | {"inputs": [gone]}
    workflow = flow([node(1, "Number", outputs=["INT"]), sample], [1, 1, 0, 3, 0, "INT"])
    assert inputs_of(workflow, "3").keys() == {"seed", "steps", "cfg", "mode"}


def test_an_input_that_the_class_lacks_keeps_its_link() -> None:
    """Custom code adds inputs that the server does not declare."""
    extra = node(3, "Sample", inputs={"extra": (1, "MODEL")})
    assert inputs_of(flow([LOAD, extra], [1, 1, 0, 3, 0, "MODEL"]), "3")["extra"] == ["1", 0]
