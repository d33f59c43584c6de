"""The code blocks of our Markdown files, and whether an answer has the shape that they show."""

import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# Objects whose keys are names, ids or choices of somebody: only their values can be compared.
MAPS = frozenset({"counts", "models", "metadata", "params", "node_errors", "features"})
GRAPH = ".workflow"  # another one is shown than came
MAPS_OF_COMFYUI = frozenset({"system", "system_stats", "node_seconds", "settings", "extra_info"})
# Lists that are empty unless something happens just then.
MOMENTARY = frozenset({"running", "queued", "pending", "canceled", "tasks", "attempts", "devices"})
SHORTENED = re.compile(r"^\s*\([^)]*(shortened|left out)")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, and what stands before and behind it."""

    document: str
    line: int
    language: str
    content: str
    after: str  # the text up to the next block or heading
    answer: "Block | None" = None  # the JSON that follows and shows what the commands answer
    twin: "Block | None" = None  # of a block for PowerShell: the one for bash right before it

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"


def blocks_of(path: Path, root: Path) -> list[Block]:
    """The blocks of a file in their order; JSON right behind commands is their answer."""
    text = path.read_text(encoding="utf-8")
    found = list(re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL))
    ends = [*(match.start() for match in found[1:]), len(text)][: len(found)]
    blocks: list[Block] = []
    for match, end in zip(reversed(found), reversed(ends), strict=True):
        between = text[match.end() : end]
        after = re.split(r"^#+ ", between, maxsplit=1, flags=re.MULTILINE)[0]
        language, content = match[2], textwrap.dedent(match[3])
        follows = blocks[-1] if blocks and not between.strip() else None
        answer = follows if language == "bash" and follows and follows.language == "json" else None
        line = text.count("\n", 0, match.start()) + 1
        name = str(path.relative_to(root))
        block = Block(name, line, language, content, after, answer)
        if follows and (language, follows.language) == ("bash", "powershell"):
            blocks[-1] = replace(follows, twin=block)
        blocks.append(block)
    return blocks[::-1]


def expected_status(block: Block) -> int | None:
    """The status of the problem that a block's answer shows; None for a good answer."""
    if block.answer is None:
        return None
    shown = json.loads(block.answer.content)
    is_problem = isinstance(shown, dict) and {"type", "code", "status"} <= set(shown)
    return shown["status"] if is_problem else None


def problems_in(path: Path) -> Iterator[dict[str, Any]]:
    """The problems (RFC 9457) that a file shows."""
    for block in blocks_of(path, path.parent):
        if block.language == "json":
            shown = json.loads(block.content)
            if isinstance(shown, dict) and {"type", "code", "status"} <= set(shown):
                yield shown


def differences(shown: Any, real: Any, *, shortened: bool, path: str = "") -> list[str]:
    """Where a real answer is not of the shown shape: keys, types, and the codes of problems."""
    if shown is None or real is None or path == GRAPH:
        return []
    if isinstance(shown, dict) and isinstance(real, dict):
        return _of_objects(shown, real, shortened, path)
    if isinstance(shown, list) and isinstance(real, list):
        return _of_lists(shown, real, shortened, path)
    if path.rpartition(".")[2] in ("code", "status", "title") and isinstance(real, str | int):
        same = shown == real or path not in (".code", ".title")
        return [] if same else [f"{path}: {shown!r} is shown, {real!r} came"]
    numbers = isinstance(shown, int | float) and isinstance(real, int | float)
    return [] if numbers or type(shown) is type(real) else [f"{path}: {shown!r} became {real!r}"]


def _of_objects(shown: Any, real: Any, shortened: bool, path: str) -> list[str]:
    name = path.rpartition(".")[2]
    both = shown.keys() & real.keys()
    found = [
        fault
        for key in sorted(both)
        for fault in differences(shown[key], real[key], shortened=shortened, path=f"{path}.{key}")
    ]
    if name in MAPS | MAPS_OF_COMFYUI:
        return found
    found += [f"{path}.{key} is shown, but did not come" for key in shown.keys() - real.keys()]
    if not shortened:
        found += [f"{path}.{key} came, but is not shown" for key in real.keys() - shown.keys()]
    return found


def _of_lists(shown: Any, real: Any, shortened: bool, path: str) -> list[str]:
    if not shown or (not real and path.rpartition(".")[2] in MOMENTARY):
        return []
    if not real:
        return [f"{path}: the list is empty"]
    tried = [differences(shown[0], item, shortened=shortened, path=f"{path}[]") for item in real]
    return min(tried, key=len)
