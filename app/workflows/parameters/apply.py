"""Sets parameters of a prompt by key or name, with strict validation. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from app.errors import InvalidParameter
from app.limits.json_types import Json
from app.limits.quoting import quoted
from app.workflows.checks.file_names import check_name
from app.workflows.checks.prompt import MAX_FAULTS
from app.workflows.parameters.dynamic_text import DynamicTexts
from app.workflows.parameters.find import Finder
from app.workflows.parameters.model import names_file, parameter_at, unwrapped
from app.workflows.parameters.roles import InputKey
from app.workflows.parameters.seeds import Draw, Seeds, draw, is_random, left_open, random_in
from app.workflows.parameters.suggestions import Guesses
from app.workflows.parameters.values import check_value, from_text

NOTHING_TO_RENEW = (
    "randomize: there is no seed to draw anew. In UI format it is for those that the file marks "
    'with control_after_generate "randomize"; a seed of -1 in params is random in any file.'
)
MAX_PARAMS = 1000  # per task

_OPTION = re.compile(r"\boption\d+")
# Inputs whose seeds are drawn anew, in lists that share a seed.
Renewed = Iterable[Iterable[InputKey]] | Literal["all"]
Change = tuple[str, str, Any]  # node id, input, new value


def apply_params(
    prompt: Json,
    params: Mapping[str, Any],
    object_info: Mapping[str, Json],
    *,
    any_file: bool = False,
    new_seed: Draw = draw,
) -> tuple[Json, Json]:
    """Return a copy of the prompt with `params` (by key or name) set, and the values used."""
    setter = Setter(prompt, object_info, any_file=any_file, new_seed=new_seed)
    changes, used = setter.changes(params)
    return with_changes(prompt, changes), used


def with_changes(prompt: Json, changes: Iterable[Change]) -> Json:
    """Return a copy of the prompt with the changes; unchanged nodes are shared."""
    return {**prompt, **changed_nodes(prompt, changes)}


def changed_nodes(prompt: Json, changes: Iterable[Change]) -> Json:
    """Return copies of the changed nodes by id."""
    found: Json = {}
    for node_id, name, value in changes:
        if node_id not in found:
            found[node_id] = _copied(prompt[node_id])
        found[node_id]["inputs"][name] = value
    return found


def _copied(node: Json) -> Json:
    return {**node, "inputs": dict(node["inputs"])}


class Setter:
    """Sets parameters of one prompt, possibly many times; what depends on the prompt is cached.

    `any_file`: accept model files that are not among the choices yet. `renewed`: inputs whose seeds
    are drawn anew each time. `alike`: inputs that share a seed drawn for -1. `texts`: fills in
    texts each time.
    """

    def __init__(
        self,
        prompt: Json,
        object_info: Mapping[str, Json],
        *,
        any_file: bool = False,
        new_seed: Draw = draw,
        renewed: Renewed = (),
        texts: DynamicTexts | None = None,
        alike: Iterable[Sequence[InputKey]] = (),
    ) -> None:
        self._prompt = prompt
        self._object_info = object_info
        self._any_file = any_file
        self._new_seed = new_seed
        self._texts = texts
        self._places = {node_id: place for place, node_id in enumerate(prompt)}
        self._located: dict[str, InputKey] = {}
        self._seeds = Seeds(prompt, object_info)
        self._random = random_in(prompt)
        self._open = self._seeds.open_among(self._random, prompt)
        self._alike = {key: keys for keys in alike for key in keys}
        marked = None if renewed == "all" else renewed
        self._renewed = self._seeds.to_renew(marked)
        self._renews_nothing = renewed != () and not self._renewed
        self.warnings: list[str] = []  # of the last call of `changes`
        # Inputs filled from texts of the file in the last call
        self.from_templates: set[InputKey] = set()

    @cached_property
    def _finder(self) -> Finder:
        return Finder(self._prompt, self._object_info)

    def changes(self, params: Mapping[str, Any]) -> tuple[list[Change], Json]:
        """Return the changes that set `params` (by key or name), and the values used.

        A seed of -1 in `params` or in the prompt is replaced by a random one, as are the seeds to
        renew that are not given; the used values include them. Raises one InvalidParameter for all
        faults: MAX_FAULTS are listed, the others counted, and the first suggest the nearest key,
        name or choice.
        """
        if len(params) > MAX_PARAMS:
            raise InvalidParameter(
                f"There are {len(params)} params; {MAX_PARAMS} are allowed.",
                hint="Put values that are the same each time into the workflow itself.",
            )
        nodes: Json = {}  # changed so far; one choice may determine the definition of another input
        used: Json = {}
        words = self._set_all(params, nodes, used)
        for keys in self._renewed:
            self._draw([key for key in keys if key not in words], nodes, used, words)
        drew = self._draw_open(nodes, used, words)
        if self._texts is not None:
            self._fill(self._texts, nodes, used, words)
        self.warnings = list(left_open(self._in_order(self._random, nodes, random_in(nodes))))
        if self._renews_nothing and not drew:
            self.warnings.append(NOTHING_TO_RENEW)
        return list(_differences(nodes, self._prompt)), used

    def _set_all(self, params: Mapping[str, Any], nodes: Json, used: Json) -> dict[InputKey, str]:
        """Set the given values; return the word for each input: the client's name, or the key."""
        words: dict[InputKey, str] = {}
        first: dict[InputKey, str] = {}
        guesses, faults = Guesses(), Faults()
        for given in sorted(params, key=_rank):
            try:
                key = self._locate(given, guesses, nodes)
                if first.setdefault(key, given) != given:
                    raise _set_twice(first[key], given)
                used[given] = self._set(nodes, key, params[given], given, guesses)
            except InvalidParameter as fault:
                faults.add(fault)
            else:
                words[key] = given
        faults.check()
        return words

    def _locate(self, given: str, guesses: Guesses, nodes: Json) -> InputKey:
        """Return the input of a key or name. Raises InvalidParameter."""
        if given in self._located:
            return self._located[given]
        key = self._finder.locate(given, guesses, nodes)
        # Others depend on the values of other parameters
        if key[1] in self._prompt[key[0]]["inputs"]:
            self._located[given] = key
        return key

    def _node(self, nodes: Json, key: InputKey) -> Json:
        """Return the input's node as a copy that may be modified."""
        if key[0] not in nodes:
            nodes[key[0]] = _copied(self._prompt[key[0]])
        node: Json = nodes[key[0]]
        return node

    def _set(self, nodes: Json, key: InputKey, value: Any, given: str, guesses: Guesses) -> Any:
        node = self._node(nodes, key)
        if isinstance(value, str) and names_file(node, key[1], self._object_info):
            check_name(given, value)
        parameter = parameter_at(key, node, self._object_info, given)
        value = from_text(parameter, value)
        if is_random(value) and self._seeds.is_open(key, node):
            checked = -1  # drawn after everything else is set
        else:
            checked = check_value(parameter, value, any_file=self._any_file, guesses=guesses)
        node["inputs"][key[1]] = checked
        return unwrapped(checked) if parameter.multiselect else checked

    def _draw(
        self, keys: list[InputKey], nodes: Json, used: Json, words: Mapping[InputKey, str]
    ) -> None:
        """Draw one seed for all inputs, or one each if no seed is within the limits of all."""
        held = [self._node(nodes, key)["inputs"] for key in keys]
        limits = self._seeds.common_limits(keys, nodes)
        if limits is None and len(keys) > 1:
            for key in keys:
                self._draw([key], nodes, used, words)
        elif limits is not None:
            seed = self._new_seed(*limits)
            for key, inputs in zip(keys, held, strict=True):
                used[words.get(key, ".".join(key))] = inputs[key[1]] = seed

    def _draw_open(self, nodes: Json, used: Json, words: Mapping[InputKey, str]) -> bool:
        """Draw the seeds of -1; return whether there were any."""
        opened = self._seeds.open_among(random_in(nodes), nodes)
        left = dict.fromkeys(self._in_order(self._open, nodes, opened))
        found = bool(left)
        while left:
            first = next(iter(left))
            keys = [key for key in self._alike.get(first, (first,)) if key in left]
            self._draw(keys, nodes, used, words)
            for key in keys:
                del left[key]
        return found

    def _fill(
        self, texts: DynamicTexts, nodes: Json, used: Json, words: Mapping[InputKey, str]
    ) -> None:
        for key in dict.fromkeys([*words, *texts.own]):
            node = nodes.get(key[0]) or self._prompt[key[0]]
            text = texts.filled(key, nodes, given=key in words)
            changed = text != node["inputs"].get(key[1])
            if changed:
                self._node(nodes, key)["inputs"][key[1]] = text
            if changed if key in words else texts.is_told(key, changed=changed):
                used[words.get(key, ".".join(key))] = text
        self.from_templates = texts.templates - words.keys()

    def _in_order(
        self, of_prompt: Iterable[InputKey], nodes: Json, of_nodes: Iterable[InputKey]
    ) -> list[InputKey]:
        """Return the inputs of changed nodes and those of the rest, in the prompt's order."""
        found = [*(key for key in of_prompt if key[0] not in nodes), *of_nodes]
        return sorted(found, key=lambda key: self._places[key[0]])


