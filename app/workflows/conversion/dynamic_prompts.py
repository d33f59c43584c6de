"""Dynamic prompts: `a {red|green|{light|dark} blue} car // a note`.

Each group in braces becomes one of its choices, which may hold groups themselves; C-style
comments go; a backslash takes a brace or a bar literally.
"""

import re
from collections.abc import Callable, Sequence

COMMENT = re.compile(r"/\*[\s\S]*?\*/|//.*")
TOKEN = re.compile(r"\\[\s\S]|[{}|]|\\$")
ESCAPED = re.compile(r"\\([{}|])")
MAX_DEPTH = 100  # deeper groups are left as they are


def choose_texts(text: str, choose: Callable[[Sequence[str]], str], depth: int = 0) -> str:
    """The text with its groups chosen."""
    text = COMMENT.sub("", text)
    if depth > MAX_DEPTH:
        return text
    result, position = [], 0
    while (start := _find_brace(text, position)) is not None:
        options, end = _options(text, start + 1)
        result += [text[position:start], choose_texts(choose(options), choose, depth + 1)]
        position = end
    return ESCAPED.sub(r"\1", "".join([*result, text[position:]]))


def _find_brace(text: str, position: int) -> int | None:
    tokens = TOKEN.finditer(text, position)
    return next((token.start() for token in tokens if token.group() == "{"), None)


def _options(text: str, start: int) -> tuple[list[str], int]:
    """The choices of the group that opens before `start`, and where the group ends. One that is
    never closed reaches to the end of the text."""
    options, depth = [], 0
    for token in TOKEN.finditer(text, start):
        mark = token.group()
        if mark == "{":
            depth += 1
        elif mark == "}" and depth:
            depth -= 1
        elif mark in ("}", "|") and not depth:
            options.append(text[start : token.start()])
            start = token.end()
            if mark == "}":
                return options, start
    return [*options, text[start:]], len(text)
