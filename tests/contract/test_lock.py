"""requirements.lock is what requirements.txt asks for: complete, pinned, with hashes."""

import re
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT


def pins() -> dict[str, tuple[str, list[str]]]:
    """Name -> version and hashes."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    found = {}
    for block in blocks:
        named = re.match(r"([\w.-]+)==([^\s;\\]+)", block)
        assert named, f"not pinned: {block.splitlines()[0]}"
        found[canonicalize_name(named[1])] = (named[2], re.findall(r"sha256:[0-9a-f]{64}", block))
    return found


def wanted() -> list[Requirement]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_all_that_is_wanted_is_pinned_within_its_bounds() -> None:
    known = pins()
    for requirement in wanted():
        version, _ = known[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}: run scripts/lock"


def test_every_pin_has_hashes() -> None:
    assert [name for name, (_, hashes) in pins().items() if not hashes] == []


def test_what_those_need_is_pinned_too() -> None:
    known, todo, seen = pins(), wanted(), set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        extras = {"", *requirement.extras}
        if (name, frozenset(extras)) in seen:
            continue
        seen.add((name, frozenset(extras)))
        assert name in known, f"{name} is not locked: run scripts/lock"
        version, _ = known[name]
        assert requirement.specifier.contains(version), f"{requirement}: {version} is locked"
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:
            continue  # not for this platform
        for text in needs:
            need = Requirement(text)
            if any(need.marker is None or need.marker.evaluate({"extra": e}) for e in extras):
                todo.append(need)
    assert len(seen) > 20


def test_the_setup_installs_by_it() -> None:
    text = (ROOT / "scripts/setup").read_text(encoding="utf-8")
    assert "--require-hashes -r requirements.lock" in text
