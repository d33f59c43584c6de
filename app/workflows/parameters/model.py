"""The parameters of a prompt, with types, limits and names. Pure.

A parameter's key is "<node_id>.<input>"; most have a name, too. Types, limits and choices come from
ComfyUI's `object_info`; without it the type is guessed from the value.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.errors import InvalidWorkflow
from app.limits.json_types import Json
from app.workflows.checks.model_files import as_among
from app.workflows.checks.prompt import links_of
from app.workflows.parameters.names import names_of, title_of
from app.workflows.parameters.roles import roles_of

WRAPPED = "__value__"  # ComfyUI's notation for a list that is no link: {"__value__": [...]}
MAX_NESTING = 8  # nesting depth of dynamic combos
MAX_LISTED = 5000  # parameters; the largest official workflow has 220
MAX_CHOICES = 300_000  # total of all listed parameters
Type = Literal["int", "float", "string", "boolean", "choice", "any"]

_TYPES: dict[str, Type] = {
    "INT": "int",
    "FLOAT": "float",
    "STRING": "string",
    "BOOLEAN": "boolean",
}
_CHOICE_BESIDE = re.compile(r"option\d+")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter. Limits are inclusive; `choices` is set for type "choice" only."""

    key: str
    node_id: str  # the two parts of the key, either of which may contain dots
    input: str
    name: str | None  # unique in the workflow
    role: str | None  # its function: prompt, seed, width, ...
    type: Type
    value: Any
    class_type: str
    title: str | None = None
    default: Any = None
    min: float | None = None
    max: float | None = None
    step: float | None = None
    choices: list[Any] | None = None
    multiselect: bool = False  # a list of choices, which is sent wrapped
    multiline: bool = False
    # Image, video, ...: names an uploaded file, which need not be a choice
    upload: str | None = None
    tooltip: str | None = None
    known: bool = True  # False: the type is unknown and was guessed from the value

    @property
    def label(self) -> str:
        """The word for messages."""
        return self.name or self.key


def list_parameters(prompt: Json, object_info: Mapping[str, Json]) -> list[Parameter]:
    """Return the parameters of a checked prompt: all inputs that are not links.

    The most important ones come first, the rest follows node by node. Raises InvalidWorkflow if
    there are too many to list, as each comes with its choices and title.
    """
    roles = roles_of(prompt)
    names = names_of(prompt, roles)
    links = {node_id: dict(links_of(node["inputs"])) for node_id, node in prompt.items()}
    keys = [(node_id, name) for node_id, node in prompt.items() for name in node["inputs"]]
    rest = [key for key in keys if key not in roles and key[1] not in links[key[0]]]
    found, choices = [], 0
    if len(roles) + len(rest) > MAX_LISTED:
        raise _too_many(f"{len(roles) + len(rest)} parameters; {MAX_LISTED}")
    for key in (*roles, *rest):
        parameter = parameter_at(key, prompt[key[0]], object_info, names.get(key), roles.get(key))
        choices += len(parameter.choices or ())
        if choices > MAX_CHOICES:
            raise _too_many(f"more than {MAX_CHOICES} choices; so many")
        found.append(parameter)
    return found


def _too_many(what: str) -> InvalidWorkflow:
    return InvalidWorkflow(
        f"The workflow has {what} can be listed.",
        hint="It can be run: a submit sets parameters by their keys, as in 6.text.",
    )


def definition_of(node: Json, name: str, object_info: Mapping[str, Json]) -> list[Any] | None:
    """Return an input's `[type, options]` in object_info, or None if it is unknown.

    "model.size" is an input that belongs to a choice of the dynamic combo "model".
    """
    inputs = object_info.get(node["class_type"], {}).get("input", {})
    definition = _among(inputs, name)
    if definition is None and 0 < name.count(".") <= MAX_NESTING:
        combo, _, rest = name.rpartition(".")
        parent = definition_of(node, combo, object_info)
        chosen = node["inputs"].get(combo)
        for option in options_of(parent).get("options") or ():
            if isinstance(option, dict) and option.get("key") == chosen:
                return _among(option.get("inputs") or {}, rest)
    return definition


def _among(inputs: Any, name: str) -> list[Any] | None:
    for section in ("required", "optional"):
        definition = (inputs.get(section) or {}).get(name) if isinstance(inputs, dict) else None
        if isinstance(definition, list) and definition:
            return definition
    return None


def options_of(definition: list[Any] | None) -> Json:
    has_them = definition and len(definition) > 1 and isinstance(definition[1], dict)
    return definition[1] if definition and has_them else {}


