"""What not every machine has: PostgreSQL, programs, rights. Who needs such a thing asks here.

Such a test carries the marker `service`, by which `make test` leaves it out; one that asks without
the marker fails, wherever it runs. What is absent skips it, or fails it with REQUIRE_SERVICES=1.
"""

import importlib
import os
import shutil
from typing import Any, NoReturn

import pytest

# What is in these folders has the marker without saying so: they start fleets of processes,
# browsers and foreign clients.
FOLDERS = {"acceptance": "service", "benchmarks": "slow", "browser": "service", "faults": "slow"}

_running: list[pytest.Item] = []  # the test that runs in this process


def mark_by_folder(item: pytest.Item) -> None:
    folder = item.path.relative_to(item.config.rootpath / "tests").parts[0]
    if folder in FOLDERS:
        item.add_marker(FOLDERS[folder])


def now_runs(item: pytest.Item) -> None:
    _running[:] = [item]


def asked_for(what: str) -> None:
    """Fails a test that has not said that it needs a service; benchmarks need not."""
    if _running and not any(item.get_closest_marker("service") for item in _running):
        pytest.fail(f"{what} is not on every machine: mark the test with pytest.mark.service")


def absent(reason: str) -> NoReturn:
    """Ends the test that cannot go on."""
    if os.environ.get("REQUIRE_SERVICES"):
        pytest.fail(reason)
    pytest.skip(reason)


def find(name: str, path: str | None = None) -> str | None:
    """Where the program is; none if it is not installed."""
    asked_for(name)
    return shutil.which(name, path=path)


def program(name: str, hint: str = "") -> str:
    """Where the program is; also those for administrators only."""
    found = find(name) or find(name, "/usr/sbin")
    return found or absent(f"{name} is not installed{hint and f': {hint}'}")


def package(name: str) -> Any:
    """A Python package that the gateway can do without."""
    try:
        return importlib.import_module(name)
    except ImportError:
        absent(f"the Python package {name} is not installed")
