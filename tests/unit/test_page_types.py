"""The JSON that the page's JavaScript is checked against is the one that the gateway promises."""

import runpy

from app.main import create_app
from app.settings import Settings
from tests.conftest import ROOT


def test_types_are_those_of_the_openapi_document() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "page_types"))
    written = script["interfaces"](create_app(Settings()).openapi())
    assert "interface Task {" in written
    assert script["FILE"].read_text(encoding="utf-8") == written, "run scripts/page_types"
