"""The layout of a new node of a class: its sockets, and widgets with default values.

Some inputs have several widgets (a seed has `control_after_generate`), and some grow: a dynamic
combo has further inputs for each choice, named `combo.input`, which follow it when the choice is
made; an autogrow group has `group.name0`, `group.name1` ... as they are used.
"""

from collections.abc import Iterator
from typing import Any

from app.limits.json_types import Json
from app.workflows.conversion.definitions import (
    AUTOGROW,
    DYNAMIC_COMBO,
    MATCH_TYPE,
    InputSpec,
    NodeClass,
    read_specs,
)
from app.workflows.conversion.model import UNSET, Node, Slot, Widget, as_number
from app.workflows.conversion.views import VIEWS, view_value

DEFAULTS: dict[str, Any] = {
    "INT": 0,
    "FLOAT": 0,
    "BOOLEAN": False,
    "STRING": "",
    "MARKDOWN": "",
    "TEXTAREA": "",
    "COLOR": "#000000",
    "COLORS": [],
    "BOUNDING_BOXES": [],
    "GALLERIA": [],
    "CHART": {},
    "BOUNDING_BOX": {"x": 0, "y": 0, "width": 512, "height": 512},
    "CURVE": {"points": [[0, 0], [1, 1]], "interpolation": "monotone_cubic"},
    "RANGE": {"min": 0.0, "max": 1.0},
    "IMAGECOMPARE": ["", ""],
    "IMAGEUPLOAD": "image",
    "AUDIOUPLOAD": "",
    "AUDIO_UI": "",
}
# Display-only widgets: those without a place in the file, and those that are not sent.
NOT_SAVED = frozenset({"IMAGECOMPARE", "RESOLUTION_PREVIEW", "AUDIO_UI", "CAMERA_INFO_STATE"})
NOT_SENT = frozenset(
    {
        *("RESOLUTION_PREVIEW", "AUDIO_UI", "AUDIOUPLOAD", "IMAGEUPLOAD"),
        *("CAMERA_INFO_STATE", "CAMERA_ANGLE_VIEW"),
    }
)
MODEL_BUTTONS = {
    "upload 3d model": "upload3dmodel",
    "upload extra resources": "uploadExtraResources",
    "clear": "clear",
}
TEXT_PREVIEWS = frozenset({"PreviewAny", "SaveText"})


def lay_out(node: Node, node_class: NodeClass) -> None:
    """Replace the node's widgets and sockets with those of its class."""
    node.widgets, node.inputs = [], []
    for spec in node_class.sockets:
        add_sockets(node, spec)
    for spec in node_class.widgets:
        add_widgets(node, spec)
    add_extras(node)


def add_sockets(node: Node, spec: InputSpec) -> None:
    """Append the sockets of an input without a widget."""
    template = spec.options.get("template")
    if spec.type == AUTOGROW and isinstance(template, dict):
        node.groups.add(spec.name)
        for name in _autogrow_names(template):
            for inner in read_specs(template.get("input")):
                node.inputs.append(Slot(f"{spec.name}.{name}", inner.type))
    elif spec.type == MATCH_TYPE and isinstance(template, dict):
        node.inputs.append(Slot(spec.name, str(template.get("allowed_types") or "*")))
    else:
        node.inputs.append(Slot(spec.name, spec.type))


def _autogrow_names(template: Json) -> list[str]:
    """Return the first members of a group: the minimum number and one more."""
    count = template.get("min", 1) + 1 if isinstance(template.get("min", 1), int) else 1
    names = template.get("names")
    if isinstance(names, list):
        return [str(name) for name in names[:count]]
    return [f"{template.get('prefix', '')}{number}" for number in range(min(count, 100))]


def add_widgets(node: Node, spec: InputSpec) -> None:
    """Append the widgets of an input."""
    kind = spec.widget_type
    if kind == "LOAD_3D" and node.widget("model_file"):
        node.widgets.extend(Widget(name, "BUTTON", text) for name, text in MODEL_BUTTONS.items())
    widget = Widget(
        spec.name,
        kind,
        view_value(node, spec.name) if kind in VIEWS else default(kind, spec.options),
        spec.options,
        saved=kind not in NOT_SAVED,
        sent=kind not in NOT_SENT,
    )
    node.widgets.append(widget)
    node.widgets.extend(_companions(widget))
    if not spec.options.get("socketless"):
        node.inputs.append(Slot(spec.name, spec.type, widget=spec.name))
    if kind == DYNAMIC_COMBO:
        lay_out_choice(node, widget)


