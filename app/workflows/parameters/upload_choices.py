"""The caller's uploads as choices of inputs that name files, as ComfyUI lists its input folder."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.files.kinds import Kind
from app.limits.json_types import Json
from app.workflows.parameters.model import names_file, options_of, takes_upload

# What ComfyUI's loaders list, by the option that declares an upload. "file": of the 3D loaders.
_KINDS = {
    "image": (Kind.IMAGE,),
    "animated_image": (Kind.IMAGE,),
    "video": (Kind.VIDEO,),
    "audio": (Kind.AUDIO, Kind.VIDEO),
    "file": (Kind.MODEL3D,),
}
_WITH_FOLDERS = ("file",)  # loaders that list a folder of the input folder, as "3d/name.glb"
_NOTHING = "none"  # a choice of these that names no file

Uploads = Sequence[tuple[str, Kind]]  # names and kinds


def takes_any_upload(class_type: str, definition: Json) -> bool:
    """Return whether a node type has choices that `with_choices` replaces."""
    return with_choices(class_type, definition, ()) is not definition


def with_choices(class_type: str, definition: Json, uploads: Uploads) -> Json:
    """Return a node type with the uploads in place of the files that servers have.

    In either notation of lists: `[[choices], options]` and `["COMBO", {"options": choices}]`. An
    unchanged node type is returned as it is.
    """
    node: Json = {"class_type": class_type, "inputs": {}}
    sections = _in_sections(node, definition.get("input"), {class_type: definition}, uploads)
    return definition if sections is None else {**definition, "input": sections}


def _in_sections(
    node: Json, sections: Any, known: Mapping[str, Json], uploads: Uploads
) -> Json | None:
    """Return the sections with other choices; None if there are none."""
    if not isinstance(sections, dict):
        return None
    changed: Json = {}
    for section, inputs in sections.items():
        for name, definition in inputs.items() if isinstance(inputs, dict) else ():
            if not isinstance(definition, list) or not definition:
                continue
            # Nested ones belong to a choice, and are not found by their name.
            kind = names_file(node, name, known) or takes_upload(definition)
            other = (
                _chosen(definition, kind, uploads) if kind else _nested(node, definition, uploads)
            )
            if other is not None:
                changed.setdefault(section, dict(inputs))[name] = other
    return {**sections, **changed} if changed else None


def _nested(node: Json, definition: list[Any], uploads: Uploads) -> list[Any] | None:
    """Return the definition of a dynamic combo whose choices have inputs with other choices."""
    options = options_of(definition).get("options")
    if not isinstance(options, list):
        return None
    changed, found = False, []
    for option in options:
        inputs = option.get("inputs") if isinstance(option, dict) else None
        other = _in_sections(node, inputs, {}, uploads) if inputs else None
        changed = changed or other is not None
        found.append(option if other is None else {**option, "inputs": other})
    return (
        [definition[0], {**definition[1], "options": found}, *definition[2:]] if changed else None
    )


def _chosen(definition: list[Any], kind: str, uploads: Uploads) -> list[Any] | None:
    """Return the definition with the uploads of a kind as its choices; None for one without."""
    options = options_of(definition)
    if isinstance(definition[0], list):
        return [_names(definition[0], options, kind, uploads), *definition[1:]]
    if definition[0] == "COMBO" and isinstance(options.get("options"), list):
        names = _names(options["options"], options, kind, uploads)
        return ["COMBO", {**options, "options": names}, *definition[2:]]
    return None


def _names(known: Iterable[Any], options: Json, kind: str, uploads: Uploads) -> list[str]:
    kept = [_NOTHING] if _NOTHING in known else []
    if options.get("image_folder", "input") != "input":  # a server's outputs, of everybody
        return kept
    wanted = _KINDS.get(kind)
    names = (
        name
        for name, is_ in uploads
        if (wanted is None or is_ in wanted) and (kind in _WITH_FOLDERS or "/" not in name)
    )
    return kept + sorted(names)
