"""Lines of the page's JavaScript can be read: biome breaks code, but neither texts nor comments."""

from pathlib import Path

STATIC = Path(__file__).parents[2] / "static"
LONGEST = 120


def test_no_line_is_too_long() -> None:
    files = [path for path in STATIC.rglob("*.js") if "vendor" not in path.parts]
    assert len(files) > 100
    for path in files:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            assert len(line.expandtabs(2)) <= LONGEST, f"{path}:{number}"
