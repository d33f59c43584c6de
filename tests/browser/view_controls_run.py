"""The controls of the view "run", but for its form: how each is operated."""

import json

from tests.browser.controls import Scene, Table, Use, drags, gives, hands, narrow, scene, wheels
from tests.browser.helpers import QWEN
from tests.browser.view_controls import DIALOG, FOCUS
from tests.conftest import Json, text_to_image

FILE = json.dumps(text_to_image())
NAME = "workspace.name"
RUN = f"#/run/{QWEN}"
OPENED = f"{NAME} === '{QWEN}' && shown('run-form parameter-field')"
DROPPING = "document.body.classList.contains('dropping')"
RUNS = "sent('POST /api/workflow/submit')"
SMALL = "workspace.set('58.width', 64); workspace.set('58.height', 64);"
DOCUMENT: Table = {
    "document keydown main.js": Use(FOCUS, "press:/"),
    "document keydown components/run/run-bar.js": Use(RUNS, "press:Control+Enter", first=SMALL),
    "document dragover run/intake.js": Use(DROPPING, hands("dragover", FILE, "over.json")),
    "document dragleave run/intake.js": Use(
        DROPPING,
        hands("dragleave", FILE, "over.json"),
        first="document.body.classList.add('dropping')",
    ),
    "document drop run/intake.js": Use(NAME, hands("drop", FILE, "dropped.json")),
    "document paste run/intake.js": Use(NAME, hands("paste", FILE, "pasted.json")),
}
LISTED = "shown('workflow-library [data-part=list] li')"
LIBRARY: Table = {
    "workflow-library library input-search search (keydown)": (
        Use(LISTED, "fill:upscale"),
        Use(LISTED, "press:Escape"),
        Use(FOCUS, "press:ArrowDown"),
        Use(LISTED, "fill:upscale"),
        Use(NAME, "press:Enter"),
    ),
    "workflow-library library a #/run/*": Use(NAME),
    "workflow-library library input-file file": Use(NAME, gives(FILE, "chosen.json")),
    "workflow-library details summary paste": Use(
        "document.activeElement.matches('workflow-library textarea')"
    ),
    "workflow-library details textarea text": Use(NAME, f"fill:{FILE}"),
    "run-view library summary library.title": Use("shown('workflow-library [type=search]')"),
}
CHANGED = "workspace.changed.length"
WORK: Table = {
    "run-view wrap button save-as": Use(DIALOG),
    "run-view wrap button versions": Use(DIALOG),
    "run-view wrap button delete": Use(DIALOG),
    "run-view wrap button reset": (
        Use(CHANGED),
        Use(CHANGED, on="toast-list div button:not(.quiet)"),
    ),
    "run-view wrap button take": Use("workspace.value('3.steps')"),
    "run-view wrap button save": Use(CHANGED),  # once it is answered
    "toast-list div button": Use(NAME),
    "toast-list div button close": Use("shown('toast-list > div')"),
    "run-bar details summary run.batch": Use("shown('batch-panel input')"),
    "run-bar label input-checkbox randomize": Use("localStorage['gateway.randomize']"),
    "run-bar wrap button code": Use(DIALOG),
    "run-bar wrap button run": Use(RUNS, first=SMALL),
    "batch-panel details input-number batch.seeds": Use("one('.primary').textContent", "fill:3"),
    "batch-panel details select batch.parameter": Use("shown('batch-panel textarea')", "select"),
    "batch-panel details textarea batch.values": Use("one('.primary').textContent", "fill:1\n2"),
}
OPEN_FILE = f"""
  await workspace.open({{ text: {json.dumps(FILE)}, name: "mine.json" }});
  const routed = new Promise((done) => addEventListener("hashchange", done, {{ once: true }}));
  location.hash = `#/run/${{workspace.id}}`;
  await routed;
"""
OTHER_TAB = """
  const steps = workspace.value("3.steps");
  workspace.set("3.steps", steps + 1);
  const entry = Object.keys(localStorage).find((name) => name.endsWith(workspace.id));
  const draft = JSON.parse(localStorage[entry]);
  const newer = { ...draft, values: { "3.steps": steps + 2 }, at: Date.now() + 1e6 };
  localStorage[entry] = JSON.stringify(newer);
  (await import("./static/js/run/drafts.js")).drafts.dispatchEvent(new Event("change"));
"""
UNFOLD = "for (const each of document.querySelectorAll('run-view details')) each.open = true;"
FOLD = "for (const each of document.querySelectorAll('run-view .work details')) each.open = false;"
FOLD += "document.querySelector('.take details').open = false;"
AXES = """
  const select = one("batch-panel select");
  select.value = "3.steps";
  select.dispatchEvent(new Event("input", { bubbles: true }));
"""
LIBRARY_SCENES = [
    scene(RUN, OPENED, FOLD),
    scene(RUN, OPENED, UNFOLD, "shown('.take textarea')"),
    narrow(scene(RUN, OPENED, FOLD, "shown('.library summary')")),
]
WORK_SCENES = [
    scene(RUN, OPENED, FOLD),
    scene(RUN, OPENED, OTHER_TAB, "shown('[data-part=take]')"),
    scene(RUN, OPENED, UNFOLD, "shown('batch-panel select')"),
    scene(RUN, OPENED, UNFOLD + AXES, "shown('batch-panel textarea')"),
    scene(
        RUN,
        f"{OPENED} || !{NAME} || {NAME} === 'mine.json'",
        OPEN_FILE + "one('toast-list').replaceChildren(); one('.work [data-part=delete]').click();",
        f"shown('toast-list button') && {NAME} !== 'mine.json'",
    ),
]

