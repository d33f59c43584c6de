"""Names of files as clients of ComfyUI's own protocol are told them. Pure.

Servers give their files the same names, so the first part of each `subfolder` is the id of the
task, by which `GET /view` finds the file. Events, history and jobs all name files so.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from app.comfyui.results import model_path
from app.files.staged_names import is_staged, readable

_NO_NAMES: Mapping[str, str] = {}


def named_for_clients(task_id: str, output: Any, names: Mapping[str, str] = _NO_NAMES) -> Any:
    """Return what a node of the task told (its `ui`), or all outputs by node, as told to clients.

    An object with a `filename`, at any depth, is a file. The path of a 3D model under `result`
    begins with the task id, too. `names`: names of the caller's uploads by their names on the
    server; a file that is one of these stays an input of the caller, in the folder `input`.
    """
    return _changed(output, partial(_named, task_id), names)


def with_own_names(value: Any, names: Mapping[str, str]) -> Any:
    """Return JSON of a server with uploads under the names that the caller gave them."""
    return _changed(value, dict, names)


def _changed(value: Any, change: Callable[[dict[str, Any]], Any], names: Mapping[str, str]) -> Any:
    """Return a copy with all objects changed by `change`, which returns a copy of its own."""
    root = [value]
    containers: list[Any] = [root]
    while containers:  # without recursion: servers may nest deeper than Python does
        container = containers.pop()
        for place, item in _items_of(container):
            if isinstance(item, str):
                container[place] = readable(item, names)
            elif isinstance(item, dict | list):
                container[place] = change(item) if isinstance(item, dict) else list(item)
                containers.append(container[place])
    return root[0]


def _items_of(container: Any) -> Iterable[tuple[Any, Any]]:
    return enumerate(container) if isinstance(container, list) else list(container.items())


def _named(task_id: str, value: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of the object, with the task in it where it names files."""
    found = dict(value)
    name, subfolder = value.get("filename"), value.get("subfolder") or ""
    is_upload = value.get("type") == "input" and is_staged(name)
    if isinstance(name, str) and isinstance(subfolder, str) and not is_upload:
        found["subfolder"] = _below(task_id, subfolder)
    if isinstance(models := value.get("result"), list):
        found["result"] = [_below(task_id, one) if model_path(one) else one for one in models]
    return found


def _below(task_id: str, path: str) -> str:
    return f"{task_id}/{path}" if path else task_id