def default(kind: str, options: Json) -> Any:
    """Return the default value of a widget."""
    if kind == DYNAMIC_COMBO:
        return next(iter(choices(options)), UNSET)
    if kind == "COMBO":
        return _combo_default(options)
    given = options.get("default")
    return DEFAULTS.get(kind, UNSET) if given is None else given


def _combo_default(options: Json) -> Any:
    if options.get("default"):
        return options["default"]
    if options.get("multi_select"):
        return []
    offered = choices(options)
    if offered:
        return offered[0]
    return "Loading..." if options.get("remote") else UNSET


def choices(options: Json) -> list[Any]:
    """Return the choices of a combo.

    The page stores the keys of a dynamic combo in an object, so integers come first, in order.
    """
    offered = options.get("options")
    if not isinstance(offered, list):
        return []
    if not offered or not isinstance(offered[0], dict):  # all choices are of the same kind
        return offered
    keys = [str(item.get("key")) for item in offered if isinstance(item, dict)]
    return sorted(keys, key=lambda key: (as_number(key) is None, as_number(key) or 0))


def _companions(widget: Widget) -> Iterator[Widget]:
    """Yield the additional widgets of a widget."""
    if widget.type == "AUDIO_RECORD":
        yield Widget(widget.name, "BUTTON", "", sent=False)
    elif widget.type == "BOUNDING_BOX":
        for name in ("x", "y", "width", "height"):
            yield Widget(name, "INT", 0, sent=False)
    elif widget.type in ("INT", "FLOAT", "COMBO") and _is_controlled(widget):
        first = widget.options.get("control_after_generate")
        mark = first if isinstance(first, str) else "randomize"
        widget.control = Widget("control_after_generate", "CONTROL", mark, sent=False)
        yield widget.control
        if widget.type == "COMBO":
            yield Widget("control_filter_list", "CONTROL", "", sent=False)
    if widget.type == "COMBO" and _has_refresh_button(widget.options):
        yield Widget("refresh", "BUTTON", "refresh")


def _is_controlled(widget: Widget) -> bool:
    flag = widget.options.get("control_after_generate")
    if flag is None and widget.type == "INT":
        return widget.name in ("seed", "noise_seed")
    return bool(flag)


def _has_refresh_button(options: Json) -> bool:
    remote = options.get("remote")
    return isinstance(remote, dict) and bool(remote.get("refresh_button"))


def lay_out_choice(node: Node, combo: Widget) -> None:
    """Replace the inputs of a dynamic combo with those of its current choice."""
    prefix = f"{combo.name}."
    node.widgets = [widget for widget in node.widgets if not widget.name.startswith(prefix)]
    node.inputs = [slot for slot in node.inputs if not slot.name.startswith(prefix)]
    # Temporary node that collects the inputs of the choice
    behind = Node("", "", "", 0, [], [], [], {})
    for spec in read_specs(_chosen(combo), prefix):
        if spec.is_widget:
            add_widgets(behind, spec)
        else:
            add_sockets(behind, spec)
    node.groups = {name for name in node.groups if not name.startswith(prefix)} | behind.groups
    place = next(i for i, widget in enumerate(node.widgets) if widget is combo) + 1
    node.widgets[place:place] = behind.widgets
    place = next((i + 1 for i, s in enumerate(node.inputs) if s.widget == combo.name), 0)
    node.inputs[place:place] = behind.inputs


def _chosen(combo: Widget) -> Any:
    for option in combo.options.get("options") or ():
        if isinstance(option, dict) and str(option.get("key")) == str(combo.value):
            return option.get("inputs")
    return None


def add_extras(node: Node) -> None:
    """Append the widgets that the page adds for individual node types."""
    if node.type == "CustomCombo":
        node.widgets.append(Widget("index", "INDEX", 0))
        node.widgets.append(Widget("option1", "OPTION", ""))
    elif node.type in TEXT_PREVIEWS:
        for name in ("preview_text", "preview_mode"):
            node.widgets.append(Widget(name, "PREVIEW", "", saved=False, sent=False))
    elif node.type == "WebcamCapture":
        node.widgets.append(Widget("waiting for camera...", "BUTTON", "capture", sent=False))
