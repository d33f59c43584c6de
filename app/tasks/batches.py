"""One submit, many tasks: the sets of parameters that a batch stands for. Pure."""

from collections.abc import Mapping
from itertools import islice, product
from math import prod
from typing import Any, Literal

from app.errors import InvalidParameter
from app.quoting import SHORT, cut, quoted

Json = dict[str, Any]
Mode = Literal["product", "zip"]

MAX_TASKS = 1_000  # of one batch


def expand(params: Json, batch: Mapping[str, list[Any]], mode: Mode) -> list[Json]:
    """`params` with each combination of the lists (`product`, the last one turning fastest), or
    with the first of each, the second of each and so on (`zip`). Raises InvalidParameter."""
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
    rows = product(*batch.values()) if mode == "product" else zip(*batch.values(), strict=True)
    return [{**params, **dict(zip(batch, row, strict=True))} for row in rows]
