"""The official templates and the facts about them; tests/fixtures/conversion/README.md."""

import gzip
import importlib.resources
import json
from typing import Any

from tests.conftest import ROOT

FOLDER = ROOT / "tests" / "fixtures" / "conversion"
OBJECT_INFO: dict[str, Any] = json.loads(
    gzip.decompress((FOLDER / "object_info.json.gz").read_bytes())
)
DIGESTS: dict[str, str] = json.loads((FOLDER / "digests.json").read_text(encoding="utf-8"))


def template(name: str) -> dict[str, Any]:
    folder = importlib.resources.files("comfyui_workflow_templates_json") / "templates"
    workflow: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return workflow
