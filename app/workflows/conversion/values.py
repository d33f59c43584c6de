"""Assigns the values of a file to a node's widgets.

`widgets_values` is a list in the order of the widgets, without names. It can only be interpreted by
iterating over the widgets like the page does, as setting a widget may add further ones, which the
following values belong to. A dict (of some custom nodes) is assigned by name.
"""

from typing import Any

from app.limits.json_types import Json
from app.workflows.conversion.definitions import DYNAMIC_COMBO, NodeClass
from app.workflows.conversion.layout import choices, lay_out_choice
from app.workflows.conversion.model import UNSET, Node, Widget
from app.workflows.conversion.views import VIEWS

SAMPLERS = ("KSampler", "KSamplerAdvanced")
OLD_SAMPLER_PREFIX = "sample_"


def restore(node: Node, node_class: NodeClass) -> None:
    """Set the widgets of the laid-out node to the values in the file."""
    if isinstance(node.values, dict):
        _restore_by_name(node, node.values)
    else:
        _restore_in_order(node, _aligned(node.values, node_class, node.widgets))
    for widget in list(node.widgets):
        _mend(node, widget)


def _restore_in_order(node: Node, values: list[Any]) -> None:
    place = position = 0
    while place < len(node.widgets) and position < len(values):  # the list of widgets may grow
        widget = node.widgets[place]
        place += 1
        if widget.saved:
            set_value(node, widget, values[position])
            position += 1


def _restore_by_name(node: Node, values: Json) -> None:
    place = 0
    while place < len(node.widgets):
        widget = node.widgets[place]
        place += 1
        if widget.name in values:
            set_value(node, widget, values[widget.name])


def _aligned(values: list[Any], node_class: NodeClass, widgets: list[Widget]) -> list[Any]:
    """Return the values without those that have no widget.

    Pages before 1.16 saved a value for inputs with `forceInput`, others for display-only widgets.
    Only the number of values distinguishes these cases.
    """
    saved = {widget.name: widget.saved for widget in widgets}
    dummies: list[bool] = []
    for spec in node_class.inputs:
        forced = bool(spec.options.get("forceInput"))
        if forced or saved.get(spec.name):
            controlled = spec.options.get("control_after_generate")
            dummies += [forced, False] if controlled else [forced]
    if not any(dummies) and len(values) == sum(widget.saved for widget in widgets):
        return values
    unsaved = {place for place, widget in enumerate(widgets) if not widget.saved}
    compact = [value for place, value in enumerate(values) if place not in unsaved]
    for candidate in (compact, values):
        if len(candidate) == len(dummies):
            return [value for value, dummy in zip(candidate, dummies, strict=True) if not dummy]
    return values


def set_value(node: Node, widget: Widget, value: Any) -> None:
    """Set a widget's value like the page does."""
    if widget.type in VIEWS:
        return
    if widget.type == "STRING" and widget.options.get("multiline"):
        value = _as_text(value)  # text areas contain only text
    widget.value = value
    if widget.type == DYNAMIC_COMBO:
        lay_out_choice(node, widget)
    elif widget.type == "OPTION" and value and widget is node.widgets[-1]:
        node.widgets.append(Widget(f"option{len(node.widgets) - 1}", "OPTION", ""))


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _mend(node: Node, widget: Widget) -> None:
    """Apply the repairs that the page applies to every file."""
    if widget.value in (None, UNSET) and widget.type in ("COMBO", DYNAMIC_COMBO):
        offered = _option_values(node) if node.type == "CustomCombo" else choices(widget.options)
        if offered:
            set_value(node, widget, offered[0])
    elif widget.name == "sampler_name" and node.type in SAMPLERS and isinstance(widget.value, str):
        widget.value = widget.value.removeprefix(OLD_SAMPLER_PREFIX)


def _option_values(node: Node) -> list[Any]:
    return [widget.value for widget in node.widgets if widget.type == "OPTION" and widget.value]
