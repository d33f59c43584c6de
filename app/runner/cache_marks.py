"""Keep ComfyUI's cache from returning files that contain another run's metadata. Pure.

Save nodes write the whole prompt and `extra_pnginfo` into a result, but ComfyUI's cache key covers
only the class of a node and the inputs of the node and its ancestors. An equal branch of another
prompt, even of another user, would therefore get the file of the first one. An extra input that the
node does not declare is ignored by the node but is part of the cache key.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from app.limits.json_types import Json
from app.tasks.model import Attempt
from app.workflows.formats import RUN_MARK

_WRITTEN = {"PROMPT", "EXTRA_PNGINFO"}  # hidden inputs, as object_info names them


def marked(prompt: Json, extra: Json, attempts: Sequence[Attempt], node_types: Json) -> Json:
    """Return `prompt` with marks on its output nodes, to be sent with `extra` as its extra_data.

    Output nodes that write the prompt or `extra_pnginfo` into their results get a mark, so that
    they share cached results only with runs that would write the same data. If cached results were
    missing in an earlier attempt, every output node gets a new mark, so that all of them run.
    """
    again = any(attempt.outcome == "output_unavailable" for attempt in attempts)
    ids = [
        node_id
        for node_id, node in prompt.items()
        if (again or writes_data(node_types.get(node["class_type"])))
        and node_types.get(node["class_type"], {}).get("output_node")
    ]
    if not ids:
        return prompt
    mark = _digest(prompt, extra.get("extra_pnginfo"))
    if again:
        mark += f"-{len(attempts)}"
    return prompt | {
        node_id: {**prompt[node_id], "inputs": {**prompt[node_id]["inputs"], RUN_MARK: mark}}
        for node_id in ids
    }


def writes_data(definition: Json | None) -> bool:
    """Return whether a class has a hidden input that it writes into its results.

    Newer ComfyUI versions wrap the type of a hidden input in a list.
    """
    hidden = ((definition or {}).get("input") or {}).get("hidden")
    words = hidden.values() if isinstance(hidden, dict) else ()
    return any(
        str(word[0] if isinstance(word, list) and word else word) in _WRITTEN for word in words
    )


def _digest(prompt: Json, pnginfo: Any) -> str:
    said = json.dumps([prompt, pnginfo], sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
