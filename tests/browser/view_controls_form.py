"""The controls of the form in the view "run": one kind for each kind of parameter."""

import json

from tests.browser.controls import Scene, Table, Use, gives, hands, scene
from tests.browser.helpers import picture
from tests.browser.view_controls import DIALOG
from tests.browser.view_controls_run import CHANGED, OPENED, RUN, UNFOLD, file_scene
from tests.conftest import Json

FEW = ["one", "two", "three"]
MANY = [f"choice {number}" for number in range(20)]
KINDS: Json = {
    "few": ["COMBO", {"options": FEW}],
    "many": ["COMBO", {"options": MANY}],
    "several": ["COMBO", {"options": FEW, "multiselect": True}],
    "flag": ["BOOLEAN", {}],
    "whole": ["INT", {"min": 0, "max": 1_000_000}],
    "slid": ["INT", {"min": 0, "max": 10}],
    "part": ["FLOAT", {"min": 0.0, "max": 1000.0, "step": 0.01}],
    "line": ["STRING", {}],
    "text": ["STRING", {"multiline": True}],
    "any": ["SOMETHING", {}],
    "picture": ["COMBO", {"options": ["example.png"], "image_upload": True}],
    "film": ["COMBO", {"options": [], "video_upload": True}],
    "sound": ["COMBO", {"options": [], "audio_upload": True}],
}
EVERY_KIND: Json = {"input": {"required": KINDS}, "output": ["IMAGE"], "output_node": True}
VALUES: Json = {
    "few": "one",
    "many": "choice 3",
    "several": ["one"],
    "flag": False,
    "whole": 3,
    "slid": 3,
    "part": 0.5,
    "line": "a line",
    "text": "a text",
    "any": {"a": 1},
    "picture": "example.png",
    "film": "",
    "sound": "",
}
OF_EVERY_KIND = json.dumps({"1": {"class_type": "EveryKind", "inputs": VALUES}})

PARAMS = "JSON.stringify(workspace.params())"
RESET = Use(CHANGED)
RED = picture("red")
OVER = "it.classList.contains('over')"
UPLOADED = "sent('POST /api/image/upload')"
COMBOBOX = (
    Use("shown('[role=option]')"),
    Use("shown('[role=option]')", "fill:2"),
    Use("one('[role=option].active')?.textContent", "press:ArrowDown"),
    Use(PARAMS, "press:Enter"),
)
FORM: Table = {
    **{
        f"run-form field-string textarea role.{role}": Use(PARAMS, "fill:words")
        for role in ("prompt", "negative_prompt")
    },
    **{
        f"run-form field-{kind} input-number role.{role}": Use(
            PARAMS, "fill:0.5" if kind == "float" else "fill:3"
        )
        for kind, role in (
            ("int", "steps"),
            ("float", "cfg"),
            ("float", "denoise"),
            ("int", "batch_size"),
        )
    },
    "size-field field-int input-number role.width": Use(PARAMS, "fill:640"),
    "size-field field-int input-number role.height": Use(PARAMS, "fill:640"),
    "size-field button size.swap": Use(PARAMS, first="workspace.set('58.width', 512)"),
    "size-field select size.ratio": Use(PARAMS, "select:16:9"),
    "size-field field-int button field.reset": RESET,
    "run-form field-int input-text role.seed": Use(PARAMS, "fill:77"),
    "run-form field-int button seed.dice": Use(PARAMS, first="workspace.set('3.seed', 5)"),
    "run-form field-int button seed.lock": Use(PARAMS, first="workspace.set('3.seed', -1)"),
    "run-form field-choice select role.scheduler": Use(PARAMS, "select:karras"),
    "run-form field-choice select role.model": Use(PARAMS, "select"),
    "run-form field-choice select": Use(PARAMS, "select"),
    "run-form field-choice select-multiple": Use(PARAMS, "select"),
    "combo-box field-choice input-text-combobox role.sampler (keydown)": COMBOBOX,
    "combo-box field-choice input-text-combobox (keydown)": COMBOBOX,
    "run-form node summary": Use("shown('.node parameter-field')"),
    "run-form field-float input-range": Use(PARAMS, "press:ArrowLeft"),
    "run-form field-float input-number": Use(PARAMS, "fill:0.25"),
    "run-form field-int input-number": Use(PARAMS, "fill:7"),
    "run-form field-int input-range": Use(PARAMS, "press:ArrowLeft"),
    "run-form field-string input-text": Use(PARAMS, "fill:words"),
    "run-form field-string textarea": Use(PARAMS, "fill:words"),
    "run-form field-boolean input-checkbox-switch": Use(PARAMS),
    "run-form field-any textarea mono": Use(PARAMS, "fill:[1]"),
    **{
        f"run-form field-{kind} button field.reset": RESET
        for kind in ("string", "int", "float", "choice", "boolean", "any", "upload")
    },
    "run-form field-upload input-file upload.choose": Use(UPLOADED, gives(RED, "r.png")),
    "run-form field-upload input-text": (
        Use("it.value", "fill:another.png"),
        Use(PARAMS, "press:Enter"),
    ),
    "run-form field-upload div upload.drop (dragover, dragleave, drop, paste)": (
        Use(OVER, hands("dragover", RED, "r.png")),
        Use(OVER, hands("dragleave", RED, "r.png")),
        Use(UPLOADED, hands("drop", RED, "r.png")),
        Use(UPLOADED, hands("paste", RED, "r.png")),
    ),
    "run-form field-upload button mask.draw": Use(DIALOG),
}
CHANGE_ALL = """
  const changed = ({ type, value, choices, upload }) => {
    if (upload) return upload === "image" ? "another.png" : "";
    if (choices) return Array.isArray(value) ? choices : choices.find((each) => each !== value);
    if (type === "boolean") return !value;
    if (type === "any") return [1];
    return type === "string" ? `${value}x` : value === 1 ? 2 : 1;
  };
  for (const each of workspace.parameters) workspace.set(each.key, changed(each));
"""
FORM_SCENES: list[Scene] = [
    scene(
        RUN,
        OPENED,
        "for (const each of document.querySelectorAll('run-form details')) each.open = false;",
    ),
    scene(RUN, OPENED, UNFOLD + CHANGE_ALL, "shown('.reset') > 10"),
    file_scene(OF_EVERY_KIND, "shown('.upload') && workspace.name === 'file.json'"),
    scene(
        "#/run",
        "workspace.name === 'file.json'",
        CHANGE_ALL + UNFOLD,
        "shown('.reset') > 10",
    ),
]
