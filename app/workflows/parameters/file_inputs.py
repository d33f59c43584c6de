"""Which of the values that a client sets go to inputs that name an input file. Pure."""

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
    """The words among `given` (keys or names) that are such inputs -> image, video, ...

    What is no parameter at all is left out: setting it tells what is wrong with it.
    """
    found: dict[str, str] = {}
    for word, (node_id, name) in located(prompt, given, object_info).items():
        if kind := names_file(prompt[node_id], name, object_info):
            found[word] = kind
    return found


def located(
    prompt: Json, given: Iterable[str], object_info: Mapping[str, Json]
) -> dict[str, InputKey]:
    """The inputs that these words mean, without those that mean none."""
    finder = Finder(prompt, object_info)
    found: dict[str, InputKey] = {}
    for word in given:
        with suppress(InvalidParameter):
            found[word] = finder.locate(word)
    return found
