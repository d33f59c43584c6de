"""PrimitiveNode: a value for the widgets of other nodes.

It does not run. Just before the page creates the prompt, each primitive writes its value into the
linked widgets, fitted to each of them as if a user had typed it.
"""

import math
import re
import sys
from contextlib import suppress
from typing import Any, TypeGuard

from app.workflows.conversion.definitions import DYNAMIC_COMBO
from app.workflows.conversion.model import UNSET, Document, Graph, Link, Node, Slot, Widget
from app.workflows.conversion.replacements import Replacements
from app.workflows.conversion.values import set_value
from app.workflows.conversion.virtual import PRIMITIVE
from app.workflows.parameters.seeds import is_random, names_seed

NUMBERS = ("INT", "FLOAT")
NUMERAL = re.compile(r"\s*[+-]?(\d{1,300}(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?\s*", re.ASCII)
REPLACE_PROPERTY = "Run widget replace on values"


def apply(document: Document, replacements: Replacements) -> None:
    """Write the values of all primitives into their targets."""
    for graph in document.graphs():
        primitives = [node for node in graph.nodes.values() if node.type == PRIMITIVE]
        if primitives:
            outgoing: dict[str, list[Link]] = {}
            for link in sorted(graph.links.values(), key=lambda link: link.age):
                if link.origin_slot == 0:
                    outgoing.setdefault(link.origin, []).append(link)
            for node in primitives:
                _apply_one(document, graph, node, outgoing.get(node.id, []), replacements)


def _apply_one(
    document: Document,
    graph: Graph,
    primitive: Node,
    links: list[Link],
    replacements: Replacements,
) -> None:
    targets = [target for link in links if (target := graph.target_of(link)) is not None]
    document.effort.spend(2 * len(links))
    if not links or not targets or graph.target_of(links[0]) is None:
        return
    widgets = [(node, widget) for node, slot in targets if (widget := node.widget(slot.widget))]
    value = _own_value(primitive, *targets[0])
    if any(widget.type in NUMBERS for _, widget in widgets):  # numbers are fitted by arithmetic
        value = _as_number(value)
    for _, widget in widgets:
        value = _within(value, widget)
    if value and isinstance(value, str) and primitive.properties.get(REPLACE_PROPERTY):
        value = replacements.fill(value)
    for node, widget in widgets:
        if isinstance(value, list | dict):
            document.effort.copy(value)  # some widgets convert it to text
        if widget.type == DYNAMIC_COMBO:  # lays out its node again
            document.effort.make(len(node.widgets) + len(node.inputs))
        set_value(node, widget, fitted(value, widget))


def _own_value(primitive: Node, node: Node, slot: Slot) -> Any:
    """Return the primitive's value in the file, unless it was saved for another widget type."""
    theirs = node.widget(slot.widget)
    saved = primitive.values if isinstance(primitive.values, list) else []
    own = primitive.outputs[0].type if primitive.outputs else "*"
    if saved and own == (theirs.type if theirs else slot.type):
        return saved[0]
    return theirs.value if theirs else UNSET


def _as_number(value: Any) -> Any:
    """Convert a text to a number if JavaScript would do so."""
    if not isinstance(value, str) or not NUMERAL.fullmatch(value):
        return value
    with suppress(ValueError):
        return int(value)
    return float(value)


def fitted(value: Any, widget: Widget) -> Any:
    """Fit a number to the widget: integer, step, limits."""
    if isinstance(value, bool) or not _is_usual(value):
        return value
    with suppress(ArithmeticError):  # for example 1e308 in steps of 1e-9
        if widget.type == "INT":
            return _in_steps(value, widget)
        if widget.type == "FLOAT":
            return _rounded(value, widget)
    return value


def _in_steps(value: float, widget: Widget) -> int | float:
    step = _number(widget, "step", 1) or 1
    offset = math.fmod(_number(widget, "min", 0), step)
    if isinstance(value, int) and step == 1:
        return value
    if step == 1:
        return math.floor(value + 0.5)
    return math.floor((value - offset) / step + 0.5) * step + offset


def _rounded(value: float, widget: Widget) -> int | float:
    places = max(0, -math.floor(math.log10(abs(_number(widget, "step", 0.5)) or 0.5)))
    unit = _number(widget, "round", 0) or (10**-places if places else 0)
    if not unit:
        return value
    result = round(math.floor(value / unit + 0.5) * unit, places)
    low, high = _number(widget, "min", 0), _number(widget, "max", 2048)
    return low if result < low else high if result > high else result


def _within(value: Any, widget: Widget) -> Any:
    """Clamp the value to the limits of a target; the primitive applies those of all targets."""
    if widget.type not in NUMBERS or isinstance(value, bool):
        return value
    if not isinstance(value, int | float):
        return value
    if is_random(value) and names_seed(widget.name):
        return value  # -1 draws a random seed, which the page does not know
    low, high = _number(widget, "min", 0), _number(widget, "max", 2048)
    return low if value < low else high if value > high else value


def _number(widget: Widget, name: str, otherwise: float) -> int | float:
    value = widget.options.get(name)
    return value if _is_usual(value) else otherwise


def _is_usual(value: Any) -> TypeGuard[int | float]:
    """Return whether arithmetic is safe: no NaN, no infinity, no int beyond the range of floats."""
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max
