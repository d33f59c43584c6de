"""What tests of the view "run" share."""

import base64
import io
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.async_api import Locator, Page, expect

from tests.conftest import Json

QWEN = "qwen_t2i_distill.json"
TRANSFER = """([content, name]) => {
  const data = new DataTransfer();
  const type = name.endsWith(".png") ? "image/png" : "";
  data.items.add(new File([Uint8Array.fromBase64(content)], name, { type }));
  return data;
}"""
AXE = Path(__file__).parent / "vendor" / "axe.min.js"


async def open_run(page: Page, workflow: str = QWEN, below: str = "") -> None:
    await page.goto(f"{below}/#/run/{workflow}")
    await expect(page.get_by_role("heading", name=workflow).last).to_be_visible()
    await expect(page.locator("parameter-field").first).to_be_visible()
    await expect(page.locator("[data-part=socket][data-tone=good]")).to_be_visible()


async def open_file(page: Page, content: str | bytes, name: str = "mine.json") -> None:
    file = {"name": name, "mimeType": "", "buffer": as_bytes(content)}
    chooser = page.locator("workflow-library input[type=file]")
    await chooser.set_input_files(files=[file])  # type: ignore[list-item]


async def drop_file(page: Page, target: Locator, content: str | bytes, name: str) -> None:
    """As if somebody had dropped a file there."""
    data = await page.evaluate_handle(TRANSFER, [encoded(content), name])
    await target.dispatch_event("dragover", {"dataTransfer": data})
    await target.dispatch_event("drop", {"dataTransfer": data})


async def paste_file(page: Page, target: Locator, content: str | bytes, name: str) -> None:
    data = await page.evaluate_handle(TRANSFER, [encoded(content), name])
    await target.evaluate(
        """(target, clipboardData) =>
          target.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }))""",
        data,
    )


def as_bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def encoded(content: str | bytes) -> str:
    """As TRANSFER takes it. A list of numbers is a hundred times slower."""
    return base64.b64encode(as_bytes(content)).decode()


def picture(color: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (96, 64), color).save(file, "png")
    return file.getvalue()


async def run(page: Page) -> Locator:
    """Runs what is open; the tile of its result once it has succeeded."""
    before = await page.locator("result-tile").count()
    await page.keyboard.press("Control+Enter")
    await expect(page.locator("result-tile")).to_have_count(before + 1)
    tile = page.locator("result-tile").first
    await expect(tile).to_have_attribute("data-status", "succeeded")
    return tile


def field(page: Page, key: str) -> Locator:
    return page.locator(f'parameter-field[data-key="{key}"]')


async def serious(page: Page, *rules: str) -> list[Json]:
    """What axe-core finds serious or critical, by these rules or all.

    Run from outside: the page's CSP stays.
    """
    if not await page.evaluate("'axe' in window"):
        session = await page.context.new_cdp_session(page)
        await session.send("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
    options = {"resultTypes": ["violations"], **({"runOnly": rules} if rules else {})}
    answer: Any = await page.evaluate("options => axe.run(document, options)", options)
    return [
        {
            "id": each["id"],
            "nodes": [(n["html"][:160], n["failureSummary"][:300]) for n in each["nodes"]],
        }
        for each in answer["violations"]
        if each["impact"] in ("serious", "critical")
    ]
