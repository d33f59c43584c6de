"""Operates every control of the page, by a table that names each kind of them.

controls.js enumerates what can be operated from the DOM and from who listens to what. A control
without a row in the table is a fault, as is a row without a control, and one without effect.
"""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import ElementHandle, Error, Page

from tests.browser.helpers import TRANSFER, as_bytes, encoded
from tests.conftest import WAIT, wait_until

SCRIPT = Path(__file__).parent / "controls.js"
VALUE = "it => { try { return (%s) } catch { return null } }"  # null: it is not there
NARROW, WIDE = 390, 1440

Hand = Callable[[Page, ElementHandle], Awaitable[None]]
Scene = Callable[[Page], Awaitable[None]]  # brings the page there, from wherever it is


@dataclass(frozen=True)
class Use:
    """How a control is operated, and a JavaScript expression whose value that must change.

    `it` is the control; controls.js has `sent`, `shown` and `one`. `first` is run before.
    """

    effect: str
    how: str | Hand = "click"
    first: str = ""
    on: str = ""  # another control, by its selector: what the first one leads to
    where: str = ""  # only there it has an effect: how the address begins


Row = Use | tuple[Use, ...]
Table = Mapping[str, Row]


class Operator:
    """`elsewhere`: controls that can be seen beside those of the table, and are not its matter."""

    def __init__(self, page: Page, table: Table, elsewhere: Collection[str] = ()) -> None:
        self._page = page
        self._known = {*table, *elsewhere}
        self.left = dict(table)
        self.faults: list[str] = []

    @property
    def complaints(self) -> list[str]:
        """At the end."""
        return self.faults + [f"named in the table, but not there: {name}" for name in self.left]

    async def operate(self, ready: Scene) -> None:
        """All that can be seen once `ready` is done and was not operated before."""
        while name := await self._next(ready):
            row = self.left.pop(name)
            for use in row if isinstance(row, tuple) else (row,):
                if fault := await self._operate(name, use):
                    self.faults.append(fault)
                    break
            if not self.left:
                return

    async def operate_all(self, *scenes: Scene) -> None:
        for ready in scenes:
            await self.operate(ready)

    async def _next(self, ready: Scene) -> str:
        try:
            await ready(self._page)
        except (AssertionError, Error) as error:
            self.faults.append(f"{error} (before {', '.join([*self.left][:3])} ...)")
            return ""
        names = set(await self._page.evaluate("controls.survey()"))
        for unknown in sorted(names - self._known):
            fault = f"no row in the table names the control: {unknown}"
            if fault not in self.faults:
                self.faults.append(fault)
        place = await self._page.evaluate("location.hash")
        for name, row in self.left.items():
            uses = row if isinstance(row, tuple) else (row,)
            if name not in names or not place.startswith(uses[0].where):
                continue
            if uses[0].first or await self._find(name, uses[0]):
                return name
        return ""

    async def _find(self, name: str, use: Use) -> ElementHandle | None:
        if name.startswith("document ") and not use.on:
            return await self._page.query_selector("body")
        script = "([name, on]) => (on ? one(on) : controls.find(name))"
        return (await self._page.evaluate_handle(script, [name, use.on])).as_element()

    async def _awaited(self, name: str, use: Use) -> ElementHandle | None:
        """What the use before has led to may still be on its way."""
        with contextlib.suppress(TimeoutError):
            await wait_until(lambda: self._find(name, use))
        return await self._find(name, use)

    async def _operate(self, name: str, use: Use) -> str:
        """What is wrong with it, or nothing."""
        if use.first:
            await self._page.evaluate(f"async () => {{ {use.first} }}")
        control = await self._awaited(name, use)
        if control is None:
            return f"cannot be operated: {name} {use.on}"
        before = await self._value(use, control)
        try:
            await asyncio.wait_for(self._do(use.how, control), WAIT)
        except Exception as error:  # noqa: BLE001 - whatever stops a hand is told with the control
            return f"cannot be operated: {name}: {str(error)[:300]}"

        async def has_changed() -> bool:
            return bool(await self._value(use, control) != before)

        try:
            await wait_until(has_changed)
        except TimeoutError:
            return f"no effect: {name}: {use.how}: {use.effect} stays {before!r}"
        return ""

    async def _value(self, use: Use, control: ElementHandle) -> object:
        # Where the page begins anew there is no such control any more.
        it = control if re.search(r"\bit\b", use.effect) else None
        return await self._page.evaluate(VALUE % use.effect, it)

    async def _do(self, how: str | Hand, control: ElementHandle) -> None:
        if not isinstance(how, str):
            return await how(self._page, control)
        kind, _, text = how.partition(":")
        if kind == "click":
            await control.click()
        elif kind == "fill":
            await control.fill(text)
        elif kind == "press":
            await control.press(text)
        elif kind == "hover":
            await control.hover()
        elif kind == "focus":
            await control.focus()
        elif kind == "select":
            index = await control.evaluate("it => [...it.options].findIndex((o) => !o.selected)")
            await control.select_option(text or None, index=None if text else index)
        return None


