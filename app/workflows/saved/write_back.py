"""Sets parameters in a UI-format file, such that ComfyUI's page still opens it. Pure.

Only widget values change. The place of a value is found by trial: a place with the current value is
changed, the file is converted, and the change is kept if exactly the wanted input has changed (or
all inputs of one widget). So every value that the conversion understands can be set, including
promoted widgets of subgraphs and group nodes, and nothing is set by mistake. Places on the node
itself and on the subgraph nodes around it are tried first, which is usually successful. The total
effort per request is limited.
"""

import copy
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from app.errors import InvalidParameter, InvalidWorkflow
from app.limits.json_types import Json
from app.limits.quoting import quoted
from app.workflows.conversion import convert
from app.workflows.conversion.dynamic_prompts import choose_texts
from app.workflows.conversion.effort import Effort
from app.workflows.parameters.apply import apply_params
from app.workflows.parameters.model import unwrapped
from app.workflows.parameters.roles import InputKey

Path = tuple[Any, ...]  # path from the file to a value: keys and indices
# A list or object in the file, the index or key in it, the id of its node, the path.
Location = tuple[Any, Any, str, Path]

MAX_TRIALS = 300  # for a value that occurs very often, such as 0
MAX_EFFORT = 3_000_000  # steps of all conversions together; the largest official file takes 120


def set_params(workflow: Json, params: Mapping[str, Any], object_info: Mapping[str, Json]) -> Json:
    """Return a copy of the file with the parameters set. Raises InvalidParameter, InvalidWorkflow.

    A seed of -1 is saved as a random one, as the page has no such value.
    """
    trial = _Trial(copy.deepcopy(workflow), object_info)
    before = trial.prompt
    wanted, _ = apply_params(before, params, object_info)
    for node_id, node in wanted.items():
        for name, value in node["inputs"].items():
            if value != before[node_id]["inputs"].get(name):
                trial.set((node_id, name), value)
    return trial.workflow


def find_places(
    workflow: Json, values: Mapping[InputKey, Any], object_info: Mapping[str, Json]
) -> tuple[dict[InputKey, Path], list[str]]:
    """Return the paths in the file of inputs that differ from the given values.

    Also returns the keys for which no place was found. Raises InvalidWorkflow.
    """
    trial = _Trial(copy.deepcopy(workflow), object_info)
    locations: dict[InputKey, Path] = {}
    missed: list[str] = []
    for (node_id, name), value in values.items():
        node = trial.prompt.get(node_id)
        if node is not None and node["inputs"].get(name) == value:
            continue
        try:
            if node is None:
                raise InvalidParameter("The file has no such node.")
            locations[node_id, name] = trial.set((node_id, name), value)
        except InvalidParameter:
            missed.append(f"{node_id}.{name}")
    return locations, missed


def prompt_of(workflow: Json, object_info: Mapping[str, Json]) -> Json:
    """Convert the file to a prompt, deterministically. Raises InvalidWorkflow."""
    return convert(workflow, object_info, choose=_first).prompt


def with_values(workflow: Json, values: Iterable[tuple[Path, Any]]) -> Json:
    """Return the file with values set at these paths; unaffected parts are shared."""
    for path, value in values:
        workflow = _with_value(workflow, path, unwrapped(value))
    return workflow


def _with_value(item: Any, path: Sequence[Any], value: Any) -> Any:
    if not path:
        return value
    copied = copy.copy(item)
    copied[path[0]] = _with_value(item[path[0]], path[1:], value)
    return copied


