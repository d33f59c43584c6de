"""Uploads, /view and what stands in the files."""

from __future__ import annotations

import io
import json
from pathlib import Path

import httpx
import pytest
from PIL import Image

from fake_comfyui import DemoServer
from fake_comfyui.catalogue import Catalogue
from tests.fake_comfyui.demo_client import Prompts, picture


def png(colour: str = "red", size: tuple[int, int] = (8, 8)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


async def test_object_info_lists_the_uploads(http: httpx.AsyncClient) -> None:
    everything = (await http.get("/object_info")).json()
    assert len(everything) > 80
    assert everything["LoadImage"]["input"]["required"]["image"][0] == ["example.png"]
    upload = {"image": ("mine.png", png(), "image/png")}
    await http.post("/upload/image", files=upload)
    one = (await http.get("/api/object_info/LoadImage")).json()
    assert one["LoadImage"]["input"]["required"]["image"][0] == ["example.png", "mine.png"]


async def test_a_type_that_tells_no_name_lists_the_uploads(tmp_path: Path) -> None:
    """As older recordings of object_info have them."""
    loader = {"input": {"required": {"image": [[], {"image_upload": True}]}}, "output": ["IMAGE"]}
    file = tmp_path / "object_info.json"
    file.write_text(json.dumps({"Loads": loader}), encoding="utf-8")
    catalogue = Catalogue(file, lambda: ["a.png"])
    assert json.loads(catalogue.encoded())["Loads"]["input"]["required"]["image"][0] == ["a.png"]


async def test_only_pictures_are_choices_of_load_image(http: httpx.AsyncClient) -> None:
    for name in ("notes.txt", "tone.wav", "x.latent", "p.webp", "q.JPG", "v.mp4"):
        await http.post("/upload/image", files={"image": (name, b"x", "text/plain")})
    everything = (await http.get("/object_info")).json()
    choices = {
        name: everything[name]["input"]["required"]["image"][0]
        for name in ("LoadImage", "LoadImageMask")
    }
    assert choices["LoadImage"] == ["example.png", "p.webp", "q.JPG"]
    assert len(choices["LoadImageMask"]) == 7


async def test_names_that_no_disk_can_hold(http: httpx.AsyncClient, prompts: Prompts) -> None:
    long = "n" * 300 + ".png"
    name = "\u4e2d" * 100 + ".png"  # 255 letters are allowed, 304 bytes are not
    for query in (f"filename={long}", f"filename={name}", f"filename=a&subfolder={long}"):
        assert (await http.get(f"/view?{query}")).status_code == 404, query
    upload = await http.post("/upload/image", files={"image": (name, png(), "image/png")})
    assert upload.status_code == 500
    loading = {"1": {"class_type": "LoadImage", "inputs": {"image": long}}}
    loading["2"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    refused = await http.post("/prompt", json={"prompt": loading})
    assert refused.json()["node_errors"]["1"]["errors"][0]["type"] == "custom_validation_failed"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"this is not a png", "PIL.UnidentifiedImageError"),
        (b"\x89PNG\r\n\x1a\n" + b"broken" * 30, "av.error.InvalidDataError"),
        (png(size=(64, 64))[:60], "av.error.InvalidDataError"),
    ],
    ids=["text", "signature only", "cut off"],
)
async def test_broken_pictures(
    content: bytes, kind: str, http: httpx.AsyncClient, prompts: Prompts
) -> None:
    await http.post("/upload/image", files={"image": ("bad.png", content, "image/png")})
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "bad.png"}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    entry = await prompts.ended(await prompts.post(graph))
    event, error = entry["status"]["messages"][-1]
    assert (event, error["exception_type"]) == ("execution_error", kind)


