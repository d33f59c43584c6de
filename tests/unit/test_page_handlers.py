"""An `on...` handler that answers `false` undoes the click or the key: none of the page's may.

`el` of page/dom.js drops what its handlers answer; those that are set on a node by name are looked
at here.
"""

import re
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "static" / "js"
SET = re.compile(r"\.on([a-z]+) = (?:\([^=;]*?\)|\w+) => (?![{\s])(.+)")
NOTHING_TO_UNDO = {"blur", "change", "close", "error", "focus", "input", "load", "message", "open"}
INNERMOST = re.compile(r"\([^()]*\)")
# Nothing, or what a call answers.
HARMLESS = re.compile(r"void .*|[\w.#?]+(?:\(\)[\w.#?]*)+")


def may_undo(line: str) -> bool:
    """Whether it sets a handler whose answer is a value by chance: `a && b`, `(a = b)`."""
    found = SET.search(line)
    if found is None or found[1] in NOTHING_TO_UNDO:
        return False
    answer, nested = found[2].rstrip().removesuffix(";"), 1
    while nested:
        answer, nested = re.subn(INNERMOST, "\0", answer)
    return HARMLESS.fullmatch(answer.replace("\0", "()")) is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dialog.onclick = (event) => event.target === dialog && isOutside(dialog, event);", True),
        ("node.onpointermove = (event) => event.buttons && this.#stroke(event);", True),
        ("node.onclick = () => (this.isOpen = false);", True),
        ("node.onclick = () => !go(1) || go(2);", True),
        ('  part("run").onkeydown = ({ key, target }) => key === "Enter";', True),
        ("node.onclick = () => void (isRandom(input.value) && put(last));", False),
        ("this.#part(`tab-${each}`).onclick = () => this.#act(() => a && b);", False),
        ('part("code").onclick = () => this.#code().catch(toast);', False),
        ("node.onclick = () => {", False),
        ("node.onchange = () => this.value && this.#shape(this.value);", False),
        ('part("save").onclick = dialogs("saveChanges");', False),
    ],
)
def test_what_may_undo(line: str, expected: bool) -> None:
    assert may_undo(line) == expected


def test_no_handler_undoes_what_was_done() -> None:
    lines = [
        (path.name, line.strip())
        for path in SCRIPTS.rglob("*.js")
        for line in re.sub(r"=>\s+", "=> ", path.read_text(encoding="utf-8")).splitlines()
    ]
    assert sum(SET.search(line) is not None for _, line in lines) > 20
    assert [each for each in lines if may_undo(each[1])] == []
