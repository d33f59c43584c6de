"""Detects which of the values that a client sets belong to file inputs. Pure."""

from collections.abc import Iterable, Mapping
from contextlib import suppress

from app.errors import InvalidParameter
from app.limits.json_types import Json
from app.workflows.parameters.find import Finder
from app.workflows.parameters.model import names_file
from app.workflows.parameters.roles import InputKey


def file_inputs(
    prompt: Json, given: Iterable[str], object_info: Mapping[str, Json]
) -> dict[str, str]:
    """Return the kind (image, video, ...) for the words in `given` (keys or names) of file inputs.

    Unknown words are skipped; setting them raises the error.
    """
    found: dict[str, str] = {}
    for word, (node_id, name) in located(prompt, given, object_info).items():
        if kind := names_file(prompt[node_id], name, object_info):
            found[word] = kind
    return found


def located(
    prompt: Json, given: Iterable[str], object_info: Mapping[str, Json]
) -> dict[str, InputKey]:
    """Return the inputs for these words, without unknown ones."""
    finder = Finder(prompt, object_info)
    found: dict[str, InputKey] = {}
    for word in given:
        with suppress(InvalidParameter):
            found[word] = finder.locate(word)
    return found
