"""The controls of the view of tasks, of its list and of one task: how each is operated."""

from tests.browser.controls import Scene, Table, Use, drags, opens_a_tab, scene, wheels
from tests.browser.view_controls import DIALOG, FOCUS

ROWS = "document.querySelectorAll('task-table .space > .row').length"
COUNT = "one('task-table .bar small').textContent"
STATUS = "it.closest('.row').querySelector('.chip').textContent"
TASKS: Table = {
    "task-table more button tasks.more": Use(COUNT),
    "task-table filter input-search tasks.filter": Use(COUNT, "fill:no such text"),
    "task-table filter select tasks.batch": Use(COUNT, "select"),
    "task-table filter select tasks.workflow": Use(COUNT, "select"),
    "task-table statuses button chip": (Use("it.ariaPressed"), Use(COUNT)),
    "task-table cell input-checkbox tasks.selectAll": Use("shown('.space input:checked')"),
    "task-table div input-checkbox": Use("shown('task-table .chosen')"),
    "task-table div a #/tasks/*": Use("shown('task-detail')"),
    "section task-table tasks.title (keydown)": Use(FOCUS, "press:ArrowDown", on=".space .row a"),
    "document keydown main.js": Use(FOCUS, "press:/"),
    "document keydown views/tasks.js": Use(
        "location.hash", "press:Escape", first="location.hash = one('.space .row a').hash"
    ),
    "task-table chosen button tasks.clear": Use("shown('task-table .chosen')"),
    "task-table chosen button tasks.delete": Use(DIALOG),
    "task-table div button trash": Use(DIALOG),
    "task-table chosen button tasks.retry": Use("sent('POST .*/retry')"),
    "task-table div button reset": Use("sent('POST .*/retry')"),
    "task-table div button stop": Use(STATUS),
    "task-table chosen button tasks.cancel": Use("sent('POST .*/cancel')"),
}
CLEAR = """
  for (const each of document.querySelectorAll(".filter input, .filter select")) {
    if (!each.value) continue;
    each.value = "";
    each.dispatchEvent(new Event(each.matches("select") ? "change" : "input"));
  }
  for (const chip of document.querySelectorAll(".statuses [aria-pressed=true]")) chip.click();
  one("task-table .chosen button:last-child")?.click();
"""
TASKS_SCENES = [
    scene("#/tasks", "shown('task-table .bar')", CLEAR, f"{ROWS} > 10"),
    scene(
        "#/tasks",
        "shown('task-table .bar')",
        CLEAR + "(one('.head input') ?? one('.space input')).click()",
        "shown('task-table .chosen')",
    ),
]

CONTENT = "controls.isSeen(it.parentElement.querySelector('.content'))"
MOVED = "one('workflow-graph .drawing').style.transform"
ZOOMED = """
  [...document.querySelectorAll(".tools [aria-label]")].find(controls.isSeen).click();
  for (let frames = 0; frames < 2; frames++) await new Promise(requestAnimationFrame);
"""
DETAIL: Table = {
    **{
        f"task-detail section summary task.{name}": Use(CONTENT)
        for name in (
            "error",
            "warnings",
            "outputs",
            "graph",
            "params",
            "attempts",
            "nodes",
            "deliveries",
            "facts",
            "log",
        )
    },
    "task-detail header button tasks.close": Use("shown('task-detail')"),
    "task-detail wrap button tasks.retry": Use("location.hash"),
    "task-detail wrap button tasks.delete": Use(DIALOG),
    "task-detail wrap button task.copyId": (Use("it.textContent"), Use("sent('COPY .{36}')")),
    "task-detail wrap button task.copyCurl": Use("sent('COPY curl')"),
    "task-detail section a in a new tab": Use("window.opened", opens_a_tab),
    "task-detail section a file": Use("sent('DOWNLOAD')"),
    "task-detail section a #/tasks/*": Use("location.hash"),
    "task-detail section p message": Use(FOCUS, "focus"),
    "task-detail section button copy": Use("sent('COPY')"),
    "task-detail details summary task.traceback": Use("shown('.error pre')"),
    "task-detail details pre": Use(FOCUS, "focus"),
    "task-detail section pre task.log": Use(FOCUS, "focus"),
    "task-detail section button task.replay": Use("sent('POST .*/replay')"),
    "workflow-graph section div-group surface"
    " (click, dblclick, pointerdown, pointermove, keydown, wheel)": (
        Use(MOVED, drags),
        Use(MOVED, wheels),
        Use(MOVED, "press:0", on="workflow-graph .node"),
    ),
    "workflow-graph section g-button node": Use(FOCUS, "press:ArrowRight"),
    "workflow-graph section button graph.failed": Use(FOCUS),
    "workflow-graph section button graph.out": Use(MOVED),
    "workflow-graph section button graph.in": Use(MOVED),
    "workflow-graph section button graph.fit": Use(
        MOVED,
        first=ZOOMED,
    ),
    "task-detail wrap button tasks.cancel": Use("one('task-detail .chip').textContent"),
}


def detail_scene(task_id: str) -> Scene:
    return scene(
        f"#/tasks/{task_id}",
        "shown('task-detail .sections')",
        "for (const each of document.querySelectorAll('task-detail details')) each.open = true;",
        "shown('task-detail .log pre') && shown('task-detail .node')",
    )