def _set_twice(first: str, second: str) -> InvalidParameter:
    return InvalidParameter(
        f"{quoted(first)} and {quoted(second)} are the same input; send one of them.",
        parameter=second,
    )


def _rank(given: str) -> tuple[bool, int]:
    """Sort key: `option1` before the combo that chooses from it, `combo.input` after the combo."""
    return not _OPTION.search(given), given.count(".")


def _differences(nodes: Json, prompt: Json) -> Iterator[Change]:
    for node_id, node in nodes.items():
        before = prompt[node_id]["inputs"]
        for name, value in node["inputs"].items():
            if name not in before or before[name] is not value:
                yield node_id, name, value


class Faults:
    """The faults of one request: the first are listed, the others counted."""

    def __init__(self) -> None:
        self._told: list[InvalidParameter] = []
        self._more = 0

    def add(self, fault: InvalidParameter) -> None:
        if len(self._told) < MAX_FAULTS:
            self._told.append(fault)
        else:
            self._more += 1

    def check(self) -> None:
        """Raise one InvalidParameter for all faults, if there are any."""
        if not self._told:
            return
        if len(self._told) == 1:
            raise self._told[0]
        more = f"{self._more} more have faults. " if self._more else ""
        raise InvalidParameter(
            more + " ".join(fault.detail for fault in self._told),
            hint=next((fault.hint for fault in self._told if fault.hint), None),
            errors=[{"field": f.extra["parameter"], "message": f.detail} for f in self._told],
            omitted={"errors": self._more},
        )
