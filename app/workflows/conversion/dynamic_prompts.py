"""Dynamic prompts: `a {red|green|{light|dark} blue} car // a note`.

Each group in braces is replaced by one of its options, which may contain groups; C-style comments
are removed; a backslash escapes a brace or a bar.
"""

import re
from collections.abc import Callable, Iterator, Sequence

from app.workflows.conversion.effort import Effort

LINE_COMMENT = re.compile(r"//.*")
COMMENT_START = re.compile(r"//|/\*")
TOKEN = re.compile(r"\\[\s\S]|[{}|]|\\$")
ESCAPED = re.compile(r"\\([{}|])")
MAX_DEPTH = 100  # deeper groups are kept verbatim


def choose_texts(
    text: str,
    choose: Callable[[Sequence[str]], str],
    effort: Effort | None = None,
    depth: int = 0,
) -> str:
    """Return the text with an option chosen for each group. Raises InvalidWorkflow.

    Chosen options are parsed again, which is charged to `effort`: nested groups take quadratic
    time.
    """
    effort = effort or Effort()
    effort.read(text)
    effort.make(1)
    text = _without_comments(text)
    if depth > MAX_DEPTH:
        return text
    result, position = [], 0
    while (start := _find_brace(text, position)) is not None:
        options, end = _options(text, start + 1, effort)
        chosen = choose_texts(choose(options), choose, effort, depth + 1)
        result += [text[position:start], chosen]
        position = end
    return ESCAPED.sub(r"\1", "".join([*result, text[position:]]))


def _without_comments(text: str) -> str:
    return "".join(_pieces(text)) if "//" in text or "/*" in text else text


def _pieces(text: str) -> Iterator[str]:
    """Yield the text between comments; an unterminated `/*` is not a comment."""
    position = 0
    while (found := COMMENT_START.search(text, position)) is not None:
        start = found.start()
        if found.group() == "//":
            end = LINE_COMMENT.match(text, start).end()  # type: ignore[union-attr]
        elif (close := text.find("*/", start + 2)) >= 0:
            end = close + 2
        else:  # so there is no further comment of this kind
            yield LINE_COMMENT.sub("", text[position:])
            return
        yield text[position:start]
        position = end
    yield text[position:]


def _find_brace(text: str, position: int) -> int | None:
    tokens = TOKEN.finditer(text, position)
    return next((token.start() for token in tokens if token.group() == "{"), None)


def _options(text: str, start: int, effort: Effort) -> tuple[list[str], int]:
    """Return the options of the group that opens before `start`, and the end of the group.

    An unterminated group extends to the end of the text.
    """
    options, depth = [], 0
    for token in TOKEN.finditer(text, start):
        mark = token.group()
        effort.spend(2)
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
