"""Setting parameters of a prompt, by key or by name, strictly. Pure."""

import difflib
import math
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from app.errors import InvalidParameter
from app.quoting import quoted, quoted_list
from app.workflows.checks import links_of
from app.workflows.model_files import is_model_file
from app.workflows.names import names_of
from app.workflows.parameters import Parameter, definition_of, parameter_at
from app.workflows.roles import roles_of

Json = dict[str, Any]

SEED_INPUTS = ("seed", "noise_seed")
MAX_SEED = 2**53 - 1  # what JavaScript can hold exactly; nodes allow up to 2**64 - 1


def apply_params(
    prompt: Json,
    params: Mapping[str, Any],
    object_info: Mapping[str, Json],
    *,
    any_file: bool = False,
    new_seed: Callable[[], int] = lambda: random.randint(0, MAX_SEED),
) -> tuple[Json, Json]:
    """A copy of the prompt with `params` (by key or by name) set, and the values used.

    A seed of -1, given or in the prompt, becomes a random one, which is among the values
    answered. Raises InvalidParameter for all faults at once, each with the nearest valid key,
    name or choice. `any_file`: model files may be named that are not among the choices yet.
    """
    changed = {
        node_id: {**node, "inputs": dict(node["inputs"])} for node_id, node in prompt.items()
    }
    finder = Finder(changed, object_info) if params else None
    used: Json = {}
    faults: list[InvalidParameter] = []
    for given, value in params.items():
        assert finder is not None
        try:
            node_id, name = finder.locate(given)
            parameter = parameter_at((node_id, name), changed[node_id], object_info, given)
            changed[node_id]["inputs"][name] = used[given] = check_value(
                parameter, value, any_file=any_file
            )
        except InvalidParameter as fault:
            faults.append(fault)
    if faults:
        raise _together(faults)
    for parameter, node, name in _open_seeds(changed, object_info):
        given = finder.given(parameter.key, params) if finder else parameter.key
        node["inputs"][name] = used[given] = new_seed()
    return changed, used


class Finder:
    """Finds inputs by key or by friendly name."""

    def __init__(self, prompt: Json, object_info: Mapping[str, Json]) -> None:
        self._prompt = prompt
        self._object_info = object_info
        self._names = {name: key for key, name in names_of(prompt, roles_of(prompt)).items()}

    def locate(self, given: str) -> tuple[str, str]:
        """Raises InvalidParameter, naming the nearest key or name."""
        if given in self._names:
            return self._names[given]
        node_id, _, name = given.partition(".")
        node = self._prompt.get(node_id)
        if node is not None and name:
            self._refuse_link(given, node, name)
            if name in node["inputs"] or definition_of(node, name, self._object_info):
                return node_id, name
        known = [*self._names, *(f"{i}.{n}" for i, n in self._names.values())]
        near = difflib.get_close_matches(given, known, n=1, cutoff=0.4)
        remedy = f" Did you mean {quoted(near[0])}?" if near else ""
        raise InvalidParameter(
            f"There is no parameter {quoted(given)}.{remedy}",
            hint='Use a name such as "prompt", or "<node_id>.<input>", such as "6.text".',
            parameter=given,
        )

    def given(self, key: str, params: Mapping[str, Any]) -> str:
        """The word by which the client named this key, or the key itself."""
        return next((word for word in params if ".".join(self._names.get(word, ())) == key), key)

    def _refuse_link(self, given: str, node: Json, name: str) -> None:
        source = dict(links_of(node["inputs"])).get(name)
        if source is not None:
            raise InvalidParameter(
                f"Parameter {quoted(given)} is fed by node {quoted(source)}; set the value there.",
                parameter=given,
            )


def _together(faults: list[InvalidParameter]) -> InvalidParameter:
    """One error for all."""
    if len(faults) == 1:
        return faults[0]
    return InvalidParameter(
        " ".join(fault.detail for fault in faults),
        hint=next((fault.hint for fault in faults if fault.hint), None),
        errors=[{"field": f.extra["parameter"], "message": f.detail} for f in faults],
    )


def check_value(parameter: Parameter, value: Any, *, any_file: bool = False) -> Any:
    """The value as ComfyUI wants it. Raises InvalidParameter if it does not fit."""
    if _is_random_seed(parameter, value):
        return value
    match parameter.type:
        case "int" | "float":
            return _check_number(parameter, value)
        case "string" if not isinstance(value, str):
            raise _wrong_type(parameter, "a string", value)
        case "boolean" if not isinstance(value, bool):
            raise _wrong_type(parameter, "true or false", value)
        case "choice" if not (any_file and is_model_file(value)):
            _check_choice(parameter, value)
    return value


def _is_random_seed(parameter: Parameter, value: Any) -> bool:
    name = parameter.key.partition(".")[2]
    allows_it = parameter.min is not None and parameter.min < 0
    return name in SEED_INPUTS and value == -1 and value is not True and not allows_it


def _open_seeds(
    prompt: Json, object_info: Mapping[str, Json]
) -> Iterator[tuple[Parameter, Json, str]]:
    for node_id, node in prompt.items():
        for name in SEED_INPUTS:
            if node["inputs"].get(name) == -1:
                parameter = parameter_at((node_id, name), node, object_info)
                if _is_random_seed(parameter, -1):
                    yield parameter, node, name


def _check_number(parameter: Parameter, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(parameter, "a number", value)
    if not math.isfinite(value):
        raise _wrong_type(parameter, "a finite number", value)
    if parameter.type == "int" and value != int(value):
        raise _wrong_type(parameter, "a whole number", value)
    for limit, breaks, word in (
        (parameter.min, parameter.min is not None and value < parameter.min, "at least"),
        (parameter.max, parameter.max is not None and value > parameter.max, "at most"),
    ):
        if breaks:
            raise InvalidParameter(
                f"Parameter {quoted(parameter.label)} must be {word} {limit}; "
                f"{quoted(value)} was given.",
                parameter=parameter.label,
            )
    return int(value) if parameter.type == "int" else value


def _check_choice(parameter: Parameter, value: Any) -> None:
    choices = parameter.choices or []
    if value in choices or (parameter.upload and isinstance(value, str)):
        return
    near = difflib.get_close_matches(str(value), [str(choice) for choice in choices], n=3)
    shown = quoted_list(near or choices[:10])
    more = "" if near or len(choices) <= 10 else " ..."
    what = "the nearest are" if near else "they are"
    raise InvalidParameter(
        f"Parameter {quoted(parameter.label)}: {quoted(value)} is not among its "
        f"{len(choices)} choices; {what} {shown}{more}.",
        parameter=parameter.label,
    )


def _wrong_type(parameter: Parameter, wanted: str, value: Any) -> InvalidParameter:
    return InvalidParameter(
        f"Parameter {quoted(parameter.label)} must be {wanted}; {quoted(value)} "
        f"({type(value).__name__}) was given.",
        parameter=parameter.label,
    )