class _Trial:
    """A file that is being changed, and its current prompt."""

    def __init__(self, workflow: Json, object_info: Mapping[str, Json]) -> None:
        self.workflow = workflow
        self._object_info = object_info
        self._effort = Effort(MAX_EFFORT)
        self._size = _size(workflow)
        found = convert(workflow, object_info, choose=_first)
        self.prompt = found.prompt
        self._texts = found.texts  # verbatim texts of the file, before dynamic prompts

    def set(self, target: InputKey, value: Any) -> Path:
        """Set the input and return its path in the file. Raises InvalidParameter."""
        node_id, name = target
        present = unwrapped(self.prompt[node_id]["inputs"].get(name))
        present = self._texts.get(target, present)
        shared: list[tuple[Location, Json]] = []
        locations = sorted(_locations(self.workflow, present, self._effort), key=_nearness(node_id))
        for location in islice(locations, MAX_TRIALS):
            holder, index, _, path = location
            # Lists are not wrapped in the file
            held, holder[index] = holder[index], unwrapped(value)
            after = self._converted(target)
            changes = _changes(self.prompt, after, self._texts.keys() - {target})
            if changes is not None and changes.keys() == {target}:
                self.prompt = after
                return path
            if changes and target in changes and set(map(repr, changes.values())) == {repr(value)}:
                shared.append((location, after))
            holder[index] = held
        if len(shared) != 1:
            key = f"{node_id}.{name}"
            raise InvalidParameter(
                f"Parameter {quoted(key)} cannot be set in this file: no widget holds its value.",
                hint="Give it with each run, or change it in ComfyUI and save the file there.",
                parameter=key,
            )
        # One widget feeds several inputs: in the page they change together.
        (holder, index, _, path), self.prompt = shared[0]
        holder[index] = unwrapped(value)
        return path

    def _converted(self, target: InputKey) -> Json:
        try:
            self._effort.spend(self._size)
            found = convert(self.workflow, self._object_info, choose=_first, effort=self._effort)
        except InvalidWorkflow as error:
            word = ".".join(target)
            raise InvalidParameter(
                f"Parameter {quoted(word)} cannot be set in this file: it takes too many tries to "
                "find the widgets.",
                hint="Set fewer parameters at a time, give them with each run, or save the "
                "workflow in API format.",
                parameter=word,
            ) from error
        return found.prompt


def _first(options: Sequence[str]) -> str:
    """Choose the same option of a dynamic prompt each time, so that trials are comparable."""
    return options[0]


def _locations(workflow: Json, present: Any, effort: Effort) -> Iterator[Location]:
    """Yield the widgets with this value in the whole file: nodes, subgraphs, group nodes."""
    stack: list[tuple[Any, Path]] = [(workflow, ())]
    while stack:
        item, path = stack.pop()
        children = item.items() if isinstance(item, dict) else enumerate(item)
        for key, child in children:
            if key == "widgets_values" and isinstance(child, list | dict):
                for index in _held(child, present, effort):
                    yield child, index, str(item.get("id")), (*path, key, index)
            elif isinstance(child, list | dict):
                stack.append((child, (*path, key)))


def _held(values: Any, present: Any, effort: Effort) -> Iterator[Any]:
    entries = list(values.items()) if isinstance(values, dict) else list(enumerate(values))
    for key, value in entries:
        is_other = isinstance(value, str) and isinstance(present, str) and value != present
        if is_other and _is_dynamic(value):
            value = choose_texts(value, _first, effort)
        if value == present and isinstance(value, bool) == isinstance(present, bool):
            yield key


def _is_dynamic(text: str) -> bool:
    """Return whether the page may replace parts of the text."""
    return "{" in text or "//" in text or "/*" in text or "\\" in text


def _nearness(node_id: str) -> Callable[[Location], int]:
    """Return a sort key: the node itself first, then those around it ("1:10:20" is node 20)."""
    ranks = {part: location for location, part in enumerate(reversed(node_id.split(":")))}
    return lambda location: ranks.get(location[2], len(ranks))


def _size(value: Any) -> int:
    """Return the number of values."""
    count, stack = 0, [value]
    while stack:
        item = stack.pop()
        count += 1
        if isinstance(item, dict | list):
            stack.extend(item.values() if isinstance(item, dict) else item)
    return count


def _changes(before: Json, after: Json, beside: Collection[InputKey]) -> dict[InputKey, Any] | None:
    """Return the new values of the inputs that differ, except `beside`; None if nodes differ."""
    if before.keys() != after.keys():
        return None
    return {
        (node_id, name): after[node_id]["inputs"].get(name)
        for node_id in before
        for name in before[node_id]["inputs"].keys() | after[node_id]["inputs"].keys()
        if before[node_id]["inputs"].get(name) != after[node_id]["inputs"].get(name)
        and (node_id, name) not in beside
    }
