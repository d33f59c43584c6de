"""The types of answers, which only the OpenAPI document shows."""

import subprocess
import sys

from tests.conftest import ROOT

COUNT = """
from app.api.strict_route import StrictRoute
from app.main import create_app
from app.settings import Settings
app = create_app(Settings(_env_file=None))
routes = [route for route in app.routes if isinstance(route, StrictRoute)]
ready = lambda: sum(200 in route.response_fields for route in routes)
before = ready()
app.openapi()
print(before, ready())
"""


def test_they_are_made_ready_for_the_document_only() -> None:
    """In a process of its own, as routes are shared by all applications of one."""
    command = [sys.executable, "-c", COUNT]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=ROOT, encoding="utf-8"
    )
    before, after = map(int, done.stdout.split())
    assert before < 5, "those that a route tells by itself"
    assert after > 30
