"""The form as code: what is shown is run as it stands, and makes the task."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests import services
from tests.browser.conftest import BELOW, visitor
from tests.browser.helpers import open_file, open_run
from tests.conftest import RunningGateway, text_to_image
from tests.powershell import assigned

# Quotes of every kind, what shells and templates expand, line ends, other scripts, half a pair.
NASTY = "it's \"fine\" `id` $HOME ${x} $(id) \\n \\' %s {0} \u2028 é 雪 🦊 <b> & \n!'''\"\"\""
SEED = 2**63 + 1


async def shown(page: Page, kind: str) -> str:
    await page.get_by_role("tab", name=kind, exact=True).click()
    await expect(page.locator("pre.code")).to_have_attribute("aria-label", kind)
    await expect(page.locator("pre.code")).not_to_be_empty()
    return await page.locator("pre.code").text_content() or ""


async def execute(*command: str, cwd: Path) -> str:
    environment = {**os.environ, "COMFYUI_API_KEY": "secret"}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=environment, stdout=-1, stderr=-1
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return out.decode()


async def opened(page: Page, *, is_new: bool, below: str = "") -> None:
    await open_run(page, below=below)
    if is_new:
        await open_file(page, json.dumps(text_to_image(seed=SEED)), "it's.json")
        await expect(page.get_by_label("Seed", exact=True)).to_have_value(str(SEED))
    await page.get_by_label("Prompt", exact=True).fill(NASTY)
    await page.get_by_role("button", name="As code").click()


async def newest_prompt(gateway: RunningGateway) -> tuple[str, int]:
    """Of the last task: its text and seed, as the graph had them that ran."""
    task = (await gateway.http.get("/api/tasks?limit=1")).json()["tasks"][0]
    assert task["status"] == "succeeded"
    graph = (await gateway.http.get(f"/api/task/{task['task_id']}/workflow")).json()["workflow"]
    return graph["6"]["inputs"]["text"], graph["3"]["inputs"]["seed"]


@pytest.mark.parametrize(
    ("is_new", "below"), [(True, ""), (False, BELOW)], ids=["opened", "saved, below a path"]
)
async def test_each_language_makes_the_task(
    browser: Browser, gateway: RunningGateway, tmp_path: Path, is_new: bool, below: str
) -> None:
    async with visitor(browser, gateway, below=below) as page:
        await opened(page, is_new=is_new, below=below)
        await each_makes_the_task(page, gateway, tmp_path, is_new)


async def each_makes_the_task(
    page: Page, gateway: RunningGateway, tmp_path: Path, is_new: bool
) -> None:
    commands = {
        "curl": (services.program("bash"), "run.sh"),
        "Python": (sys.executable, "run.py"),
        "JavaScript": (services.program("node"), "run.mjs"),
        "comfy-sdk": (sys.executable, "sdk.py"),
    }
    services.program("curl")
    if pwsh := services.find("pwsh"):  # elsewhere tests/acceptance/test_code_powershell.py reads it
        commands["PowerShell"] = (pwsh, "run.ps1")
    for kind, (program, file) in commands.items():
        code = await shown(page, kind)
        folder = tmp_path / kind
        folder.mkdir()
        (folder / file).write_text(code, encoding="utf-8")
        before = len((await gateway.http.get("/api/tasks")).json()["tasks"])
        out = await execute(program, file, cwd=folder)
        assert "succeeded" in out, kind
        after = (await gateway.http.get("/api/tasks")).json()["tasks"]
        assert len(after) == before + 1, kind
        text, seed = await newest_prompt(gateway)
        assert text == NASTY, kind
        assert (seed == SEED) is is_new, kind
    for kind in commands.keys() & {"PowerShell", "Python", "comfy-sdk"}:
        assert len(list((tmp_path / kind).glob("*.png"))) == 1, f"{kind} fetches the results"


async def test_a_batch_with_a_key(blank: Page, gateway: RunningGateway, tmp_path: Path) -> None:
    page = blank
    await open_run(page)
    await page.evaluate(
        "import('/static/js/api/key.js').then(({ key }) => { key.value = 'secret' })"
    )
    await page.locator("run-bar summary").get_by_text("Batch").click()
    await page.get_by_label("Seeds").fill("3")
    await page.get_by_role("button", name="As code").click()
    for kind, variable in (
        ("curl", '"Authorization: Bearer $COMFYUI_API_KEY"'),
        ("PowerShell", '"Bearer $env:COMFYUI_API_KEY"'),
        ("Python", "os.environ['COMFYUI_API_KEY']"),
        ("JavaScript", "process.env.COMFYUI_API_KEY"),
        ("comfy-sdk", 'os.environ["COMFYUI_API_KEY"]'),
    ):
        code = await shown(page, kind)
        assert variable in code
        assert "secret" not in code
    (tmp_path / "run.py").write_text(await shown(page, "Python"), encoding="utf-8")
    out = await execute(sys.executable, "run.py", cwd=tmp_path)
    assert out.count("succeeded") == 3
    (tmp_path / "run.sh").write_text(await shown(page, "curl"), encoding="utf-8")
    answer = json.loads(await execute("bash", "run.sh", cwd=tmp_path))
    assert len(answer["tasks"]) == 3


async def test_powershell_holds_what_curl_sends(
    blank: Page, gateway: RunningGateway, tmp_path: Path
) -> None:
    await opened(blank, is_new=True)
    (tmp_path / "body.json").write_text(
        assigned(await shown(blank, "PowerShell"))["body"], encoding="utf-8"
    )
    (tmp_path / "run.sh").write_text(await shown(blank, "curl"), encoding="utf-8")
    sent = re.sub(
        r"--data-raw '.*'\n", "--data @body.json\n", await shown(blank, "curl"), flags=re.S
    )
    assert "@body.json" in sent
    (tmp_path / "run.sh").write_text(sent, encoding="utf-8")
    await execute("bash", "run.sh", cwd=tmp_path)
    assert await newest_prompt(gateway) == (NASTY, SEED)


WINDOWS = "Object.defineProperty(navigator, 'platform', { get: () => 'Win32' });"
WINDOWS += "Object.defineProperty(navigator, 'userAgentData', { get: () => undefined });"


async def test_windows_is_shown_powershell_until_another_is_chosen(blank: Page) -> None:
    await blank.add_init_script(WINDOWS)
    chosen = blank.locator("dialog [role=tab][aria-selected=true]")
    await opened(blank, is_new=False)
    await expect(chosen).to_have_text("PowerShell")
    await shown(blank, "Python")
    await blank.reload()
    await blank.get_by_role("button", name="As code").click()
    await expect(chosen).to_have_text("Python")


async def test_on_windows_a_task_is_copied_for_powershell(
    blank: Page, gateway: RunningGateway
) -> None:
    task = await gateway.submit(text_to_image(seed=SEED, text=NASTY))
    await blank.add_init_script(WINDOWS)
    await blank.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await blank.goto(f"/#/tasks/{task['task_id']}")
    await blank.get_by_role("button", name="Copy PowerShell").click()
    await expect(blank.get_by_role("button", name="Copied")).to_be_visible()
    copied = assigned(await blank.evaluate("navigator.clipboard.readText()"))
    graph = json.loads(copied["body"])["workflow"]
    assert (graph["6"]["inputs"]["text"], graph["3"]["inputs"]["seed"]) == (NASTY, SEED)


async def test_all_languages_have_room_on_a_phone(blank: Page) -> None:
    await opened(blank, is_new=False)
    await shown(blank, "PowerShell")
    await blank.set_viewport_size({"width": 360, "height": 740})
    size = "document.querySelector('dialog.code-dialog')"
    assert await blank.evaluate(f"{size}.scrollWidth - {size}.clientWidth") == 0


async def test_a_click_copies(blank: Page) -> None:
    await blank.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await opened(blank, is_new=False)
    code = await shown(blank, "curl")
    await blank.get_by_role("button", name="Copy", exact=True).click()
    await expect(blank.locator("toast-list")).to_contain_text("Copied.")
    assert await blank.evaluate("navigator.clipboard.readText()") == code


async def test_a_task_as_curl_runs_to_its_last_digit(
    blank: Page, gateway: RunningGateway, tmp_path: Path
) -> None:
    task = await gateway.submit(text_to_image(seed=SEED, text=NASTY))
    await blank.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await blank.goto(f"/#/tasks/{task['task_id']}")
    await blank.get_by_role("button", name="Copy curl").click()
    await expect(blank.get_by_role("button", name="Copied")).to_be_visible()
    (tmp_path / "run.sh").write_text(
        await blank.evaluate("navigator.clipboard.readText()"), encoding="utf-8"
    )
    await execute("bash", "run.sh", cwd=tmp_path)
    assert await newest_prompt(gateway) == (NASTY, SEED)
