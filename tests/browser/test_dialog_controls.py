"""Every control of every dialog is operated, and its effect is seen."""

import json
import re

from playwright.async_api import Browser, Page, expect

from fake_comfyui.server import DemoServer
from tests.browser.conftest import BELOW, visitor
from tests.browser.controls import (
    SCRIPT,
    WIDE,
    Operator,
    Scene,
    Table,
    Use,
    clicks_beside,
    drags,
    scene,
)
from tests.browser.helpers import QWEN
from tests.browser.test_form import image_to_image
from tests.conftest import ROOT, RunningGateway, text_to_image

SCRIPTS = ROOT / "static" / "js"
OPEN = "shown('dialog')"
FOCUS = "document.activeElement.outerHTML.slice(0, 90)"
GO_ON = "dialog .primary, dialog footer .danger"


def with_close(place: str, rows: Table, types: str = "click") -> Table:
    return {
        f"{place} button close": Use(OPEN),
        f"dialog ({types})": Use(OPEN, clicks_beside),
        **rows,
    }


CODE = with_close(
    "code-dialog",
    {
        "tabs button-tab": Use(
            "one('dialog .code').textContent", on="dialog [role=tab]:nth-child(2)"
        ),
        "code-dialog button copy": Use("sent('COPY .*')"),
        "code-dialog pre code": Use(FOCUS, "focus"),
    },
)
SAVE_AS = with_close(
    "small",
    {
        "small button cancel": Use(OPEN),
        "stack input-text save.name": (
            Use("it.value", "fill:mine"),
            Use(
                "sent('workflow/upload .*filename=mine.json') && workspace.name === 'mine.json'",
                on=GO_ON,
            ),
        ),
        "stack input-checkbox save.over": (
            Use("it.checked"),
            Use(
                "sent('workflow/upload .*overwrite=true') && workspace.name.includes('copy')",
                on=GO_ON,
            ),
        ),
        "small button save": Use("shown('dialog .error')"),  # there is one of that name now
    },
)
VERSIONS = with_close(
    "small",
    {
        "small button versions.open": Use(
            "sent('GET .*/versions/') && workspace.isSaved === false"
        ),
        "small button versions.restore": Use("sent('POST .*/restore')"),
    },
)
CONFIRM_DELETE = with_close(
    "small",
    {
        "small button": Use(OPEN),
        "small button danger": Use("sent('DELETE /api/task/')"),
    },
)
CONFIRM_BATCH = with_close(
    "small",
    {
        "small button": Use(OPEN),
        "small button danger": Use("sent('POST /api/batch/.*/cancel')"),
    },
)
RESTORED = f"Boolean(sent('POST .*/restore') && workspace.name === '{QWEN}')"
CONFIRM_WORKFLOW = with_close(
    "small",
    {
        "small button": Use(OPEN),
        "small button danger": (
            Use("sent('DELETE /api/workflow/')"),
            Use(RESTORED, on="toast-list button:not(.quiet)"),
        ),
    },
)
CONFLICT = with_close(
    "small",
    {
        "small button": Use(OPEN),
        "small button danger": Use("sent('POST /api/workflow/update')"),
    },
)
REMOVE = with_close(
    "small",
    {
        "small button servers.keep": Use(OPEN),
        "small button servers.remove": Use("sent('DELETE /api/servers/')"),
        "small input-checkbox servers.force": (
            Use("it.checked"),
            Use("sent('DELETE /api/servers/.*force=true')", on="dialog .danger"),
        ),
    },
)
TITLE = "one('dialog h2').textContent"
LARGE = with_close(
    "large",
    {
        "large button large.previous": Use(
            TITLE, first="one('dialog header button:nth-of-type(2)').click()"
        ),
        "large button large.next": Use(TITLE),
        "large button result.use": Use("shown('toast-list > div')"),
        "large button large.download": Use("sent('DOWNLOAD .*png')"),
        "large button large.clean": Use("sent('DOWNLOAD .*metadata=strip')"),
        "large button large.zip": Use("sent('DOWNLOAD .*outputs.zip')"),
        "large button large.asInput": Use("sent('POST /api/image/upload')"),
        "large a large.task": Use("location.hash"),
    },
    "click, keydown",
)
COMPARE = with_close(
    "large",
    {
        "large input-range compare.slider": Use("one('.versus').style.cssText", "press:Home"),
        "large div versus (pointermove)": Use("one('.versus').style.cssText", drags),
    },
)
PAINTED = "one('.paint').toDataURL().length + one('.paint').toDataURL().slice(-400)"
MASK = with_close(
    "mask-dialog",
    {
        "mask-dialog canvas mask.title (pointerdown, pointermove, contextmenu)": Use(
            PAINTED, drags
        ),
        "mask-dialog input-range mask.width": (
            Use("it.value", "press:End"),
            Use(PAINTED, drags, on=".paint"),
        ),
        "mask-dialog input-checkbox mask.erase": (
            Use(PAINTED, drags, on=".paint"),
            Use("it.checked"),
            Use(PAINTED, drags, on=".paint"),
        ),
        "mask-dialog button mask.invert": Use(PAINTED),
        "mask-dialog button mask.clear": Use(
            PAINTED, first="one('.easel').previousSibling.children[5].click()"
        ),
        "mask-dialog button cancel": Use(OPEN),
        "mask-dialog button mask.use": (
            Use(PAINTED, drags, on=".paint"),
            Use("sent('POST /api/image/upload/mask')", on=GO_ON),
        ),
    },
    "click, keydown",
)
OPENED = f"workspace.name === '{QWEN}' && shown('run-form parameter-field')"