def takes_upload(definition: list[Any] | None) -> str | None:
    """Return the kind (image, video, ...) of a file input with uploads, or None."""
    options = options_of(definition)
    kinds = [name for name in options if str(name).endswith("_upload") and options[name]]
    return str(kinds[0]).removesuffix("_upload") if kinds else None


def names_file(node: Json, name: str, object_info: Mapping[str, Json]) -> str | None:
    """Return the kind (image, video, ...) of a file input, by its definition or its name."""
    if kind := takes_upload(definition_of(node, name, object_info)):
        return kind
    # Some loaders list the input folder without declaring uploads.
    is_loader = node["class_type"].startswith("Load") and name in ("image", "audio", "video")
    return name if is_loader else None


def parameter_at(
    key: tuple[str, str],
    node: Json,
    object_info: Mapping[str, Json],
    name: str | None = None,
    role: str | None = None,
) -> Parameter:
    """Return the parameter at (node id, input), whether or not the node has a value for it."""
    node_id, input_name = key
    definition = definition_of(node, input_name, object_info)
    options = options_of(definition)
    value = node["inputs"].get(input_name)
    multiselect = _takes_several(definition, value)
    choices = choices_of(definition)
    if choices == []:
        choices = _choices_beside(node)
    return Parameter(
        key=f"{node_id}.{input_name}",
        node_id=node_id,
        input=input_name,
        name=name,
        role=role,
        type=_type(definition, choices, value),
        value=_as_chosen(value, choices or (), multiselect),
        class_type=node["class_type"],
        title=title_of(node),
        default=options.get("default"),
        min=_limit(options, "min"),
        max=_limit(options, "max"),
        step=_limit(options, "step"),
        choices=choices,
        multiselect=multiselect,
        multiline=bool(options.get("multiline")),
        upload=takes_upload(definition),
        tooltip=tooltip if isinstance(tooltip := options.get("tooltip"), str) else None,
        known=definition is not None,
    )


def _limit(options: Json, name: str) -> float | None:
    """Return a limit; object_info of custom nodes may contain other types than numbers."""
    value = options.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def choices_of(definition: list[Any] | None) -> list[Any] | None:
    """Return the choices of a combo; None for other inputs and for a combo that lists none."""
    if definition is None:
        return None
    choices = definition[0] if isinstance(definition[0], list) else None
    if choices is None and isinstance(options_of(definition).get("options"), list):
        choices = [
            option.get("key") if isinstance(option, dict) else option
            for option in options_of(definition)["options"]
        ]
    return choices


def _choices_beside(node: Json) -> list[Any]:
    """Return the choices of a CustomCombo: the texts in its inputs option1, option2 and so on.

    Empty if a link may provide more of them.
    """
    inputs = node["inputs"]
    found = [inputs[name] for name in inputs if _CHOICE_BESIDE.fullmatch(name)]
    return [c for c in found if c] if all(isinstance(c, str) for c in found) else []


def _takes_several(definition: list[Any] | None, value: Any) -> bool:
    if definition is None:
        return isinstance(value, dict) and isinstance(value.get(WRAPPED), list)
    options = options_of(definition)
    is_combo = isinstance(definition[0], list) or definition[0] == "COMBO"
    return is_combo and bool(options.get("multiselect") or options.get("multi_select"))


def _as_chosen(value: Any, choices: Sequence[Any], multiselect: bool) -> Any:
    """Return the value in the notation of the choices: unwrapped, with the server's separators."""
    if not multiselect:
        return as_among(value, choices)
    chosen = unwrapped(value)
    return [as_among(one, choices) for one in chosen] if isinstance(chosen, list) else chosen


def unwrapped(value: Any) -> Any:
    """Return the list in ComfyUI's wrapping, other values unchanged."""
    return value[WRAPPED] if isinstance(value, dict) and WRAPPED in value else value


def _type(definition: list[Any] | None, choices: list[Any] | None, value: Any) -> Type:
    if choices is not None:
        return "choice"
    return _TYPES.get(str(definition[0]), "any") if definition else _type_of(value)


def _type_of(value: Any) -> Type:
    for kind, name in ((bool, "boolean"), (int, "int"), (float, "float"), (str, "string")):
        if isinstance(value, kind):
            # An int in a file may stand for a float (8 for 8.0), so only "number" is certain.
            return "float" if name == "int" else name  # type: ignore[return-value]
    return "any"