async def test_uploads(http: httpx.AsyncClient, demo: DemoServer) -> None:
    async def upload(name: str, content: bytes, **data: str) -> httpx.Response:
        files = {"image": (name, content, "image/png")}
        return await http.post("/upload/image", files=files, data=data)

    assert (await upload("a.png", png())).json() == {
        "name": "a.png",
        "subfolder": "",
        "type": "input",
    }
    assert (await upload("a.png", png())).json()["name"] == "a.png"
    assert (await upload("a.png", png("blue"))).json()["name"] == "a (1).png"
    assert (await upload("a.png", png("blue"), overwrite="true")).json()["name"] == "a.png"
    assert (await upload("a.png", png(), subfolder="x y/z")).json()["subfolder"] == "x y/z"
    assert (await upload("a.png", png(), type="temp")).json()["type"] == "temp"
    assert (await upload("a.png", png(), type="nope")).status_code == 500
    assert (await upload("../../a.png", png())).status_code == 400
    assert (await upload("a.png", png(), subfolder="../..")).status_code == 400
    assert (await upload("no/such/a.png", png())).status_code == 500
    assert demo.records.uploads[:3] == ["a.png", "a.png", "a (1).png"]


async def test_masks(http: httpx.AsyncClient) -> None:
    await http.post("/upload/image", files={"image": ("base.png", png("blue"), "image/png")})

    async def mask(ref: str, content: bytes) -> httpx.Response:
        files = {"image": ("mask.png", content, "image/png")}
        return await http.post("/upload/mask", files=files, data={"original_ref": ref})

    base = json.dumps({"filename": "base.png", "type": "input"})
    assert (await mask(base, png("#ffffff80"))).status_code == 200
    written = await http.get("/view?filename=mask.png&type=input")
    with Image.open(io.BytesIO(written.content)) as picture:
        assert picture.getpixel((0, 0)) == (0, 0, 255, 128)
    assert (await mask('{"filename": "nope.png"}', png())).status_code == 200
    assert (await mask(base, png(size=(9, 9)))).status_code == 500
    assert (await mask("not json", png())).status_code == 500


async def test_view(http: httpx.AsyncClient, prompts: Prompts) -> None:
    entry = await prompts.ended(await prompts.post(picture(prefix="sub/o")))
    file = entry["outputs"]["3"]["images"][0]
    assert file == {"filename": "o_00001_.png", "subfolder": "sub", "type": "output"}

    async def view(query: str, **headers: str) -> httpx.Response:
        return await http.get(f"/view?{query}", headers=headers)

    whole = await view("filename=o_00001_.png&subfolder=sub")
    assert whole.headers["content-disposition"] == 'filename="o_00001_.png"'
    assert whole.headers["content-type"] == "image/png"
    same = await view("filename=a/o_00001_.png&subfolder=sub", Range="bytes=0-9")
    assert (same.status_code, same.content) == (206, whole.content[:10])
    unchanged = {"If-None-Match": whole.headers["etag"]}
    assert (await view("filename=o_00001_.png&subfolder=sub", **unchanged)).status_code == 304
    for query, status in {
        "filename=o_00001_.png": 404,
        "filename=": 400,
        "": 404,
        "filename=../x": 400,
        "filename=/etc/passwd": 400,
        "filename=example.png&type=input&subfolder=../..": 403,
        "filename=example.png&type=nope": 400,
        "filename=example.png [input]": 200,
    }.items():
        assert (await view(query)).status_code == status, query
    for wish, kind in {"webp;50": "webp", "jpeg;80": "jpeg", "png": "webp", "": "webp"}.items():
        shown = await view(f"filename=example.png&type=input&preview={wish}")
        assert shown.headers["content-type"] == f"image/{kind}", wish


async def test_active_content_is_a_download(http: httpx.AsyncClient) -> None:
    await http.post("/upload/image", files={"image": ("x.html", b"<p>", "text/html")})
    response = await http.get("/view?filename=x.html&type=input")
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"].startswith("attachment")
    assert (await http.get("/view?filename=x.html&type=input&preview=webp")).status_code == 500


async def test_png_carries_the_graph(http: httpx.AsyncClient, prompts: Prompts) -> None:
    extra = {"extra_pnginfo": {"workflow": {"id": "wf"}}}
    await prompts.ended(await prompts.post(picture(), extra_data=extra))
    response = await http.get("/view?filename=t_00001_.png")
    with Image.open(io.BytesIO(response.content)) as opened:
        assert json.loads(opened.info["prompt"]) == picture()
        assert json.loads(opened.info["workflow"]) == {"id": "wf"}
