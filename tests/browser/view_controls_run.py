"""The controls of the view "run": how each is operated."""

import json

from tests.browser.controls import Table, Use, hands, scene
from tests.browser.helpers import QWEN
from tests.browser.view_controls import FOCUS
from tests.conftest import text_to_image

FILE = json.dumps(text_to_image())
NAME = "workspace.name"
RUN = f"#/run/{QWEN}"
OPENED = f"{NAME} === '{QWEN}' && shown('run-form parameter-field')"
DROPPING = "document.body.classList.contains('dropping')"
DOCUMENT: Table = {
    "document keydown main.js": Use(FOCUS, "press:/"),
    "document keydown components/run-bar.js": Use("shown('result-tile')", "press:Control+Enter"),
    "document dragover run/intake.js": Use(DROPPING, hands("dragover", FILE, "over.json")),
    "document dragleave run/intake.js": Use(
        DROPPING,
        hands("dragleave", FILE, "over.json"),
        first="document.body.classList.add('dropping')",
    ),
    "document drop run/intake.js": Use(NAME, hands("drop", FILE, "dropped.json")),
    "document paste run/intake.js": Use(NAME, hands("paste", FILE, "pasted.json")),
}
DOCUMENT_SCENES = [scene(RUN, OPENED)]
