"""Results by name, smaller views, uploads and masks."""

import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from PIL import Image

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, run_gateway, text_to_image
from tests.folders import settled


def png(color: tuple[int, ...] = (255, 0, 0), size: tuple[int, int] = (32, 16)) -> bytes:
    content = io.BytesIO()
    Image.new("RGBA" if len(color) == 4 else "RGB", size, color).save(content, "png")
    return content.getvalue()


async def test_a_result_by_name(gateway: RunningGateway) -> None:
    first = await gateway.submit(text_to_image(seed=1))
    name, url = first["outputs"][0]["filename"], first["outputs"][0]["url"]
    whole = await gateway.http.get(f"/api/image/{name}")
    assert whole.content == (await gateway.http.get(url)).content
    assert whole.headers["content-type"] == "image/png"
    assert whole.headers["x-content-type-options"] == "nosniff"
    part = await gateway.http.get(url, headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    beyond = await gateway.http.get(url, headers={"range": "bytes=99999999-"})
    assert beyond.status_code == 416
    same = await gateway.http.get(url, headers={"if-none-match": whole.headers["etag"]})
    assert same.status_code == 304


async def test_a_result_outlives_the_server(gateway: RunningGateway, demo: DemoServer) -> None:
    task = await gateway.submit(model_free())
    await demo.__aexit__(None, None, None)
    assert (await gateway.http.get(task["outputs"][0]["url"])).status_code == 200


async def test_straight_from_a_server(gateway: RunningGateway, demo: DemoServer) -> None:
    task = await gateway.submit(model_free())
    name = task["outputs"][0]["filename"]
    answer = await gateway.http.get(f"/api/image/{name}?server={demo.address}")
    assert answer.content == (await gateway.http.get(task["outputs"][0]["url"])).content
    head = await gateway.http.head(f"/api/image/{name}?server={demo.address}")
    assert (head.status_code, head.headers["content-type"]) == (200, "image/png")
    gone = await gateway.http.get(f"/api/image/gone.png?server={demo.address}")
    assert gone.status_code == 404


@pytest.mark.parametrize(("form", "kind"), [("webp", "WEBP"), ("jpeg", "JPEG"), ("png", "PNG")])
async def test_a_smaller_view(gateway: RunningGateway, form: str, kind: str) -> None:
    task = await gateway.submit(text_to_image())
    url = f"{task['outputs'][0]['url']}&width=32&format={form}"
    for _ in range(2):  # made, then from the cache
        answer = await gateway.http.get(url)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == f"image/{form}"
        image = Image.open(io.BytesIO(answer.content))
        assert (image.size, image.format) == ((32, 32), kind)


async def test_no_view_of_what_is_no_image(gateway: RunningGateway) -> None:
    await gateway.http.post("/api/image/upload", files={"image": ("a.txt", b"text")})
    answer = await gateway.http.get("/api/image/a.txt?type=input&width=10")
    assert answer.status_code == 422


async def test_upload_then_image_to_image(gateway: RunningGateway, demo: DemoServer) -> None:
    sent = png((0, 0, 255))
    answer = await gateway.http.post("/api/image/upload", files={"image": ("blue.png", sent)})
    assert answer.status_code == 201
    upload = answer.json()
    assert (upload["name"], upload["kind"]) == ("blue.png", "image")
    assert (await gateway.http.get(upload["url"])).content == sent
    workflow = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": "inverted"},
        },
    }
    for _ in range(2):
        task = await gateway.submit(workflow, params={"1.image": upload["name"]})
        assert task["status"] == "succeeded", task["error"]
        picture = (await gateway.http.get(task["outputs"][0]["url"])).content
        assert Image.open(io.BytesIO(picture)).convert("RGB").getpixel((3, 3)) == (255, 255, 0)
    assert len(demo.records.uploads) == 1, "an upload goes to a server once"


MULTIPART = {"content-type": "multipart/form-data; boundary=b"}


async def chunks(size: int) -> AsyncIterator[bytes]:
    """A multipart body without a content-length."""
    yield b'--b\r\ncontent-disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    for _ in range(size // 100_000):
        yield b"x" * 100_000
    yield b"\r\n--b--\r\n"


