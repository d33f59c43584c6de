"""Values of widgets that the page renders or records itself; values in the file are ignored.

A 3D view sends its camera, from the file or the page's default. Renderings and recordings exist in
the page only, so they are empty here.
"""

from typing import Any

from app.limits.json_types import Json
from app.workflows.conversion.model import Node

VIEWS = frozenset({"LOAD_3D", "LOAD_3D_ADVANCED", "PREVIEW_3D", "AUDIO_RECORD"})
STATE_INPUT = "viewport_state"
FIRST_CAMERA: Json = {
    "position": {"x": 10, "y": 10, "z": 10.000000000000002},
    "target": {"x": 0, "y": 0, "z": 0},
    "zoom": 1,
    "cameraType": "perspective",
    "quaternion": {
        "x": -0.2798481423331213,
        "y": 0.3647051996310008,
        "z": 0.11591689595929511,
        "w": 0.8804762392171493,
    },
    "fov": 35,
    "aspect": 1,
    "near": 0.01,
    "far": 10000,
    "frustum": {"left": -5, "right": 5, "top": 5, "bottom": -5},
}


def view_value(node: Node, name: str) -> Any:
    """Return the value of a view's widget."""
    if name != STATE_INPUT:
        return ""
    camera = node.properties.get("Camera Config")
    state = camera.get("state") if isinstance(camera, dict) else None
    return {
        "image": "",
        "mask": "",
        "normal": "",
        "camera_info": state if isinstance(state, dict) else FIRST_CAMERA,
        "recording": "",
        "model_3d_info": [],
    }