READY = """async ([place, language]) => {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  for (const toast of document.querySelectorAll("toast-list > div")) toast.remove();
  window.workspace = (await import("./static/js/run/workspace.js")).workspace;
  const { setLanguage, language: now } = await import("./static/js/page/i18n.js");
  const wanted = window.wanted ?? language;
  if (now() !== wanted) await setLanguage(wanted);
  workspace.resetAll();
  const [, view, name] = place.split("/");
  const before = location.hash;
  const isOpen = view !== "run" || !name || workspace.name === name;
  if (location.hash !== place) location.hash = place;
  // What is opened before the modules of the view are there would not be shown.
  const isThere = () => view !== "run" || document.querySelector("run-form:defined");
  while (!isThere()) await new Promise(requestAnimationFrame);
  if (before === place && !isOpen) await workspace.open({ filename: name });
}"""


def scene(place: str, until: str, script: str = "", then: str = "true") -> Scene:
    """At that address, once `until` holds, with the script done, once `then` holds."""

    async def ready(page: Page) -> None:
        await page.evaluate(READY, [place, "en"])
        await holds(page, until)
        if script:
            await page.evaluate(f"async () => {{ {script} }}")
            await holds(page, then)

    return ready


def narrow(ready: Scene) -> Scene:
    """As on a telephone."""

    async def narrowed(page: Page) -> None:
        await page.set_viewport_size({"width": NARROW, "height": 800})
        await ready(page)

    return narrowed


async def holds(page: Page, condition: str) -> None:
    async def does() -> bool:
        return bool(await page.evaluate(f"() => Boolean({condition})"))

    try:
        await wait_until(does)
    except TimeoutError:
        seen = await page.evaluate("() => document.body.innerText.slice(0, 2000)")
        fault = f"cannot be brought there: {condition}; the page shows:\n{seen}"
        raise AssertionError(fault) from None


def gives(content: str | bytes, name: str) -> Hand:
    """Chooses a file."""

    async def choose(page: Page, control: ElementHandle) -> None:
        await control.set_input_files(
            files=[{"name": name, "mimeType": "", "buffer": as_bytes(content)}]
        )

    return choose


def hands(event: str, content: str | bytes, name: str) -> Hand:
    """Drops or pastes a file there, or drags it over."""

    async def hand(page: Page, control: ElementHandle) -> None:
        data = await page.evaluate_handle(TRANSFER, [encoded(content), name])
        script = (
            "(target, clipboardData) => target.dispatchEvent("
            "new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }))"
            if event == "paste"
            else "(target, dataTransfer) => target.dispatchEvent("
            f"new DragEvent('{event}', {{ dataTransfer, bubbles: true, cancelable: true }}))"
        )
        await page.evaluate_handle(f"([target, data]) => ({script})(target, data)", [control, data])

    return hand


async def drags(page: Page, control: ElementHandle) -> None:
    """From its middle a bit to the left and down."""
    await control.scroll_into_view_if_needed()
    box = await control.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.mouse.move(x - 60, y + 40, steps=4)
    await page.mouse.up()


async def wheels(page: Page, control: ElementHandle) -> None:
    await control.hover()
    await page.mouse.wheel(0, 120)


async def clicks_beside(page: Page, control: ElementHandle) -> None:
    await page.mouse.click(3, 3)


async def opens_a_tab(page: Page, control: ElementHandle) -> None:
    """Its address is in `window.opened` then."""
    async with page.expect_popup() as tab:
        await control.click()
    opened = await tab.value
    await page.evaluate("address => void (window.opened = address)", opened.url)
    await opened.close()


def anew(act: str) -> Hand:
    """By a click, or by a key. The page is loaded again by that."""

    async def do(page: Page, control: ElementHandle) -> None:
        async with page.expect_event("load"):
            await (control.click() if act == "click" else control.press(act))

    return do
