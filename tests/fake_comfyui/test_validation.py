"""The stand-in checks prompts as ComfyUI does."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.comfyui.own_rules import FILE_INPUTS
from fake_comfyui.catalogue import Catalogue
from fake_comfyui.folders import Folders
from fake_comfyui.validation import Answer, answer

Json = dict[str, Any]


def node(class_type: str, **inputs: Any) -> Json:
    return {"class_type": class_type, "inputs": inputs}


@pytest.mark.parametrize("class_type", FILE_INPUTS)
def test_the_stand_in_looks_whether_input_files_are_there(tmp_path: Path, class_type: str) -> None:
    name, kind = FILE_INPUTS[class_type]
    info = {
        class_type: {"input": {"required": {name: [[], {}]}}, "output": [], "output_node": True},
    }
    (tmp_path / "info.json").write_text(json.dumps(info), encoding="utf-8")
    folders = Folders(tmp_path)
    catalogue = Catalogue(tmp_path / "info.json", folders.uploads)

    def answered(file: str) -> Answer:
        prompt = {"1": node(class_type, **{name: file})}
        return answer(prompt, catalogue, folders, None, "missing_node_type")

    refused = answered("away.bin")
    assert refused.error is not None
    details = f"{name} - Invalid {kind} file: away.bin"
    words = f"Custom validation failed for node: {details}"
    assert refused.error["details"] == words
    (error,) = refused.node_errors["1"]["errors"]
    assert (error["type"], error["details"]) == ("custom_validation_failed", details)
    (tmp_path / "input" / "here.bin").write_bytes(b"x")
    assert answered("here.bin").outputs == ["1"]
