"""Names near a word that is none, for "did you mean". Pure.

What clients send decides how many words there are, how long they are and how many names they are
held against, and the exact comparison takes the square of their length. So only a few words of a
request are looked at, short ones; names are ranked by what takes linear time, and only the best of
them are compared exactly.
"""

import difflib
import heapq
from collections.abc import Iterable
from itertools import islice, pairwise

from app.workflows.checks.model_files import is_model_file, with_slashes

MOST_WORDS = 5  # of one request
MOST_NAMES = 5000  # that one word is held against
LONGEST = 100  # characters of a word, or of a name
COMPARED = 20  # names that are compared exactly


class Guesses:
    """The guesses that one request may have."""

    def __init__(self, words: int = MOST_WORDS) -> None:
        self._left = words

    def near(
        self, word: str, names: Iterable[object], *, most: int = 1, cutoff: float = 0.6
    ) -> list[str]:
        """The names nearest to the word, the best first; none once the guesses are used up."""
        if self._left <= 0 or len(word) > LONGEST:
            return []
        self._left -= 1
        short = [name for name in map(str, islice(names, MOST_NAMES)) if len(name) <= LONGEST]
        found = _near(word, short, most, cutoff)
        if is_model_file(word):  # people leave out folders, or keep files in others
            by_file = {_file(name): name for name in reversed(short)}
            same = [by_file[name] for name in _near(_file(word), by_file, most, cutoff)]
            found = list(dict.fromkeys([*same, *found]))[:most]
        return found


def _near(word: str, names: Iterable[str], most: int, cutoff: float) -> list[str]:
    wanted = _marks(word)
    best = heapq.nlargest(COMPARED, names, key=lambda name: _likeness(wanted, _marks(name)))
    return difflib.get_close_matches(word, best, n=most, cutoff=cutoff)


def _file(name: str) -> str:
    """A model file without its folders."""
    return with_slashes(name).rpartition("/")[2]


def _marks(word: str) -> frozenset[str]:
    """Its characters, and the pairs of those that stand beside each other."""
    return frozenset((*word, *map("".join, pairwise(word))))


def _likeness(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / (len(one) + len(other) or 1)
