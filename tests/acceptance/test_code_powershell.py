"""The page's PowerShell, over values that want to get out of their strings.

A grammar and the rules of its tokenizer read the scripts (tests/powershell.py); PowerShell itself
runs them in tests/browser/test_code.py, where it is installed.
"""

import json
import subprocess
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests import services
from tests.conftest import ROOT
from tests.powershell import assigned

WRITE = """
import { readFileSync } from "node:fs";
import { powershell } from "./static/js/run/code.js";
const requests = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(requests.map(powershell)));
"""
NASTY = [
    *(
        "'",
        "''",
        '"',
        "`",
        "`n",
        "$x",
        "$(id)",
        "${env:x}",
        "@'",
        "'@",
        "\n'@\n",
        "\r\n'@",
        '"@',
        "#",
        "<#",
        "#>",
        ";",
    ),
    *(
        "\u2018",
        "\u2019",
        "\u201a",
        "\u201b",
        "\u201c",
        "\u201d",
        "\u201e",
        "\u2013",
        "\u2028",
        "\u0085",
        "\x00",
        "\x7f",
    ),
    *(
        "\U0001f98a",
        "\u202eabc",
        "\u05e9\u05dc",
        "\ud800",
        "\\",
        "\\'",
        "%s",
        "{0}",
        "\ufeff",
        "雪",
        "e\u0301",
    ),
]
TEXTS = st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=5)), max_size=8).map("".join)
WHOLE = TEXTS.filter(lambda text: not {"\ud800", "\x00"} & set(text))  # a script is a text
BODIES = st.recursive(
    st.one_of(
        TEXTS,
        st.integers(),
        st.booleans(),
        st.none(),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


def scripts(requests: list[dict[str, Any]]) -> list[str]:
    node = services.program("node")
    made = subprocess.run(
        [node, "--no-warnings", "--input-type=module", "-e", WRITE],
        input=json.dumps(requests).encode(),
        capture_output=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert made.returncode == 0, made.stderr.decode()
    written: list[str] = json.loads(made.stdout)
    return written


@settings(max_examples=25, deadline=None, database=None, phases=[Phase.generate])
@given(st.lists(st.tuples(BODIES, WHOLE, st.booleans()), min_size=8, max_size=20))
def test_no_value_leaves_its_string(values: list[tuple[Any, str, bool]]) -> None:
    requests = [
        {
            "origin": origin,
            "path": "/it's",
            "body": json.dumps({"v": body}, ensure_ascii=False),
            "hasKey": key,
        }
        for body, origin, key in values
    ]
    for request, script in zip(requests, scripts(requests), strict=True):
        found = assigned(script)
        assert found.keys() == {"client.BaseAddress", "body", "ErrorActionPreference"}
        assert found["body"].isascii()
        assert found["client.BaseAddress"] == request["origin"]
        assert json.loads(found["body"]) == json.loads(request["body"])
        assert ("$env:COMFYUI_API_KEY" in script) is request["hasKey"]
