"""The page says everything in both languages, and has a text for all that it asks for."""

import re
from pathlib import Path

STATIC = Path(__file__).parents[2] / "static"
STRINGS = STATIC / "js" / "strings"
ENTRY = re.compile(r'"([a-zA-Z]+(?:\.\w+)*)":\s*"((?:[^"\\]|\\.)*)"')
USED = re.compile(
    r'\bt\("([\w.]+)"|i18n: "([\w.]+)"|data-i18n="([\w.]+)"'
    r"|(?:title|aria-label|placeholder|alt):([\w.]+)"
)


def texts(language: str) -> dict[str, str]:
    found = dict(ENTRY.findall((STRINGS / f"{language}.js").read_text()))
    for name in ("tasks", "servers", "graph"):
        english, chinese = (STRINGS / f"{name}.js").read_text().split("zh: {")
        found |= dict(ENTRY.findall(english if language == "en" else chinese))
    return found


def test_both_languages_have_the_same_texts_with_the_same_places() -> None:
    english, chinese = texts("en"), texts("zh")
    assert len(english) > 150
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        places = [sorted(re.findall(r"\{\w+\}", each)) for each in (text, chinese[key])]
        assert places[0] == places[1], key


def test_what_is_asked_for_is_there() -> None:
    known = texts("en")
    for path in [STATIC / "index.html", *STATIC.glob("js/**/*.js")]:
        asked = {key for found in USED.findall(path.read_text()) for key in found if "." in key}
        assert asked <= known.keys(), path
