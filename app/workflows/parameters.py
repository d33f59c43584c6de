"""The editable inputs of a prompt: list them with types and limits, set them by key. Pure.

A parameter's key is "<node_id>.<input>". Types, limits and choices come from ComfyUI's
`object_info` where it is at hand; without it a value must at least keep the type it has.
"""

import copy
import difflib
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.errors import InvalidParameter
from app.workflows.checks import links_of

Json = dict[str, Any]
Type = Literal["int", "float", "string", "boolean", "choice", "any"]

_TYPES: dict[str, Type] = {
    "INT": "int",
    "FLOAT": "float",
    "STRING": "string",
    "BOOLEAN": "boolean",
}
SEED_INPUTS = ("seed", "noise_seed")
MAX_SEED = 2**53 - 1  # what JavaScript can hold exactly; nodes allow up to 2**64 - 1


@dataclass(frozen=True, slots=True)
class Parameter:
    """An editable input. Limits are inclusive; `choices` only for type "choice"."""

    key: str
    type: Type
    value: Any
    class_type: str
    title: str | None = None
    default: Any = None
    min: float | None = None
    max: float | None = None
    step: float | None = None
    choices: list[Any] | None = None
    multiline: bool = False
    upload: bool = False  # the value names an uploaded file, so it need not be among the choices


def list_parameters(prompt: Json, object_info: Mapping[str, Json]) -> list[Parameter]:
    """The parameters of a checked prompt: every input that is a value and not a link."""
    found = []
    for node_id, node in prompt.items():
        linked = {name for name, _ in links_of(node["inputs"])}
        for name in node["inputs"]:
            if name not in linked:
                found.append(_parameter(node_id, node, name, object_info))
    return found


def apply_params(
    prompt: Json,
    params: Mapping[str, Any],
    object_info: Mapping[str, Json],
    *,
    new_seed: Callable[[], int] = lambda: random.randint(0, MAX_SEED),
) -> tuple[Json, Json]:
    """A copy of the prompt with `params` set, and the values used.

    A seed of -1, given or in the prompt, becomes a random one, which is among the values
    answered. Raises InvalidParameter naming the key, and the nearest valid one if it is unknown.
    """
    changed = copy.deepcopy(prompt)
    used: Json = {}
    for key, value in params.items():
        node_id, name = _locate(key, changed, object_info)
        node = changed[node_id]
        parameter = _parameter(node_id, node, name, object_info)
        node["inputs"][name] = used[key] = check_value(parameter, value)
    for key, node, name in _open_seeds(changed, object_info):
        node["inputs"][name] = used[key] = new_seed()
    return changed, used


def check_value(parameter: Parameter, value: Any) -> Any:
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
        case "choice":
            _check_choice(parameter, value)
    return value


def definition_of(class_type: str, name: str, object_info: Mapping[str, Json]) -> list[Any] | None:
    """An input's `[type, options]` in object_info, or None if it is not known there."""
    inputs = object_info.get(class_type, {}).get("input", {})
    for section in ("required", "optional"):
        definition = inputs.get(section, {}).get(name)
        if isinstance(definition, list) and definition:
            return definition
    return None


def takes_upload(definition: list[Any] | None) -> bool:
    """True for an input that names a file in the server's input folder."""
    options = definition[1] if definition and len(definition) > 1 else None
    if not isinstance(options, dict):
        return False
    return any(str(option).endswith("_upload") and options[option] for option in options)


def _parameter(node_id: str, node: Json, name: str, object_info: Mapping[str, Json]) -> Parameter:
    definition = definition_of(node["class_type"], name, object_info) or [None]
    options = definition[1] if len(definition) > 1 and isinstance(definition[1], dict) else {}
    kind = definition[0]
    choices = kind if isinstance(kind, list) else options.get("options")
    value = node["inputs"].get(name)
    if isinstance(choices, list):
        parameter_type: Type = "choice"
    else:
        parameter_type = _TYPES.get(str(kind)) or (_type_of(value) if kind is None else "any")
        choices = None
    return Parameter(
        key=f"{node_id}.{name}",
        type=parameter_type,
        value=value,
        class_type=node["class_type"],
        title=_title(node),
        default=options.get("default"),
        min=options.get("min"),
        max=options.get("max"),
        step=options.get("step"),
        choices=choices,
        multiline=bool(options.get("multiline")),
        upload=takes_upload(definition),
    )


def _title(node: Json) -> str | None:
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    return title if isinstance(title, str) else None


def _type_of(value: Any) -> Type:
    for kind, name in ((bool, "boolean"), (int, "int"), (float, "float"), (str, "string")):
        if isinstance(value, kind):
            # An int in a file may stand for a float: 8 for 8.0. So only "number" can be told.
            return "float" if name == "int" else name  # type: ignore[return-value]
    return "any"


def _locate(key: str, prompt: Json, object_info: Mapping[str, Json]) -> tuple[str, str]:
    node_id, _, name = key.partition(".")
    node = prompt.get(node_id)
    if node is not None and name:
        for linked, target in links_of(node["inputs"]):
            if linked == name:
                raise InvalidParameter(
                    f"Parameter {key!r} is fed by node {target!r}; set the value there.",
                    parameter=key,
                )
        known = definition_of(node["class_type"], name, object_info)
        if name in node["inputs"] or known:
            return node_id, name
    keys = [f"{i}.{n}" for i, node in prompt.items() for n in node["inputs"]]
    near = difflib.get_close_matches(key, keys, n=1, cutoff=0.4)
    remedy = f" Did you mean {near[0]!r}?" if near else ""
    raise InvalidParameter(
        f"There is no parameter {key!r}.{remedy}",
        hint='Keys have the form "<node_id>.<input>", such as "6.text".',
        parameter=key,
    )


def _is_random_seed(parameter: Parameter, value: Any) -> bool:
    name = parameter.key.partition(".")[2]
    allows_it = parameter.min is not None and parameter.min < 0
    return name in SEED_INPUTS and value == -1 and value is not True and not allows_it


def _open_seeds(prompt: Json, object_info: Mapping[str, Json]) -> Iterator[tuple[str, Json, str]]:
    for node_id, node in prompt.items():
        for name in SEED_INPUTS:
            if node["inputs"].get(name) == -1:
                parameter = _parameter(node_id, node, name, object_info)
                if _is_random_seed(parameter, -1):
                    yield parameter.key, node, name


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
                f"Parameter {parameter.key!r} must be {word} {limit}; {value} was given.",
                parameter=parameter.key,
            )
    return int(value) if parameter.type == "int" else value


def _check_choice(parameter: Parameter, value: Any) -> None:
    choices = parameter.choices or []
    if value in choices or (parameter.upload and isinstance(value, str)):
        return
    near = difflib.get_close_matches(str(value), [str(choice) for choice in choices], n=3)
    shown = ", ".join(repr(choice) for choice in (near or choices[:10]))
    more = "" if near or len(choices) <= 10 else " ..."
    what = "the nearest are" if near else "they are"
    raise InvalidParameter(
        f"Parameter {parameter.key!r}: {value!r} is not among its {len(choices)} choices; "
        f"{what} {shown}{more}.",
        parameter=parameter.key,
    )


def _wrong_type(parameter: Parameter, wanted: str, value: Any) -> InvalidParameter:
    return InvalidParameter(
        f"Parameter {parameter.key!r} must be {wanted}; {str(value)[:80]!r} "
        f"({type(value).__name__}) was given.",
        parameter=parameter.key,
    )
