"""Types of files do not hang on the machine: on Windows its registry may say anything."""

import mimetypes
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.comfyui.bodies import form_body
from app.files.kinds import content_type_of
from app.main import CONTENT_TYPES, PLAIN, STATIC, Static
from fake_comfyui.folders import TYPES

FILES = [path for path in sorted(STATIC.rglob("*")) if path.is_file()]


@pytest.fixture(autouse=True)
def _a_strange_registry() -> Iterator[None]:
    for suffix in {*CONTENT_TYPES, *mimetypes.types_map}:
        mimetypes.add_type("application/x-strange", suffix)
    yield
    mimetypes.init()


async def test_static_files_have_types_that_browsers_take() -> None:
    transport = httpx.ASGITransport(Static(directory=STATIC))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        for path in FILES:
            answer = await http.get(f"/{path.relative_to(STATIC).as_posix()}")
            said = answer.headers["Content-Type"]
            assert said == CONTENT_TYPES.get(path.suffix, PLAIN), path
            assert answer.headers["Content-Length"] == str(path.stat().st_size)
            again = await http.get(answer.url, headers={"If-None-Match": answer.headers["ETag"]})
            assert (again.status_code, "Content-Type" in again.headers) == (304, False)


def test_all_that_browsers_run_or_parse_is_known() -> None:
    plain = {path.suffix for path in FILES} - CONTENT_TYPES.keys()
    assert plain <= {"", ".md", ".ts", ".txt"}


def test_types_of_results_and_uploads_are_our_own(tmp_path: Path) -> None:
    assert content_type_of("a.png") == "image/png"
    assert content_type_of("a.tiff") == "image/tiff"
    assert TYPES.guess_type("a.png")[0] == "image/png"
    (tmp_path / "a.png").write_bytes(b"content")
    with (tmp_path / "a.png").open("rb") as file:
        sent = b"".join(form_body({}, "image", "a.png", file, None)._value)
    assert b"Content-Type: image/png\r\n" in sent
