"""Node classes in ComfyUI's page: `object_info`, with the inputs that the page adds.

Each input of a definition becomes a socket, a widget, or both. The page adds inputs that the server
does not know: upload buttons, players, 3D views. They matter because most of them have a place in
`widgets_values`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.limits.json_types import Json

DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
AUTOGROW = "COMFY_AUTOGROW_V3"
MATCH_TYPE = "COMFY_MATCHTYPE_V3"

WIDGET_TYPES = frozenset(
    {
        *("INT", "FLOAT", "BOOLEAN", "STRING", "MARKDOWN", "TEXTAREA", "COMBO", DYNAMIC_COMBO),
        *("COLOR", "COLORS", "BOUNDING_BOX", "BOUNDING_BOXES", "CURVE", "RANGE", "CHART"),
        *("GALLERIA", "PAINTER", "COMPOSITOR", "VIDEO_EDIT", "IMAGECOMPARE", "IMAGEUPLOAD"),
        *("RESOLUTION_PREVIEW", "LIGHT_INFO_PREVIEW", "CAMERA_INFO_STATE", "CAMERA_ANGLE_VIEW"),
        *("LOAD_3D", "LOAD_3D_ADVANCED", "PREVIEW_3D"),
        *("WEBCAM", "AUDIO_UI", "AUDIOUPLOAD", "AUDIO_RECORD"),
    }
)

UPLOADS = ("image_upload", "animated_image_upload", "video_upload")
PLAYERS = frozenset(
    {
        *("LoadAudio", "PreviewAudio"),
        *("SaveAudio", "SaveAudioMP3", "SaveAudioOpus", "SaveAudioAdvanced"),
    }
)
VIEWS = {
    "Preview3D": ("image", "PREVIEW_3D"),
    "SaveGLB": ("image", "PREVIEW_3D"),
    "Load3DAdvanced": ("viewport_state", "LOAD_3D_ADVANCED"),
}


@dataclass(frozen=True, slots=True)
class InputSpec:
    name: str
    type: str
    options: Json
    optional: bool = False

    @property
    def widget_type(self) -> str:
        return str(self.options.get("widgetType") or self.type)

    @property
    def is_widget(self) -> bool:
        return self.widget_type in WIDGET_TYPES and not self.options.get("forceInput")


class NodeClass:
    """A class: `inputs` in definition order; `sockets` and `widgets` by `input_order`."""

    def __init__(
        self, title: str, inputs: list[InputSpec], ordered: list[InputSpec], outputs: list[str]
    ) -> None:
        self.title = title
        self.inputs = inputs
        self.outputs = outputs
        self.sockets = [spec for spec in ordered if not spec.is_widget]
        self.widgets = [spec for spec in ordered if spec.is_widget]
        self.matched = {spec.name for spec in inputs if spec.type == MATCH_TYPE}


class Definitions:
    """The classes of an `object_info`, parsed on demand; used for one conversion."""

    def __init__(self, object_info: Mapping[str, Any]) -> None:
        self._object_info = object_info
        self._known: dict[str, NodeClass | None] = {}

    def get(self, name: str) -> NodeClass | None:
        if name not in self._known:
            info = self._object_info.get(name)
            self._known[name] = _node_class(name, info) if isinstance(info, dict) else None
        return self._known[name]


def read_specs(groups: Any, prefix: str = "") -> Iterator[InputSpec]:
    """Yield the inputs in `{"required": {...}, "optional": {...}}`."""
    if not isinstance(groups, dict):
        return
    for group in ("required", "optional"):
        specs = groups.get(group)
        for name, spec in specs.items() if isinstance(specs, dict) else ():
            if isinstance(spec, list | tuple) and spec:
                yield _spec(prefix + name, spec, optional=group == "optional")


def _spec(name: str, spec: list[Any] | tuple[Any, ...], *, optional: bool) -> InputSpec:
    kind = spec[0]
    options = spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}
    if optional and options.get("defaultInput"):  # the older name of forceInput
        options = {**options, "forceInput": True}
    if isinstance(kind, list):  # old notation of a combo: the choices in place of the type
        return InputSpec(name, "COMBO", {**options, "options": kind}, optional)
    return InputSpec(name, str(kind), options, optional)


def _node_class(name: str, info: Json) -> NodeClass:
    known = [*read_specs(info.get("input"))]
    required = [spec for spec in known if not spec.optional]
    optional = [spec for spec in known if spec.optional]
    added = [*_added_by_the_page(name, required)]
    taken = {spec.name for spec in added}
    inputs = [*(spec for spec in required if spec.name not in taken), *added, *optional]
    outputs = info.get("output")
    return NodeClass(
        title=str(info.get("display_name") or name),
        inputs=inputs,
        ordered=_in_order(inputs, info.get("input_order")),
        outputs=[
            "COMBO" if isinstance(kind, list) else str(kind)
            for kind in (outputs if isinstance(outputs, list | tuple) else ())
        ],
    )


def _added_by_the_page(name: str, required: list[InputSpec]) -> Iterator[InputSpec]:
    if name in PLAYERS:
        yield InputSpec("audioUI", "AUDIO_UI", {})
    if name in VIEWS:
        yield InputSpec(*VIEWS[name], {})
    if any(spec.name == "audio" and spec.options.get("audio_upload") is True for spec in required):
        yield InputSpec("upload", "AUDIOUPLOAD", {})
    elif any(
        spec.type == "COMBO" and any(spec.options.get(key) is True for key in UPLOADS)
        for spec in required
    ):
        yield InputSpec("upload", "IMAGEUPLOAD", {})


def _in_order(inputs: list[InputSpec], order: Any) -> list[InputSpec]:
    """Sort by `input_order`; unlisted inputs come last."""
    rank = {
        (name, group == "optional"): place
        for place, (group, name) in enumerate(
            (group, name)
            for group in ("required", "optional")
            for name in (order.get(group) or () if isinstance(order, dict) else ())
        )
    }
    return sorted(inputs, key=lambda spec: rank.get((spec.name, spec.optional), len(rank)))
