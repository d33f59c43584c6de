"""Files that strangers sent run nothing on our origin, whatever type they claim, at every route
that serves bytes; and pages of other origins embed none."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from PIL import Image

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, run_gateway
from tests.keyholders import guarded

pytestmark = pytest.mark.slow

Json = dict[str, Any]

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!DOCTYPE html><script>alert(1)</script>"
XML = b'<?xml version="1.0"?><?xml-stylesheet href="x.xsl" type="text/xsl"?><a/>'
TYPES = [
    *("image/svg+xml", "image/SVG+XML", "Image/Svg+Xml", "image/svg+xml; charset=utf-8"),
    *("image/svg+xml;charset=utf-8", "image/svg", "image/vnd.x+xml", "text/html", "TEXT/HTML"),
    *("text/html;charset=utf-7", "application/xhtml+xml", "application/XHTML+XML", "text/xml"),
    *("application/xml", "application/rss+xml", "text/xsl", "application/mathml+xml", "text/css"),
    *("text/javascript", "multipart/x-mixed-replace", "application/pdf", "message/rfc822"),
]
NAMES = ["a.svg", "a.SVG", "a.svgz", "a.html", "a.HTM", "a.xhtml", "a.xht", "a.xml", "a.mht", "a"]
# Bytes that are markup, under names and types that are shown: by their bytes they are not.
DISGUISED = [
    SVG,
    HTML,
    XML,
    b"\xef\xbb\xbf \r\n" + SVG,
    HTML.decode().encode("utf-16"),
    b"<!--" + SVG,
]


def is_harmless(answer: httpx.Response) -> bool:
    headers = answer.headers
    return (
        answer.status_code == 200
        and headers["content-disposition"].startswith("attachment;")
        and headers["x-content-type-options"] == "nosniff"
        and "sandbox" in headers["content-security-policy"]
    )


async def on_server(demo: DemoServer, name: str, content: bytes) -> None:
    async with httpx.AsyncClient(base_url=f"http://{demo.address}") as http:
        form = {"type": "output", "overwrite": "true"}
        answer = await http.post("/upload/image", files={"image": (name, content)}, data=form)
        assert answer.json()["name"] == name


async def asset_of(http: httpx.AsyncClient, content: bytes, kind: str, name: str) -> Json:
    form = {"content_type": kind, "file_path": name}
    answer = await http.post("/api/v2/assets", files={"file": ("x", content)}, data=form)
    assert answer.status_code in (200, 201), answer.text
    return dict(answer.json())


@pytest.mark.parametrize("kind", TYPES)
async def test_no_type_is_shown_that_may_run(gateway: RunningGateway, kind: str) -> None:
    asset = await asset_of(gateway.http, SVG + kind.encode(), kind, "pic")
    path = f"/api/v2/assets/{asset['id']}/content"
    assert is_harmless(await gateway.http.get(path))
    assert is_harmless(await gateway.http.head(path))
    # Bytes that are no markup: the type alone decides.
    other = await asset_of(gateway.http, b"body{} " + kind.encode(), kind, "plain")
    assert is_harmless(await gateway.http.get(f"/api/v2/assets/{other['id']}/content"))


async def test_no_name_is_shown_that_may_run(gateway: RunningGateway, demo: DemoServer) -> None:
    for number, name in enumerate(NAMES):
        for content in (SVG, HTML, b"\x1f\x8b" + bytes([number])):
            files = {"image": (name, content)}
            upload = (await gateway.http.post("/api/image/upload", files=files)).json()
            assert is_harmless(await gateway.http.get(upload["url"])), upload
            await on_server(demo, name, content)
            there = f"/api/image/{quote(name)}?server={demo.address}"
            assert is_harmless(await gateway.http.get(there)), name
            assert is_harmless(await gateway.http.head(there)), name


@pytest.mark.parametrize("name", ["a.png", "a.txt", "a.json", "a.mp4"])
async def test_markup_is_known_by_its_bytes(
    gateway: RunningGateway, demo: DemoServer, name: str
) -> None:
    for content in DISGUISED:
        for padding in (b"", b" " * 400_000):  # sent in one go, and as a stream
            files = {"image": (name, content + padding)}
            upload = (await gateway.http.post("/api/image/upload", files=files)).json()
            assert is_harmless(await gateway.http.get(upload["url"])), content
            await on_server(demo, name, content + padding)
            there = f"/api/image/{name}?server={demo.address}"
            assert is_harmless(await gateway.http.get(there)), content


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n", b"hello <b>", b"<lora:x:1> a fox", b""])
async def test_what_is_harmless_is_shown(
    gateway: RunningGateway, demo: DemoServer, content: bytes
) -> None:
    name = "a.png" if content[:1] == b"\x89" else "a.txt"
    await on_server(demo, name, content)
    places = [f"/api/image/{name}?server={demo.address}"]
    if content:  # no empty file is taken
        upload = await gateway.http.post("/api/image/upload", files={"image": (name, content)})
        places.append(upload.json()["url"])
    for place in places:
        answer = await gateway.http.get(place)
        assert answer.headers["content-disposition"].startswith("inline;")


async def test_other_pages_embed_nothing_while_no_key_is_needed(
    settings_for: Callable[..., Settings], demo: DemoServer, tmp_path: Path
) -> None:
    name = "cross-origin-resource-policy"
    async with run_gateway(settings_for(demo.address)) as running:
        files = {"image": ("a.png", b"\x89PNG\r\n\x1a\n")}
        upload = (await running.http.post("/api/image/upload", files=files)).json()
        for path in (
            upload["url"],
            "/api/tasks",
            "/api/image/none.png",
            f"{upload['url']}&width=9",
        ):
            assert (await running.http.get(path)).headers[name] == "same-origin", path
    async with run_gateway(settings_for(demo.address, cors_origins=["*"])) as running:
        assert name not in (await running.http.get("/api/tasks")).headers
    async with guarded(settings_for, tmp_path, demo, keys={"one": "run"}) as found:
        assert name not in (await (await found.client("one")).get("/api/tasks")).headers


async def test_a_numbered_name_is_used_like_any_other(gateway: RunningGateway) -> None:
    """Names of the largest size: beside one another, masked, as views, and on a server."""

    def png(shade: int) -> bytes:
        content = io.BytesIO()
        Image.new("RGBA", (8, 8), (shade, 0, 0, 255)).save(content, "png")
        return content.getvalue()

    for stem in ("x" * 176, "x" * 400, "\u00e4" * 90, "\U0001f600" * 60):
        for shade in range(3):
            files = {"image": (f"{stem}.png", png(shade))}
            upload = (await gateway.http.post("/api/image/upload", files=files)).json()
            assert (await gateway.http.get(upload["url"])).content == png(shade)
            assert (await gateway.http.get(f"{upload['url']}&width=4")).status_code == 200
            masked = await gateway.http.post(
                "/api/image/upload/mask", files=files, data={"original": upload["name"]}
            )
            assert masked.status_code == 201, masked.text
            assert (await gateway.http.get(masked.json()["url"])).status_code == 200
            workflow = {
                "1": {"class_type": "LoadImage", "inputs": {"image": masked.json()["name"]}},
                "2": {
                    "class_type": "SaveImage",
                    "inputs": {"images": ["1", 0], "filename_prefix": "x"},
                },
            }
            task = await gateway.submit(workflow)
            assert task["status"] == "succeeded", task["error"]
