"""In Chinese the page names every error by its code, and one state by one word."""

import ast
import re
from collections.abc import Iterator

from app.errors import GatewayError
from app.tasks.model import Status
from tests.unit.test_page_texts import CHINESE, HALF_WIDTH, STATIC, texts

ROOT = STATIC.parent
ROW = re.compile(r'^\t(\w+): \[\s*"([^"]+)",\s+"([^"]+)"(,\s+true)?,?\s*\],$', re.MULTILINE)
REASON = re.compile(r'^\t(\w+): "([^"]+)",$', re.MULTILINE)
TASK_CODES = re.compile(r"^\| `(\w+)` \| [^|\d]+ \|$", re.MULTILINE)
OWN = {"away"}  # the page's own
LITERAL = re.compile(r'"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`')


def table() -> dict[str, tuple[str, str, str]]:
    text = (STATIC / "js/strings/zh/codes.js").read_text(encoding="utf-8")
    return {code: rest for code, *rest in ROW.findall(text)}  # type: ignore[misc]


def every_error(base: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    yield base
    for error in base.__subclasses__():
        yield from every_error(error)


def errors() -> dict[str, type[GatewayError]]:
    import app.main  # noqa: F401 - all that defines errors

    return {error.__name__: error for error in every_error() if error.__module__.startswith("app.")}


def task_codes() -> set[str]:
    text = (ROOT / "API_USAGE.md").read_text(encoding="utf-8")
    rows = text.split("| task error code | when |")[1].split("\n\n")[0]
    return set(re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE))


def hints() -> dict[str, set[str]]:
    """By code: the hints that are given with it, as they stand in the source."""
    known = errors()
    found: dict[str, set[str]] = {}
    for path in (ROOT / "app").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[-1]
            if not isinstance(call, ast.Call) or name not in known:
                continue
            for each in call.keywords:
                if each.arg == "hint":
                    found.setdefault(known[str(name)].code, set()).add(ast.unparse(each.value))
    return found


def test_every_code_has_a_chinese_title_and_a_hint_where_there_is_an_english_one() -> None:
    wanted = {error.code for error in errors().values()} | task_codes()
    assert len(wanted) >= 65
    assert wanted | OWN == table().keys()
    assert len(hints()) > 30
    for code, (title, hint, _) in table().items():
        for text in (title, hint):
            assert re.search(f"[{CHINESE}]", text), code
    assert hints().keys() <= table().keys()


def test_what_an_english_hint_says_in_particular_is_not_lost() -> None:
    for code, said in hints().items():
        is_constant = len(said) == 1 and next(iter(said))[0] in "\"'"
        assert is_constant or table()[code][2], (code, said)


def test_every_fault_of_a_node_has_a_chinese_reason() -> None:
    source = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "app/workflows").rglob("*.py")
    )
    types = set(re.findall(r'fault\(\s*"(\w+)"', source))
    types |= set(
        re.findall(
            r'"type": "(\w+)"', (ROOT / "app/comfyui/node_errors.py").read_text(encoding="utf-8")
        )
    )
    reasons = dict(REASON.findall((STATIC / "js/strings/zh/codes.js").read_text(encoding="utf-8")))
    assert len(types) > 5
    assert types <= reasons.keys()


STATES = {
    "等待": "排队",
    "执行中": "运行中",
    "进行中": "运行中",
    "成功": "已完成",
    "出错": "失败",
    "终止": "取消",
    "中止": "取消",
}
SAME = {
    "graph.waiting": Status.QUEUED,
    "graph.running": Status.RUNNING,
    "graph.done": Status.SUCCEEDED,
    "graph.failedState": Status.FAILED,
    "task.waits": Status.QUEUED,
    "task.ongoing": Status.RUNNING,
}
PLAIN_DONE = re.compile("(?<!已)(?<!未)完成")


def test_one_chinese_word_for_each_state() -> None:
    chinese = texts("zh")
    words = [chinese[f"status.{status}"] for status in Status]
    assert len(set(words)) == len(words)
    for key, status in SAME.items():
        assert chinese[key] == chinese[f"status.{status}"], key
    assert chinese[f"status.{Status.QUEUED}"] in chinese["queue.depth"]
    assert chinese[f"status.{Status.RUNNING}"] in chinese["queue.depth"]
    for key, text in chinese.items():
        assert [(word, right) for word, right in STATES.items() if word in text] == [] or (
            key == "problem.page"
        ), (key, text)
        assert not PLAIN_DONE.search(text), (key, text)
        assert "缓存" not in text.replace("已缓存", ""), (key, text)


def test_no_chinese_text_of_the_page_has_half_width_punctuation() -> None:
    """All texts there are, wherever they stand."""
    found = 0
    for path in [*STATIC.rglob("*.js"), *STATIC.rglob("*.html")]:
        if "vendor" in path.parts:
            continue
        for text in LITERAL.findall(path.read_text(encoding="utf-8")):
            if re.search(f"[{CHINESE}]", text):
                found += 1
                bare = re.sub(r"\$?\{[^}]*\}", "{}", text[1:-1])
                assert not HALF_WIDTH.search(bare), (path.name, text)
    assert found > 400