def opened(place: str, until: str, script: str, then: str = "true") -> Scene:
    return scene(place, until, script, f"shown('dialog') && ({then})")


def press(selector: str) -> str:
    return f"one(`{selector}`).click();"


RUN = f"#/run/{QWEN}"
PICTURES = "document.querySelectorAll('result-tile .picture img').length > 1"
OPEN_IMAGE = """
  if (workspace.name !== "image.json")
    await workspace.open({ text: IMAGE, name: "image.json" });
"""
ALL = """
  const scope = one("[data-part=scope]");
  scope.value = "all";
  scope.dispatchEvent(new Event("change"));
"""
DIALOGS: list[tuple[list[Scene], Table]] = [
    ([opened(RUN, OPENED, press("[data-part=code]"), "one('dialog .code').textContent")], CODE),
    ([opened(RUN, OPENED, press("[data-part=save-as]"))], SAVE_AS),
    ([opened(RUN, OPENED, press("[data-part=versions]"), "shown('dialog li')")], VERSIONS),
    (
        [
            opened(RUN, PICTURES, press("result-tile .picture")),
            opened("#/run", "true", OPEN_IMAGE + ALL + press("result-tile .picture")),
        ],
        LARGE,
    ),
    (
        [
            opened(
                RUN,
                PICTURES,
                "for (const box of [...document.querySelectorAll('.pick input')].slice(0, 2))"
                " if (!box.checked) box.click();"
                " one('result-gallery [data-part=compare]').click()",
                "shown('dialog table, dialog .hint')",
            )
        ],
        COMPARE,
    ),
    (
        [
            opened(
                "#/run",
                f"{OPENED} || workspace.name === 'image.json'",
                OPEN_IMAGE
                + "while (!shown('.upload button')) await new Promise(requestAnimationFrame);"
                " one('.upload button').click()",
            )
        ],
        MASK,
    ),
    ([opened(RUN, PICTURES, press("result-tile [data-part=delete]"))], CONFIRM_DELETE),
    (
        [
            opened(
                RUN,
                OPENED,
                "workspace.version = 'old'; workspace.set('3.steps', 6);"
                + press("[data-part=save]"),
            )
        ],
        CONFLICT,
    ),
    ([opened(RUN, OPENED, press(".work [data-part=delete]"))], CONFIRM_WORKFLOW),
]


REMOVED = press(".server:nth-last-child(2) .buttons .danger")  # the last one
REMOVE_SCENE = opened("#/servers", "shown('server-panel .buttons')", REMOVED)
AT_WORK = "shown('dialog .force')"
# The card of the server that was removed may be there for a moment
ALONE = (
    "shown('server-panel .buttons')"
    " && document.querySelectorAll('server-panel .server .buttons').length === 1"
)
FORCE_SCENE = opened("#/servers", ALONE, REMOVED + press("dialog .danger"), AT_WORK)
CALLS = re.compile(r"(?<!function )\b(?:openDialog|confirmed|showModal)\(")


def is_gone_picture(fault: str) -> bool:
    """One that is still being loaded when its task is deleted: Chromium logs that."""
    return "404" in fault and "/api/image/" in fault


async def test_every_control_of_every_dialog(
    browser: Browser, gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.step_seconds = 0
    async with visitor(browser, gateway, expected=is_gone_picture, below=BELOW) as page:
        await page.add_init_script(path=SCRIPT)
        await page.add_init_script(f"window.IMAGE = {json.dumps(json.dumps(image_to_image()))}")
        await page.set_viewport_size({"width": WIDE, "height": 1000})
        for steps in (2, 3, 4):
            body = {"filename": QWEN, "params": {"steps": steps}}
            await gateway.http.post("/api/workflow/submit?wait=60", json=body)
            await gateway.http.post("/api/workflow/update", json=body)
        await page.goto(f"{BELOW}/{RUN}")
        await expect(page.locator("[data-part=socket][data-tone=good]")).to_be_visible()
        faults = []
        for scenes, table in DIALOGS:
            operator = Operator(page, table)
            await operator.operate_all(*scenes)
            faults += operator.complaints
        faults += await those_of_a_busy_server(page, gateway, demo)
        opened = set(await page.evaluate("controls.openers()"))
    assert not faults, "\n".join(faults)
    never = {line for line in openers() - opened if "key-dialog" not in line}
    assert not never, f"never opened: {never}"


def openers() -> set[str]:
    """The lines of the page that open a dialog."""
    return {
        f"{file.relative_to(SCRIPTS)}:{number}"
        for file in SCRIPTS.rglob("*.js")
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if CALLS.search(line) and not line.startswith("//")
    }


async def those_of_a_busy_server(
    page: Page, gateway: RunningGateway, demo: DemoServer
) -> list[str]:
    """Removing a server, by force where it works, and canceling a batch.

    A node that hears of no cancel keeps the server at work, however slow the machine."""
    await gateway.http.post("/api/servers", json={"address": "127.0.0.1:9"})
    remove, cancel = Operator(page, REMOVE), Operator(page, CONFIRM_BATCH)
    await remove.operate_all(REMOVE_SCENE)
    demo.knobs.stall = True
    batch = await gateway.submit(text_to_image(), batch={"3.seed": [1, 2, 3]}, wait=0)
    await gateway.until(batch["tasks"][0]["task_id"], "running")
    event = f"new CustomEvent('submitted', {{ detail: {json.dumps(batch)} }})"
    ask = f"{ALL} document.dispatchEvent({event});" + press("result-gallery [data-part=cancel]")
    await cancel.operate_all(opened(RUN, OPENED, ask))
    await remove.operate_all(FORCE_SCENE)
    return remove.complaints + cancel.complaints
