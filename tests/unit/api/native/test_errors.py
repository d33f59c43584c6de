"""Problem documents as ComfyUI's errors."""

from typing import Any

import pytest

from app.api.native.doors import Door, enter
from app.api.native.errors import envelope, refused
from app.api.problems import answer, document, refusal
from app.errors import (
    GatewayError,
    InvalidWorkflow,
    NoServer,
    PromptRejected,
    QueueFull,
    Unauthorized,
)

Json = dict[str, Any]


def scope() -> Json:
    found: Json = {"type": "http", "path": "/prompt", "method": "POST", "headers": []}
    enter(found, Door("root"), "/prompt")
    return found


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (NoServer("None answers."), ("no_server", "None answers.", "", {})),
        (NoServer("None answers.", hint="Wait."), ("no_server", "None answers.", "Wait.", {})),
        (
            refused("no_prompt", "No prompt provided", "No prompt provided"),
            ("no_prompt", "No prompt provided", "No prompt provided", {}),
        ),
        (
            refused("invalid_prompt", "x", node_id="1"),
            ("invalid_prompt", "x", "", {"node_id": "1"}),
        ),
    ],
)
def test_an_error_has_all_members_of_comfyuis(error: GatewayError, told: tuple[Any, ...]) -> None:
    members = dict(zip(("type", "message", "details", "extra_info"), told, strict=True))
    assert envelope(document(error)) == {"error": members, "node_errors": {}}


@pytest.mark.parametrize("kind", [InvalidWorkflow, PromptRejected])
def test_errors_of_nodes_have_all_members_of_comfyuis(kind: type[GatewayError]) -> None:
    fault = {"type": "value_not_in_list", "message": "Value not in list"}
    error = kind("Node 3: no.", node_errors={"3": {"class_type": "KSampler", "errors": [fault]}})
    told = envelope(document(error))
    assert told["error"]["type"] == "prompt_outputs_failed_validation"
    assert told["node_errors"] == {
        "3": {
            "errors": [{**fault, "details": "", "extra_info": {}}],
            "dependent_outputs": [],
            "class_type": "KSampler",
        }
    }


def test_comfyui_has_no_422() -> None:
    assert answer(scope(), document(InvalidWorkflow("No."))).status_code == 400
    assert answer(scope(), document(NoServer("No."))).status_code == 503


def test_headers() -> None:
    """Browsers keep passwords that they are asked for: nobody is."""
    assert "www-authenticate" not in refusal(scope(), Unauthorized("No.")).headers
    full = refusal(scope(), QueueFull("Full.", retry_after=7))
    assert (full.status_code, full.headers["retry-after"]) == (429, "7")
