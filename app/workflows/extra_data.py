"""The `extra_data` that is sent to ComfyUI with a prompt. Pure.

ComfyUI writes every key of `extra_data.extra_pnginfo` into the images that it saves, and passes it
to nodes with the hidden input EXTRA_PNGINFO. ComfyUI's page sends the workflow in UI format there,
so that the image can be opened again. The gateway does the same where it has that file, with the
values of the run: `places` are the paths of these values in the file. It is stored once for all
tasks of a submit; each task has its values in its prompt.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.errors import InvalidInput, InvalidWorkflow
from app.limits.json_types import Json
from app.limits.quoting import quoted_list
from app.workflows.embedded import MAX_TEXT
from app.workflows.formats import Format, describe, is_ui, page_file, picture_info, unwrap
from app.workflows.parameters.roles import InputKey
from app.workflows.saved.write_back import Path, find_places, prompt_of, with_values
from app.workflows.secret_values import (
    Secrets,
    check_secrets,
    put_back,
    taken_out,
    taken_out_of_page,
)

Values = Mapping[InputKey, Any]

OURS = ("client_id", "create_time")  # of the client's own ComfyUI; the gateway sends its own
PREVIEWS = ("default", "auto", "latent2rgb", "taesd", "none")
PAID = ("api_key_comfy_org", "auth_token_comfy_org")  # secrets, which must be texts
TOLD = 5  # inputs that a warning lists
NOT_SENT = (
    "Secrets in the extra_data that the workflow came with are not sent: send them in the "
    "extra_data of the submit."
)


@dataclass(frozen=True, slots=True)
class Along:
    """The extra data for the prompts of a submit as stored, and warnings about it."""

    stored: Json | None = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()


def parted(extra_data: Any) -> tuple[Json, Secrets]:
    """Split the extra_data of a client into what may be stored, and the secrets in it.

    See secret_values.py. Raises InvalidInput.
    """
    if not isinstance(extra_data, dict):
        raise InvalidInput(f"extra_data: an object is wanted; it is {describe(extra_data)}.")
    kept = {name: value for name, value in extra_data.items() if name not in OURS}
    for name in PAID:
        if not isinstance(kept.get(name), str | None):
            raise InvalidInput(f"extra_data.{name}: a string is wanted.")
    if kept.get("preview_method") not in (None, *PREVIEWS):
        raise InvalidInput(
            f"extra_data.preview_method: one of {quoted_list(PREVIEWS)} is wanted.",
            hint='ComfyUI knows no other ones. "default" is as the server was started.',
        )
    info = kept.pop("extra_pnginfo", None)
    if not isinstance(info, dict | None):
        raise InvalidInput("extra_data.extra_pnginfo: an object is wanted.")
    # ComfyUI's job lists fail on other types
    if not isinstance((info or {}).get("workflow"), dict | None):
        raise InvalidInput("extra_data.extra_pnginfo.workflow: an object is wanted.")
    kept, secrets = taken_out(kept)
    info, of_info = _parted_info(info or {})
    found = {**secrets, "extra_pnginfo": of_info} if of_info else secrets
    check_secrets(found)
    return {**kept, "extra_pnginfo": info} if info else kept, found


def remarks_on(extra_data: Json) -> tuple[str, ...]:
    """Return warnings for entries that have no effect."""
    named = quoted_list(name for name in OURS if extra_data.get(name) is not None)
    return (f"Of extra_data, {named} is not sent: the gateway sends its own.",) if named else ()


def _parted_info(info: Json) -> tuple[Json, Secrets]:
    """Split extra_pnginfo like `parted`."""
    others = {name: item for name, item in info.items() if name != "workflow" and item is not None}
    kept, secrets = taken_out(others)
    if info.get("workflow") is None:
        return kept, secrets
    page, of_page = taken_out_of_page(info["workflow"])
    return {**kept, "workflow": page}, {**secrets, "workflow": of_page} if of_page else secrets


def along(
    extra_data: Json,
    workflow: Any,
    prompts: Iterable[tuple[Json, Iterable[tuple[str, str, Any]]]],
    node_types: Mapping[str, Json],
    *,
    embed: bool,
    follows: Collection[tuple[str, str]] = (),
) -> Along:
    """Return what is sent with these prompts, each with the changes to apply to it.

    `extra_data` is the client's. `workflow` is what it submitted, in any format, possibly with the
    file in UI format. `embed`: whether images should contain that file. `follows`: inputs whose
    values were generated from a text of the file, which stays as it is.
    """
    beside, secrets = _parted_info(picture_info_in(workflow))
    found = {**beside, **picture_info(extra_data)}
    page = found.get("workflow") or page_file(workflow)
    found.pop("workflow", None)
    warnings: tuple[str, ...] = ()
    places: list[Any] = []
    if embed and page is not None:
        if len(json.dumps(page)) > MAX_TEXT:
            warnings = (f"Results are without the workflow: it is larger than {MAX_TEXT} bytes.",)
        else:
            found["workflow"] = page
            places, warnings = _places(page, workflow, prompts, node_types, follows)
    if secrets:
        warnings = (*warnings, NOT_SENT)
    extra = {name: value for name, value in extra_data.items() if name != "extra_pnginfo"}
    if found:
        extra["extra_pnginfo"] = found
    return Along({"extra_data": extra, "places": places} if extra else None, warnings)


def picture_info_in(workflow: Any) -> Json:
    """Return extra_pnginfo of the body or history entry that a workflow was submitted in."""
    if isinstance(workflow, dict) and not is_ui(workflow):
        return picture_info(workflow.get("extra_data"))
    if isinstance(workflow, list) and len(workflow) > 3:
        return picture_info(workflow[3])
    return {}


def with_secrets(extra: Json, secrets: Secrets) -> Json:
    """Return the extra_data to send, with secrets; without those of a file that is not sent."""
    info = secrets.get("extra_pnginfo", {})
    if "workflow" in info and "workflow" not in picture_info(extra):
        others = {name: one for name, one in info.items() if name != "workflow"}
        secrets = {**secrets, "extra_pnginfo": others}
    found: Json = put_back(extra, secrets)
    return found


def to_send(stored: Json | None, prompt: Json) -> Json:
    """Return the extra_data to send with this prompt, with its values set in the UI-format file."""
    if stored is None:
        return {}
    extra: Json = dict(stored["extra_data"])
    values = [
        (path, prompt[node_id]["inputs"][name])
        for node_id, name, path in stored["places"]
        if name in prompt.get(node_id, {}).get("inputs", {})
    ]
    if values:
        info = extra["extra_pnginfo"]
        workflow = with_values(info["workflow"], values)
        extra["extra_pnginfo"] = {**info, "workflow": workflow}
    return extra


def _places(
    page: Json,
    workflow: Any,
    prompts: Iterable[tuple[Json, Iterable[tuple[str, str, Any]]]],
    node_types: Mapping[str, Json],
    follows: Collection[tuple[str, str]],
) -> tuple[list[tuple[str, str, Path]], tuple[str, ...]]:
    """Return the paths in the file of the values that differ from the submitted ones."""
    if not is_ui(page):
        return [], ()
    try:
        kind, graph = unwrap(workflow)
        sent = graph if kind is Format.API else prompt_of(page, node_types)
        values = _other_values(sent, prompts)
        values = {key: value for key, value in values.items() if key not in follows}
        if not values:
            return [], ()
        places, missed = find_places(page, values, node_types)
    except InvalidWorkflow:
        return [], ("The workflow in the results does not show the values that ran.",)
    found = [(*key, path) for key, path in places.items()]
    if missed:
        return found, (
            "The workflow in the results does not show the values of "
            f"{quoted_list(missed, TOLD)}: no widget holds them.",
        )
    return found, ()


def _other_values(
    sent: Json, prompts: Iterable[tuple[Json, Iterable[tuple[str, str, Any]]]]
) -> dict[InputKey, Any]:
    """Return, for each input that differs in some prompt, the first differing value."""
    found: dict[InputKey, Any] = {}
    seen: Json | None = None
    for prompt, changes in prompts:
        if prompt is not seen:
            seen = prompt
            for node_id, node in prompt.items():
                before = sent.get(node_id, {}).get("inputs", {})
                if node["inputs"] is not before:
                    for name, value in node["inputs"].items():
                        _note(found, before, (node_id, name), value)
        for node_id, name, value in changes:
            before = sent.get(node_id, {}).get("inputs", {})
            _note(found, before, (node_id, name), value)
    return found


def _note(found: dict[InputKey, Any], before: Json, key: InputKey, value: Any) -> None:
    if key[1] in before and before[key[1]] != value:
        found.setdefault(key, value)
