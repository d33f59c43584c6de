"""Prediction whether a server accepts a prompt, from its object_info. Pure.

A wrong refusal is worse than a late one, so what object_info does not determine is left to the
server: files among the choices, which may change; lists filled by its page; and values and link
types that classes of custom nodes validate themselves.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from app.comfyui.inputs import Input, NodeTypes
from app.comfyui.own_rules import ALL, OwnRules, own_rules
from app.comfyui.validation import Looked, PromptRules, Validator, Verdict
from app.errors import InvalidWorkflow
from app.limits.json_types import Json
from app.limits.quoting import LONGEST, cut, quoted, quoted_list
from app.workflows.checks.model_files import as_among
from app.workflows.checks.prompt import MAX_FAULTS
from app.workflows.parameters.suggestions import Guesses
from app.workflows.references.assets import is_reference

MOST_WALKS = 50  # full validations of variations per prompt
# Modules whose rules are known; a class that does not name its module may be a custom node's.
_CORE = re.compile(r"nodes|(comfy_extras|comfy_api_nodes)\..+|custom_nodes\.websocket_image_save")
# Types that no custom node uses in another sense.
_PLAIN: Final = frozenset(
    {
        *("IMAGE", "MASK", "LATENT", "MODEL", "CLIP", "VAE", "CONDITIONING", "CONTROL_NET"),
        *("INT", "FLOAT", "STRING", "BOOLEAN", "AUDIO", "VIDEO", "SIGMAS", "SAMPLER", "GUIDER"),
        *("NOISE", "CLIP_VISION", "CLIP_VISION_OUTPUT", "STYLE_MODEL", "UPSCALE_MODEL"),
    }
)


class Known(PromptRules):
    """ComfyUI's rules, as far as object_info determines them."""

    most = MAX_FAULTS

    def own(self, class_type: str, definition: Json) -> OwnRules:
        return ALL if _is_custom(definition) else own_rules(class_type)

    def leaves(self, found: Input, value: Any) -> bool:
        options, choices = found.options, found.choices or []
        if not choices or any(options.get(name) for name in ("remote", "remote_combo")):
            return True
        if any(name.endswith("_upload") for name in options) or is_reference(value):
            return True  # an asset reference is sent as the name of a staged file
        items = value if isinstance(value, list) else [value]
        sent = [as_among(item, choices) for item in items]  # with the server's path separators
        return sent != items and all(item in choices for item in sent)

    def received(self, definition: Json, outputs: tuple[Any, ...], slot: Any) -> Any:
        if not _is_custom(definition):
            found = outputs[slot]
            return None if isinstance(found, list) else found
        try:
            found = outputs[slot]
        except LookupError:  # some custom nodes have any number of outputs
            return None
        return found if isinstance(found, str) and found in _PLAIN else None


def _is_custom(definition: Json) -> bool:
    return not _CORE.fullmatch(str(definition.get("python_module")))


class Acceptance:
    """Predicts whether servers with these types accept a checked prompt and its variations."""

    def __init__(self, prompt: Json, types: NodeTypes) -> None:
        self._prompt = prompt
        self._types = types
        self._validator = Validator(prompt, self._types, Known())
        self._walks = MOST_WALKS
        self._known: dict[frozenset[tuple[Any, ...]], Acceptance] = {}  # results of variations
        outputs = self._validator.outputs()
        self.verdict: Verdict = self._validator.verdict(outputs)
        # A node of an unknown class may be a valid output.
        self._is_told = bool(outputs) and all(
            node["class_type"] in self._types for node in prompt.values()
        )

    @property
    def takes(self) -> bool:
        """False if the server would certainly refuse the prompt."""
        return bool(self.verdict.outputs) or not self._is_told

    @property
    def faults(self) -> int:
        """The number of nodes with errors."""
        return len(self.verdict.node_errors) + self.verdict.untold

    def of(self, changed: Json, whole: Callable[[], Json]) -> "Acceptance":
        """Return the prediction for a variation that differs in the nodes `changed`.

        `whole` returns the prompt of the variation; it is called only if needed.
        """
        if not self._is_told:
            return self
        differences = frozenset(
            (node_id, found.valid, *(link[0] for _, link in found.links))
            for node_id, node in changed.items()
            if (before := self._validator.nodes.get(node_id)) is not None
            and self._matters(before, found := self._validator.look(node, tell=False))
        )
        if not differences:
            return self
        if differences not in self._known:
            if not self._walks:
                return Acceptance({}, NodeTypes({}))  # the limit is reached: no prediction
            self._walks -= 1
            self._known[differences] = Acceptance(whole(), self._types)
        return self._known[differences]

    def _matters(self, before: Looked, found: Looked) -> bool:
        """Return whether a changed node may change the prediction.

        If the prompt is accepted, a node that is no worse than before cannot change that.
        """
        is_better = found.valid and not before.valid and self.takes
        return found.links != before.links or (found.valid != before.valid and not is_better)

    def refusal(self, **extra: Any) -> InvalidWorkflow:
        """Return the error that lists the invalid nodes, with `extra` members."""
        errors = self.verdict.node_errors
        node_id, node = next(iter(errors.items()))
        first = node["errors"][0]
        details = f" ({cut(first['details'], LONGEST)})" if first["details"] else ""
        more = f" {self.faults - 1} more nodes have faults." if self.faults > 1 else ""
        return InvalidWorkflow(
            f"Node {quoted(node_id)} ({quoted(node['class_type'])}): {first['message']}{details}."
            f"{self._guess(node_id, first)}{more}",
            hint="ComfyUI would refuse the workflow: change what node_errors names.",
            node_errors=errors,
            omitted={"node_errors": self.verdict.untold},
            **extra,
        )

    def _guess(self, node_id: str, error: Json) -> str:
        about = error["extra_info"]
        if error["type"] != "value_not_in_list" or not isinstance(about["received_value"], str):
            return ""
        node = self._prompt[node_id]
        for found in self._types.inputs(node["class_type"], node["inputs"]):
            if found.name == about["input_name"]:
                near = Guesses().near(about["received_value"], found.choices or (), most=3)
                return f" Did you mean {quoted_list(near)}?" if near else ""
        return ""
