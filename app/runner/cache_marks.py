"""Keeps ComfyUI's cache from handing out files that hold another run's data. Pure.

What ComfyUI writes into a result, the whole prompt and `extra_pnginfo`, is no part of what its
cache goes by, which is the class of a node and the inputs of all that it comes from: an equal
branch of another prompt, of whomever, gets the file of the first one. An input that a node does not
know is ignored by the node, but not by the cache.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from app.limits.json_types import Json
from app.tasks.model import Attempt
from app.workflows.formats import RUN_MARK

_WRITTEN = {"PROMPT", "EXTRA_PNGINFO"}  # hidden inputs, as object_info has them


def marked(prompt: Json, extra: Json, attempts: Sequence[Attempt], node_types: Json) -> Json:
    """The prompt to send, with `extra` as its extra_data: output nodes into whose results the
    prompt or `extra_pnginfo` is written share what is cached with the same data only. If results
    from the cache were gone at an attempt before, all output nodes run."""
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
    """Whether a class asks for what it writes into its results. Newer ComfyUI wraps the word in a
    list."""
    hidden = ((definition or {}).get("input") or {}).get("hidden")
    words = hidden.values() if isinstance(hidden, dict) else ()
    return any(
        str(word[0] if isinstance(word, list) and word else word) in _WRITTEN for word in words
    )


def _digest(prompt: Json, pnginfo: Any) -> str:
    said = json.dumps([prompt, pnginfo], sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
