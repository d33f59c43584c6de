"""Errors in Chinese: by their codes, in boxes, toasts, beside fields and in lists."""

import json
import re

from playwright.async_api import Browser, expect

from fake_comfyui.server import DemoServer
from tests.browser.conftest import visitor
from tests.browser.helpers import QWEN, open_file
from tests.conftest import RunningGateway, text_to_image


async def test_errors_are_said_in_chinese_and_follow_the_language(
    browser: Browser, gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.fail_node = "KSampler"
    failed = await gateway.submit(text_to_image())
    async with visitor(
        browser, gateway, locale="zh-CN", expected=lambda fault: "status of 4" in fault
    ) as page:
        await page.goto(f"/#/tasks/{failed['task_id']}")
        shown = page.locator("task-detail .error")
        await expect(shown).to_contain_text("节点运行出错")
        await expect(shown).to_contain_text("请查看出错的节点和回溯")
        box = page.locator("task-detail problem-box:visible")
        row = page.locator(f'.row[data-id="{failed["task_id"]}"]')
        await expect(row).to_contain_text(re.compile("节点运行出错.RuntimeError"))
        await page.goto("/#/tasks/00000000-0000-0000-0000-000000000000")
        await expect(box.locator("[data-part=title]")).to_have_text("没有这个任务")
        await expect(box.locator("[data-part=hint]")).to_contain_text("可能已被删除")
        await page.locator("[data-part=language]").select_option("en")
        await expect(box.locator("[data-part=title]")).to_have_text("There is no such task")
        await page.locator("[data-part=language]").select_option("zh")

        graph = text_to_image()
        graph["4"]["inputs"] = {}
        await page.goto("/#/run")
        await open_file(page, json.dumps(graph), "bad.json")
        await expect(page.locator("[data-part=name]").first).to_have_text("bad.json")
        await page.locator("run-bar [data-part=run]").click()
        bar = page.locator("run-bar problem-box")
        await expect(bar.locator("[data-part=title]")).to_have_text("工作流无法运行")
        await expect(bar.locator("[data-part=nodes]")).to_contain_text("缺少必需的输入")

        await page.goto("/#/servers")
        form = page.locator("server-panel form.add")
        await form.locator("[name=address]").fill(demo.address)
        await form.locator("button").click()
        await expect(form.locator(".address .bad")).to_contain_text("这台服务器已在使用")


async def test_a_task_is_told_in_the_same_words_by_every_view(
    browser: Browser, gateway: RunningGateway
) -> None:
    body = {"filename": QWEN, "params": {"steps": 2}}
    answer = await gateway.http.post("/api/workflow/submit?wait=60", json=body)
    task_id = answer.json()["task_id"]
    async with visitor(browser, gateway, locale="zh-CN") as page:
        await page.goto(f"/#/tasks/{task_id}")
        detail = page.locator("task-detail")
        await expect(detail.locator(".outputs figcaption small").first).to_contain_text("图片")
        await expect(detail.locator(".attempts .chip").first).to_have_text("已完成")
        await expect(page.locator(".row .duration").last).to_have_text(re.compile("^[0-9.]+ 秒$"))
        said = await page.evaluate(
            """async () => {
              const { brief } = await import("/static/js/run/format.js");
              const { spoken } = await import("/static/js/components/tasks/task-words.js");
              const all = [0.04, 9.96, 59.6, 119.7, 3599.8, 7199.9];
              return [all.map(brief), all.map(spoken)];
            }"""
        )
        told = ["0.0 秒", "10 秒", "1 分 0 秒", "2 分 0 秒", "1 小时 0 分", "2 小时 0 分"]
        assert said == [told, told]


async def test_punctuation_is_chinese_and_nothing_is_said_twice(
    browser: Browser, gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.fail_node = "KSampler"
    await gateway.http.post("/api/workflow/submit?wait=60", json={"filename": QWEN})
    async with visitor(
        browser, gateway, locale="zh-CN", expected=lambda fault: "404" in fault
    ) as page:
        await page.goto(f"/#/run/{QWEN}")
        title = page.locator("result-tile problem-box [data-part=title]")
        await expect(title).to_contain_text("节点运行出错")
        await page.get_by_role("tab", name="节点图").click()
        node = page.locator("workflow-graph .node[aria-label]").first
        await expect(node).to_have_attribute("aria-label", re.compile("^[^,]+#"))
        await page.evaluate("location.hash = '#/run/nope.json'")
        hint = page.locator("run-bar problem-box [data-part=hint]")
        await expect(hint).to_have_text(re.compile("^[^A-Za-z ]+$"))


async def test_the_table_of_codes_comes_with_the_first_error(
    browser: Browser, gateway: RunningGateway
) -> None:
    async with visitor(browser, gateway, locale="zh-CN") as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(f"/#/run/{QWEN}")
        await expect(page.locator("parameter-field").first).to_be_visible()
        assert [url for url in asked if "codes.js" in url] == []


LOADED_MEANWHILE = """async () => {
  const { setLanguage, texts, t } = await import("/static/js/page/i18n.js");
  const chosen = setLanguage("zh");
  await Promise.all([chosen, texts("graph")]);
  return t("graph.whole");
}"""


async def test_texts_that_are_loaded_while_the_language_changes(
    browser: Browser, gateway: RunningGateway
) -> None:
    async with visitor(browser, gateway, locale="en-US") as page:
        await page.goto("/#/servers")
        await expect(page.locator("[data-part=language]")).to_have_value("en")
        assert await page.evaluate(LOADED_MEANWHILE) == "工作流"
