"""What a server says of itself may be of any type."""

from typing import Any

import pytest

from app.servers.health import Health


@pytest.mark.parametrize(
    ("stats", "version"),
    [
        ({"system": {"comfyui_version": "0.3.64"}}, "0.3.64"),
        ({"system": {"comfyui_version": 5}}, None),
        ({"system": {"comfyui_version": ["0.3.64"]}}, None),
        ({"system": {}}, None),
        ({"system": "0.3.64"}, None),
        ({}, None),
    ],
)
def test_a_version_is_a_text_or_none(stats: dict[str, Any], version: str | None) -> None:
    assert Health(stats=stats).version == version
