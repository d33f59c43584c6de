"""Names similar to an unknown word, for "did you mean". Pure.

Clients control the number of words, their length and the number of names, and the exact comparison
takes quadratic time. So only a few short words per request are considered, names are ranked by a
linear-time measure, and only the best of them are compared exactly.
"""

import difflib
import heapq
from collections.abc import Iterable
from itertools import islice, pairwise

from app.workflows.checks.model_files import is_model_file, with_slashes

MOST_WORDS = 5  # per request
MOST_NAMES = 5000  # compared with one word
LONGEST = 100  # characters of a word or a name
COMPARED = 20  # names that are compared exactly


class Guesses:
    """The suggestions for one request, limited in number."""

    def __init__(self, words: int = MOST_WORDS) -> None:
        self._left = words

    def near(
        self, word: str, names: Iterable[object], *, most: int = 1, cutoff: float = 0.6
    ) -> list[str]:
        """Return the names most similar to the word, best first; none after `words` calls."""
        if self._left <= 0 or len(word) > LONGEST:
            return []
        self._left -= 1
        short = [name for name in map(str, islice(names, MOST_NAMES)) if len(name) <= LONGEST]
        found = _near(word, short, most, cutoff)
        if is_model_file(word):  # users omit folders, or have other ones
            by_file = {_file(name): name for name in reversed(short)}
            same = [by_file[name] for name in _near(_file(word), by_file, most, cutoff)]
            found = list(dict.fromkeys([*same, *found]))[:most]
        return found


def _near(word: str, names: Iterable[str], most: int, cutoff: float) -> list[str]:
    wanted = _marks(word)
    best = heapq.nlargest(COMPARED, names, key=lambda name: _likeness(wanted, _marks(name)))
    return difflib.get_close_matches(word, best, n=most, cutoff=cutoff)


def _file(name: str) -> str:
    """Return the name of a model file without folders."""
    return with_slashes(name).rpartition("/")[2]


def _marks(word: str) -> frozenset[str]:
    """Return the characters of the word and the pairs of adjacent ones."""
    return frozenset((*word, *map("".join, pairwise(word))))


def _likeness(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / (len(one) + len(other) or 1)
