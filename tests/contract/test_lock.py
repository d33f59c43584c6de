"""The locks are what the lists of packages ask for: complete, pinned, with hashes."""

import re
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

LISTS = ("requirements", "requirements-cluster", "deploy/s3")
each_list = pytest.mark.parametrize("name", LISTS)


def pins(name: str) -> dict[str, list[tuple[str, list[str]]]]:
    """Name of a package -> its versions, of which Python's may differ, with their hashes."""
    text = (ROOT / f"{name}.lock").read_text(encoding="utf-8")
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for block in re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]:
        named = re.match(r"([\w.-]+)==([^\s;\\]+)", block)
        assert named, f"not pinned: {block.splitlines()[0]}"
        hashes = re.findall(r"sha256:[0-9a-f]{64}", block)
        found.setdefault(canonicalize_name(named[1]), []).append((named[2], hashes))
    return found


def wanted(name: str) -> list[Requirement]:
    lines = (ROOT / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@each_list
def test_all_that_is_wanted_is_pinned_within_its_bounds(name: str) -> None:
    known = pins(name)
    for requirement in wanted(name):
        for version, _ in known[canonicalize_name(requirement.name)]:
            assert requirement.specifier.contains(version), f"{requirement}: run scripts/lock"


@each_list
def test_every_pin_has_hashes(name: str) -> None:
    every = [(package, pin) for package, found in pins(name).items() for pin in found]
    assert [package for package, (_, hashes) in every if not hashes] == []


@each_list
def test_what_those_need_is_pinned_too(name: str) -> None:
    known, todo, seen = pins(name), wanted(name), set()
    while todo:
        requirement = todo.pop()
        package = canonicalize_name(requirement.name)
        extras = {"", *requirement.extras}
        if (package, frozenset(extras)) in seen:
            continue
        seen.add((package, frozenset(extras)))
        assert package in known, f"{package} is not locked: run scripts/lock"
        for version, _ in known[package]:
            assert requirement.specifier.contains(version), f"{requirement}: {version} is locked"
        todo += needs_of(package, extras)
    assert len(seen) >= len(wanted(name))


def needs_of(package: str, extras: set[str]) -> list[Requirement]:
    try:
        needs = map(Requirement, distribution(package).requires or [])
    except PackageNotFoundError:
        return []  # not for this platform
    return [
        need
        for need in needs
        if any(need.marker is None or need.marker.evaluate({"extra": e}) for e in extras)
    ]


def test_locks_that_are_installed_together_agree() -> None:
    first, *others = map(pins, LISTS)
    for lock in others:
        for package in set(lock) & set(first):
            assert lock[package] == first[package], f"{package}: run scripts/lock"


def test_the_setup_installs_by_it() -> None:
    text = (ROOT / "scripts/setup").read_text(encoding="utf-8")
    assert "--require-hashes -r requirements.lock" in text
