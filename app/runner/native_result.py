"""What is kept of a server's history for a client of ComfyUI's own protocol.

It is as the client may see it: uploads under the client's names, without its secrets.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

from app.comfyui.cleaning import fitting
from app.comfyui.history import HistoryEntry
from app.db.mapping import dump
from app.files.staged_names import is_staged, readable
from app.limits.json_types import Json
from app.runner.outputs import MOST_RESULTS
from app.runner.paid_node_keys import PaidNodeKeys
from app.tasks.model import Task

MOST = 4_000_000  # characters of JSON
# Characters kept of all that names no file, tried in turn if the whole is longer
ROOMS = (500_000, 50_000, 5_000)
MOST_MESSAGES = 100  # ComfyUI sends one for each step of a prompt, of which there are five
ENTRY = 2_000  # characters kept of an entry that names a file
# Keys of names and ids, in which nothing is taken for a secret because it looks like one
NAMES = ("filename", "subfolder", "prompt_id", "node_id")

Wash = Callable[[str, bool], str]  # of a text; the flag says that it is a name or an id


async def result_of(
    task: Task, history: HistoryEntry | None, names: Mapping[str, str], keys: PaidNodeKeys
) -> str | None:
    """Return the JSON of a NativeResult; None for other tasks, and if no history was read.

    `names`: names of uploads by their names on the server. It has MOST characters at most; what is
    longer is shortened, files last.
    """
    if task.native is None or history is None:
        return None

    def wash(text: str, is_name: bool) -> str:
        text = readable(text, names)
        guesses = is_name and keys.extra_data(task) is None
        return text if guesses else keys.hidden(task, text)

    # In a thread: a history may have megabytes
    return await asyncio.to_thread(_text_of, history.raw, wash, secret=task.needs_paid_node_key)


def _text_of(raw: Json, wash: Wash, *, secret: bool) -> str:
    for made in _tries(_parts(raw)):
        try:
            found = made()
            text = dump(found)
            if len(text) <= MOST:
                return dump(_washed(found, wash)) if secret or is_staged(text) else text
        except (RecursionError, ValueError):  # nested too deep, or a number of too many digits
            pass
    return dump(_parts({}))


def _tries(parts: Json) -> Iterator[Callable[[], Json]]:
    yield lambda: parts
    for room in ROOMS:
        yield partial(_shortened, parts, room)


def _parts(raw: Json) -> Json:
    """Return outputs, meta and messages of a history entry, without malformed ones."""
    status = raw.get("status")
    said = status.get("messages") if isinstance(status, dict) else None
    messages = said if isinstance(said, list) else []
    return {
        "outputs": _objects(raw.get("outputs")),
        "meta": _objects(raw.get("meta")),
        "messages": [one for one in messages if isinstance(one, list) and len(one) == 2],
    }


def _objects(value: Any) -> Json:
    found = value if isinstance(value, dict) else {}
    return {name: item for name, item in found.items() if isinstance(item, dict)}


def _shortened(parts: Json, room: int) -> Json:
    """Return the parts with about `room` characters each of what names no file."""
    outputs = dict(islice(parts["outputs"].items(), MOST_RESULTS))
    messages = parts["messages"][:MOST_MESSAGES]
    share = room // max(sum(map(len, outputs.values())), 1)
    return {
        "outputs": {
            node_id: {key: _with_files(value, share) for key, value in output.items()}
            for node_id, output in outputs.items()
        },
        "meta": fitting(parts["meta"], room),
        "messages": [[kind, fitting(data, room // len(messages))] for kind, data in messages],
    }


def _with_files(value: Any, room: int) -> Any:
    if not isinstance(value, list):
        return fitting(value, ENTRY if _names_file(value) else room)
    files = [fitting(item, ENTRY) for item in value if _names_file(item)]
    return [*files, *fitting([item for item in value if not _names_file(item)], room)]


def _names_file(item: Any) -> bool:
    """Return whether it is a file of `/view`, or a picture that a node keeps itself."""
    return isinstance(item, dict) and ("filename" in item or {"source", "id"} <= item.keys())


def _washed(value: Any, wash: Wash, *, is_name: bool = False) -> Any:
    if isinstance(value, str):
        return wash(value, is_name)
    if isinstance(value, list):
        return [_washed(item, wash, is_name=is_name) for item in value]
    if isinstance(value, dict):
        return {
            wash(name, True): _washed(item, wash, is_name=name in NAMES)
            for name, item in value.items()
        }
    return value
