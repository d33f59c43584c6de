"""Parameter sets of batches, and limits on the size of a batch. Pure."""

import json
from collections.abc import Iterable, Mapping
from itertools import islice, product
from math import prod
from typing import Any, Literal

from app.errors import InvalidParameter, PayloadTooLarge
from app.limits.json_types import Json
from app.limits.quoting import SHORT, cut, quoted

Mode = Literal["product", "zip"]

MAX_TASKS = 1_000  # per batch
# Limits of a whole batch:
MAX_VALUES = 200_000  # parameters
MAX_NODES = 1_000_000
MAX_INPUTS = 1_000_000  # of nodes that differ between tasks
MAX_BYTES = 1 << 29  # total size of the workflows, which are sent one by one
# Total of parameters, metadata and warnings, which each task has separately
MAX_OWN_BYTES = 16 << 20
# Limits of one task:
MAX_VALUE_BYTES = 1 << 20  # per parameter
MAX_PARAMS_BYTES = 4 << 20

_FILES = "Upload large data as files (POST /api/image/upload) and name them."


def expand(params: Json, batch: Mapping[str, list[Any]], mode: Mode) -> list[Json]:
    """Return `params` with the values of `batch`, for each task.

    `product`: each combination of the lists, the last list varying fastest; `zip`: the first of
    each, the second of each, and so on. Raises InvalidParameter, and PayloadTooLarge for too many
    values.
    """
    for name, values in batch.items():
        if not values:
            raise InvalidParameter(f"batch.{cut(name, SHORT)}: the list is empty.", parameter=name)
        if name in params:
            raise InvalidParameter(
                f"{quoted(name)} stands in params and in batch; one is enough.", parameter=name
            )
    lengths = {name: len(values) for name, values in batch.items()}
    if mode == "zip" and len(set(lengths.values())) > 1:
        said = ", ".join(
            f"{cut(name, SHORT)} {length}" for name, length in islice(lengths.items(), 10)
        )
        raise InvalidParameter(f"With batch_mode zip all lists are of one length; here: {said}.")
    number = prod(lengths.values()) if mode == "product" else max(lengths.values())
    if number > MAX_TASKS:
        raise InvalidParameter(
            f"The batch makes {number} tasks; {MAX_TASKS} are allowed.",
            hint="Send it in parts.",
        )
    _check(number, len(params) + len(batch), MAX_VALUES, "parameters")
    rows = product(*batch.values()) if mode == "product" else zip(*batch.values(), strict=True)
    return [{**params, **dict(zip(batch, row, strict=True))} for row in rows]


def check_graph(tasks: int, nodes: int, size: int) -> None:
    """Raise PayloadTooLarge if that many tasks with a graph of this size exceed the limits."""
    if tasks > 1:
        _check(tasks, nodes, MAX_NODES, "nodes")
        _check(tasks, size, MAX_BYTES, "bytes", _FILES)


def check_values(values: Iterable[tuple[str, Any]]) -> None:
    """Raise PayloadTooLarge, naming the parameter, for a value that is too large."""
    for word, value in values:
        if (size := size_of(value)) > MAX_VALUE_BYTES:
            raise PayloadTooLarge(
                f"Parameter {quoted(word)} has {size} bytes; {MAX_VALUE_BYTES} are allowed.",
                hint=_FILES,
                parameter=word[:200],
            )


def check_params(params: Json) -> int:
    """Return the size of one task's parameters. Raises PayloadTooLarge, naming the largest."""
    sizes = {word: len(word) + size_of(value) for word, value in params.items()}
    total = sum(sizes.values())
    if total > MAX_PARAMS_BYTES:
        largest = max(sizes, key=lambda word: sizes[word])
        raise PayloadTooLarge(
            f"The parameters of a task have {total} bytes in all; {MAX_PARAMS_BYTES} are allowed. "
            f"The largest is {quoted(largest)}.",
            hint=f"Set them in the workflow itself. {_FILES}",
            parameter=largest[:200],
        )
    return total


class OwnBytes:
    """Adds up the separate data of the tasks of a batch; `each`: bytes that every task has."""

    def __init__(self, tasks: int, each: int) -> None:
        self._tasks = tasks
        self._each = each
        self._bytes = self._values = self._inputs = 0

    def add(self, params: Json, inputs: int) -> None:
        """Add a task with `inputs` inputs in varied nodes. Raises PayloadTooLarge."""
        self._bytes += check_params(params) + self._each
        self._values += len(params)
        self._inputs += inputs
        if self._tasks == 1:
            return
        for used, limit, what in (
            (self._bytes, MAX_OWN_BYTES, "bytes of parameters, metadata, warnings and webhooks"),
            (self._values, MAX_VALUES, "parameters"),
            (self._inputs, MAX_INPUTS, "inputs in nodes that are not the same in all tasks"),
        ):
            if used > limit:
                raise PayloadTooLarge(
                    f"The batch makes {self._tasks} tasks, which have more than {limit} {what} in "
                    "all. Metadata, warnings and the webhook, which each of them has, are "
                    f"{self._each} bytes.",
                    hint="Send it in parts, set in the workflow what is the same for all tasks, "
                    f"and keep metadata and headers short. {_FILES}",
                )


def check_needs(needs: Iterable[str]) -> None:
    """Raise PayloadTooLarge if the needs of the tasks (as JSON, without duplicates) are too large.

    Each of them is stored as a separate row of requirements.
    """
    total = 0
    for number, text in enumerate(needs, 1):
        total += len(text)
        if total > MAX_OWN_BYTES:
            raise PayloadTooLarge(
                f"{number} tasks of the batch name different model files, which with their node "
                f"types are {total} bytes; {MAX_OWN_BYTES} are allowed.",
                hint="Send it in parts.",
            )


def size_of(value: Any) -> int:
    """Return the approximate size of a value as JSON, in bytes."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode(errors="surrogatepass"))
    if value is None or isinstance(value, bool | int | float):
        return value.bit_length() // 3 + 2 if isinstance(value, int) else 20
    return len(json.dumps(value))


def _check(tasks: int, each: int, limit: int, what: str, more: str = "") -> None:
    """Raise PayloadTooLarge if `tasks` times `each` exceeds the limit."""
    if tasks * each > limit:
        raise PayloadTooLarge(
            f"The batch makes {tasks} tasks of {each} {what}, {tasks * each} in all; {limit} are "
            "allowed.",
            hint=f"Send it in parts. {more}".strip(),
        )


def param_sets(params: Json, batch: Mapping[str, list[Any]] | None, mode: Mode) -> list[Json]:
    """Return the parameters of each task. Raises InvalidParameter and PayloadTooLarge."""
    check_values(params.items())
    for word, values in (batch or {}).items():
        check_values((word, value) for value in values)
    return expand(params, batch, mode) if batch else [params]
