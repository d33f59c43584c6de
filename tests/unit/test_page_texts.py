"""The page says everything in both languages, and has a text for all that it asks for."""

import re
from pathlib import Path

STATIC = Path(__file__).parents[2] / "static"
STRINGS = STATIC / "js" / "strings"
ENTRY = re.compile(r'"([a-zA-Z]+(?:\.\w+)*)":\s*"((?:[^"\\]|\\.)*)"')
CHINESE = "\u3000-\u303f\u3400-\u9fff\uff00-\uffef"
HALF_WIDTH = re.compile(rf"[{CHINESE}][,:;!?()]|[,:;!?()][{CHINESE}]|[}}][,;!?]$")
USED = re.compile(
    r'\bt\("([\w.]+)"|i18n: "([\w.]+)"|data-i18n="([\w.]+)"'
    r"|(?:title|aria-label|placeholder|alt):([\w.]+)"
)


def texts(language: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in parts(language):
        found |= dict(ENTRY.findall(path.read_text(encoding="utf-8")))
    return found


def parts(language: str) -> list[Path]:
    return sorted(path for path in (STRINGS / language).glob("*.js") if path.stem != "codes")


def test_both_languages_have_the_same_texts_with_the_same_places() -> None:
    assert [path.name for path in parts("en")] == [path.name for path in parts("zh")]
    english, chinese = texts("en"), texts("zh")
    assert len(english) > 150
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        places = [sorted(re.findall(r"\{\w+\}", each)) for each in (text, chinese[key])]
        assert places[0] == places[1], key


def test_what_is_asked_for_is_there() -> None:
    known = texts("en")
    for path in [*STATIC.glob("*.html"), *STATIC.glob("html/*.html"), *STATIC.glob("js/**/*.js")]:
        asked = {
            key
            for found in USED.findall(path.read_text(encoding="utf-8"))
            for key in found
            if "." in key
        }
        assert asked <= known.keys(), path


def test_chinese_has_its_own_punctuation() -> None:
    assert HALF_WIDTH.search("已选,共 3 个")
    for key, text in texts("zh").items():
        is_chinese = re.search(f"[{CHINESE}]", text)
        assert not (is_chinese and HALF_WIDTH.search(text)), (key, text)


def test_a_text_is_the_same_wherever_it_is_registered() -> None:
    for language in ("en", "zh"):
        said: dict[str, str] = {}
        for path in parts(language):
            for key, text in ENTRY.findall(path.read_text(encoding="utf-8")):
                assert said.setdefault(key, text) == text, (key, path.name)