@pytest.mark.parametrize("size", [1_500_000, 5_000_000])
async def test_an_upload_that_is_too_large(
    settings_for: Callable[..., Settings], tmp_path: Path, size: int
) -> None:
    async with run_gateway(settings_for(max_upload_bytes=1_000_000, max_body_bytes=2000)) as small:
        files = {"image": ("big.png", b"x" * size)}
        answer = await small.http.post("/api/image/upload", files=files)
        chunked = await small.http.post(
            "/api/image/upload", content=chunks(size), headers=MULTIPART
        )
    for refused in (answer, chunked):
        assert refused.status_code == 413, refused.text
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["code"] == "payload_too_large"
    assert not await settled(tmp_path / "uploads")


async def test_names_of_uploads(gateway: RunningGateway, tmp_path: Path) -> None:
    async def upload(name: str, content: bytes) -> str:
        files = {"image": (name, content)}
        return str((await gateway.http.post("/api/image/upload", files=files)).json()["name"])

    assert await upload("a.png", b"1") == "a.png"
    assert await upload("a.png", b"1") == "a.png"
    assert await upload("a.png", b"2") == "a (1).png"
    assert await upload("a.png", b"2") == "a (1).png"
    for evil in ("../../evil.png", "/etc/evil.png", "..\\evil.png"):
        assert await upload(evil, b"3") == "evil.png"
    assert await upload("...", b"4") == "file"
    assert len((await upload("x" * 300 + ".png", b"5")).encode()) <= 200
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        "outputs",
        "uploads",
        "workflows",
    ]


async def test_html_and_svg_never_run_on_our_origin(gateway: RunningGateway) -> None:
    for name in ("page.html", "picture.svg"):
        files = {"image": (name, b"<script>alert(1)</script>")}
        url = (await gateway.http.post("/api/image/upload", files=files)).json()["url"]
        answer = await gateway.http.get(url)
        assert answer.headers["content-disposition"].startswith("attachment")
        assert "sandbox" in answer.headers["content-security-policy"]


async def test_a_mask_becomes_the_alpha_channel(gateway: RunningGateway) -> None:
    await gateway.http.post("/api/image/upload", files={"image": ("red.png", png())})
    mask = {"image": ("mask.png", png((0, 0, 0, 77)))}
    answer = await gateway.http.post(
        "/api/image/upload/mask", files=mask, data={"original": "red.png"}
    )
    assert answer.status_code == 201, answer.text
    masked = Image.open(io.BytesIO((await gateway.http.get(answer.json()["url"])).content))
    assert masked.getpixel((1, 1)) == (255, 0, 0, 77)
    wrong_size = {"image": ("mask.png", png((0, 0, 0, 77), (8, 8)))}
    answer = await gateway.http.post(
        "/api/image/upload/mask", files=wrong_size, data={"original": "red.png"}
    )
    assert answer.status_code == 422
    assert "8x8" in answer.json()["detail"]
    answer = await gateway.http.post(
        "/api/image/upload/mask", files=wrong_size, data={"original": "none.png"}
    )
    assert answer.status_code == 404


async def test_text_and_temp_outputs(gateway: RunningGateway) -> None:
    workflow = {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 8, "height": 8, "batch_size": 2, "color": 0},
        },
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        "3": {"class_type": "PreviewAny", "inputs": {"source": "hello there"}},
    }
    task = await gateway.submit(workflow)
    assert task["status"] == "succeeded", task["error"]
    images = [output for output in task["outputs"] if output["kind"] == "image"]
    assert [image["type"] for image in images] == ["temp", "temp"]
    for image in images:
        assert (await gateway.http.get(image["url"])).status_code == 200
    texts = [output["text"] for output in task["outputs"] if output["kind"] == "text"]
    assert len(texts) == 1
    assert "hello there" in texts[0]


async def test_images_that_come_only_as_frames(gateway: RunningGateway) -> None:
    workflow = {
        **{key: node for key, node in model_free().items() if key != "3"},
        "3": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["2", 0]}},
    }
    task = await gateway.submit(workflow)
    assert task["status"] == "succeeded", task["error"]
    (output,) = task["outputs"]
    assert (output["kind"], output["content_type"]) == ("image", "image/png")
    picture = Image.open(io.BytesIO((await gateway.http.get(output["url"])).content))
    assert picture.size == (16, 16)