TILES = "shown('result-tile')"
STATUS = "it.closest('result-tile').dataset.status"
SECOND = """
  [...document.querySelectorAll("result-tile input")].filter(controls.isSeen)[1].click();
"""
RESULTS: Table = {
    "result-gallery wrap select scope": Use("one('result-gallery small').textContent", "select"),
    "result-gallery wrap button compare": Use(DIALOG),
    "result-gallery batch button cancel": Use(DIALOG),
    "result-gallery button more": Use(TILES),
    "result-tile article input-checkbox compare": Use(
        "one('.bar [data-part=compare]').disabled",
        first=SECOND,
    ),
    "result-tile article button picture": Use(DIALOG),
    "result-tile article button use": Use(CHANGED),
    "result-tile article button retry": Use("sent('POST .*/retry')"),
    "result-tile article button delete": Use(DIALOG),
    "result-tile article button cancel": Use(STATUS),
    "result-tile article button download": Use("sent('DOWNLOAD')"),
    "result-tile article pre": Use(FOCUS, "focus"),
    "result-tile article video": Use(FOCUS, "focus"),
    "result-tile article audio": Use(FOCUS, "focus"),
    "problem-box article button more": Use("it.closest('problem-box').textContent.length"),
    "problem-box details summary problem.whole": Use("shown('problem-box pre')"),
    "problem-box details button copy": Use("sent('COPY')"),
}

PICKED = """
  for (const each of document.querySelectorAll("result-tile input")) if (each.checked) each.click();
"""
SCOPE = """
  document.querySelector("#tab-results").click();
  const scope = one("[data-part=scope]");
  scope.value = "{}";
  scope.dispatchEvent(new Event("change"));
"""
TWO = """
  const boxes = [...document.querySelectorAll("result-tile input")].filter(controls.isSeen);
  for (const each of boxes.slice(0, 2)) each.click();
"""
THIS, ALL = (SCOPE.replace("{}", scope) for scope in ("this", "all"))
ERRORS = "for (const each of document.querySelectorAll('problem-box details')) each.open = false;"
RESULTS_SCENES = [
    scene(RUN, OPENED, ALL + PICKED + ERRORS, f"{TILES} > 2"),
    scene(RUN, OPENED, THIS + PICKED + ERRORS.replace("false", "true"), f"{TILES} > 2"),
    scene(RUN, OPENED, THIS + PICKED + TWO),
]


def batch_scene(batch: Json) -> Scene:
    """With a batch that runs, as if it had been sent from there."""
    event = f"new CustomEvent('submitted', {{ detail: {json.dumps(batch)} }})"
    return scene(
        RUN, OPENED, f"{ALL} document.dispatchEvent({event});", "shown('[data-part=cancel]') > 1"
    )


MOVED = "one('workflow-graph .drawing').style.transform"
ZOOMED = """
  [...document.querySelectorAll(".tools [aria-label]")].find(controls.isSeen).click();
  for (let frames = 0; frames < 2; frames++) await new Promise(requestAnimationFrame);
"""
GRAPH: Table = {
    "run-view tabs button-tab tab-results": Use("shown('result-gallery')"),
    "run-view tabs button-tab tab-graph": Use(
        "shown('workflow-graph')", first="one('#tab-results').click()"
    ),
    "workflow-graph div-group surface"
    " (click, dblclick, pointerdown, pointermove, keydown, wheel)": (
        Use(MOVED, drags),
        Use(MOVED, wheels),
        Use(MOVED, "press:0", on="workflow-graph .node"),
    ),
    "workflow-graph nodes g-button node": (
        Use(FOCUS, "press:ArrowRight"),
        Use(FOCUS, "press:Enter"),
    ),
    "workflow-graph tools button graph.out": Use(MOVED),
    "workflow-graph tools button graph.in": Use(MOVED),
    "workflow-graph tools button graph.fit": Use(MOVED, first=ZOOMED),
    "workflow-graph tools button graph.failed": Use(FOCUS),
}
TAB = "one('#tab-{}').click();"
GRAPH_SCENES = [scene(RUN, OPENED, TAB.format("graph"), "shown('workflow-graph .node')")]


def file_scene(content: str, then: str = "true") -> Scene:
    """That file, opened and unfolded."""
    opening = f"await workspace.open({{ text: {json.dumps(content)}, name: 'file.json' }});"
    return scene("#/run", "true", opening + UNFOLD, then)
