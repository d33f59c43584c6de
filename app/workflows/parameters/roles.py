"""Roles of inputs, determined by following links, without markers. Pure.

A text is the prompt if it reaches the positive input of a sampler through any chain of nodes, and
the negative prompt if it reaches only the negative input. A number in a primitive node has the role
of the input that it feeds. All other roles follow from input names.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from app.limits.json_types import Json
from app.workflows.checks.prompt import links_of

InputKey = tuple[str, str]  # node id, input name

# In the order of importance to users.
ORDER = (
    "prompt",
    "negative_prompt",
    "seed",
    "width",
    "height",
    "length",
    "batch_size",
    "steps",
    "cfg",
    "guidance",
    "denoise",
    "sampler",
    "scheduler",
    "image",
    "mask",
    "video",
    "audio",
    "model",
    "lora",
    "lora_strength",
    "vae",
    "text_encoder",
    "fps",
    "filename_prefix",
)

BY_NAME = {
    "prompt": "prompt",
    "positive_prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "seed": "seed",
    "noise_seed": "seed",
    "width": "width",
    "height": "height",
    "length": "length",
    "num_frames": "length",
    "batch_size": "batch_size",
    "steps": "steps",
    "cfg": "cfg",
    "guidance": "guidance",
    "denoise": "denoise",
    "sampler_name": "sampler",
    "scheduler": "scheduler",
    "image": "image",
    "mask": "mask",
    "video": "video",
    "audio": "audio",
    "ckpt_name": "model",
    "unet_name": "model",
    "lora_name": "lora",
    "strength_model": "lora_strength",
    "vae_name": "vae",
    "clip_name": "text_encoder",
    "fps": "fps",
    "frame_rate": "fps",
    "filename_prefix": "filename_prefix",
}

TEXT_INPUTS = frozenset(
    {
        *("text", "prompt", "text_g", "text_l", "clip_l", "clip_g", "t5xxl", "llama"),
        *("caption", "tags", "lyrics", "string", "value", "default_value"),
    }
)
NUMBERS = frozenset(
    {
        *("seed", "width", "height", "length", "batch_size", "steps", "cfg", "guidance"),
        *("denoise", "lora_strength", "fps"),
    }
)
POSITIVE = ("positive", "conditioning", "cond1")
NEGATIVE = ("negative", "cond2")
SECOND_BEST = ("string", "clip_l", "text_l")  # text processing nodes, and short second encoders
VALUE_INPUTS = ("value", "default_value", "string", "text", "int", "float", "number")


def roles_of(prompt: Mapping[str, Json]) -> dict[InputKey, str]:
    """Return the role of each literal input that has one, most important first."""
    graph = _Graph(prompt)
    found: dict[InputKey, str] = {}
    for key in graph.literals():
        role = graph.role_of(key)
        if role is not None:
            found[key] = role
    first = {key: place for place, key in enumerate(found)}
    return dict(
        sorted(
            found.items(),
            key=lambda item: (ORDER.index(item[1]), graph.rank(*item), first[item[0]]),
        )
    )


class _Graph:
    """The prompt with its links in both directions, and the nodes upstream of samplers."""

    def __init__(self, prompt: Mapping[str, Json]) -> None:
        self._prompt = prompt
        self._links = {node_id: dict(links_of(node["inputs"])) for node_id, node in prompt.items()}
        self._feeds: dict[str, list[InputKey]] = {}  # node -> the inputs that its outputs feed
        for node_id, links in self._links.items():
            for name, source in links.items():
                self._feeds.setdefault(source, []).append((node_id, name))
        samplers = [i for i, links in self._links.items() if _is_sampler(links)]
        self._positive = self._upstream(samplers, POSITIVE, NEGATIVE)
        self._negative = self._upstream(samplers, NEGATIVE, POSITIVE)
        self._latents = self._upstream(list(self._links), ("latent_image",), ("model",))
        self._downstream = self._roles_downstream()

    def literals(self) -> Iterator[InputKey]:
        for node_id, node in self._prompt.items():
            for name in node["inputs"]:
                if name not in self._links[node_id]:
                    yield node_id, name

    def role_of(self, key: InputKey) -> str | None:
        node_id, name = key
        value = self._prompt[node_id]["inputs"][name]
        if isinstance(value, str) and name in TEXT_INPUTS and (role := self._side(node_id)):
            return role
        if name in VALUE_INPUTS and self._is_primitive(node_id):
            return _fitting(self._downstream.get(node_id), value)
        return _fitting(_role_named(name), value)

    def rank(self, key: InputKey, role: str) -> int:
        """Return the order among inputs of the same role, lowest first.

        The size of the sampled latent precedes other sizes, and the text of the positive input
        precedes inputs that are merely called prompt.
        """
        node_id, name = key
        if role in ("width", "height", "length", "batch_size"):
            return 0 if node_id in self._latents else 1
        if role in ("prompt", "negative_prompt"):
            apart = 0 if node_id in self._positive or node_id in self._negative else 2
            return apart + (name in SECOND_BEST)
        return 0

    def _side(self, node_id: str) -> str | None:
        if node_id in self._positive:
            return "prompt"
        return "negative_prompt" if node_id in self._negative else None

    def _is_primitive(self, node_id: str) -> bool:
        return not self._links[node_id] and node_id in self._feeds

    def _roles_downstream(self) -> dict[str, str]:
        """Return, by node, the role of the nearest input that its value reaches.

        Among equally distant inputs the first link counts. Computed for all nodes at once, from the
        inputs backwards, so that each link is visited twice.
        """
        found: dict[str, str] = {}
        for source, fed in self._feeds.items():
            if role := next((role for _, name in fed if (role := _role_named(name))), None):
                found[source] = role
        level = dict(found)
        while level:
            sources = {source for node in level for source in self._links.get(node, {}).values()}
            level = {
                source: next(level[node] for node, _ in self._feeds[source] if node in level)
                for source in sources - found.keys()
            }
            found.update(level)
        return found

    def _upstream(
        self, nodes: list[str], side: tuple[str, ...], other_side: tuple[str, ...]
    ) -> set[str]:
        """Return all nodes upstream of the nodes' inputs of one side.

        A node with inputs of both sides is assumed to pass them on separately.
        """
        seen: set[str] = set()
        stack = [self._links[i][name] for i in nodes for name in side if name in self._links[i]]
        while stack:
            node_id = stack.pop()
            if node_id in seen or node_id not in self._links:
                continue
            seen.add(node_id)
            links = self._links[node_id]
            if _is_sampler(links) and "latent_image" in links:
                continue  # an earlier pass, whose texts belong to its own sides
            has_both = any(name in links for name in side) and any(n in links for n in other_side)
            stack.extend(
                source for name, source in links.items() if not (has_both and name in other_side)
            )
        return seen


def _role_named(name: str) -> str | None:
    """Return the role for an input name, also for a seed of a dynamic combo (`mode.seed`)."""
    last = name.rpartition(".")[2]
    return BY_NAME.get(name) or (BY_NAME[last] if last in ("seed", "noise_seed") else None)


def _fitting(role: str | None, value: Any) -> str | None:
    """Return the role if the value has a suitable type: a boolean cannot be a width."""
    if role in NUMBERS:
        return role if isinstance(value, int | float) and not isinstance(value, bool) else None
    return role if isinstance(value, str) else None


def _is_sampler(links: Mapping[str, str]) -> bool:
    """Return whether the node is a sampler or guider: it has a model and conditioning."""
    return "model" in links and any(name in links for name in (*POSITIVE, *NEGATIVE))
