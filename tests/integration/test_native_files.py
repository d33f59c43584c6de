"""Files by ComfyUI's own routes: as a server answers them, and of nobody but the caller."""

import io
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from app.services.native_files import inner
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, wait_until
from tests.keyholders import Guarded, guarded

Json = dict[str, Any]
SettingsFor = Callable[..., Settings]
RED, BLUE = 0xFF0000, 0x0000FF
HTML = b"<!DOCTYPE html><script>alert(1)</script>"
# A header is the same at both if it is there. Those of ComfyUI that say what is to be cached are
# not: an answer is of one caller.
SAME = ("content-disposition", "content-type", "content-length", "accept-ranges", "content-range")
NAMED = "filename=v.png&type=input"
VIEWS = (
    *(NAMED, "filename=v.png%20[input]", "filename=a/b/v.png&type=input", f"{NAMED}&rand=0.5"),
    *(f"{NAMED}&channel=rgba", f"{NAMED}&channel=zzz", "filename=v.png&type=input&subfolder="),
    *("filename=w.png&type=input&subfolder=x/../y", "filename=v.txt&type=input"),
    *("filename=w.png&type=input&subfolder=y", "filename=v.json&type=input", "filename=t.png"),
    *("filename=v.html&type=input", "filename=v.svg&type=input", "filename=v.js&type=input"),
    *("filename=nope.png", "", "filename=", "filename=../../main.py&type=input", "filename=."),
    *("filename=..%2F..%2Fmain.py&type=input", "filename=/etc/passwd", "filename=x..y.png"),
    *(f"{NAMED}&subfolder=../..", f"{NAMED}&subfolder=/etc", "filename=v.png&type=nope"),
    *("filename=passwd&subfolder=../../../../../etc&type=input", "filename=v.png&type="),
    *("filename=t.png&type=temp", "filename=o.png&type=output&subfolder=sub"),
)
PREVIEWS = (
    *("preview=webp;50", "preview=jpeg;80", "preview=webp", "preview=png", "preview=jpeg;0"),
    *("preview=jpeg;999", "preview=", "preview=webp;50&channel=rgb", "preview=jpeg;50&channel=a"),
    *("preview=jpeg&channel=rgba", "channel=rgb", "channel=a"),
)
# (name, fields, whether ComfyUI's own answer is wanted)
UPLOADS: tuple[tuple[str, Json], ...] = (
    ("v.png", {}),
    ("v.png", {"overwrite": "True"}),
    ("v.png", {"overwrite": "true"}),
    ("v.png", {"overwrite": "1"}),
    ("w.png", {"subfolder": "sub dir/x"}),
    ("w.png", {"subfolder": "x/../y"}),
    ("t.png", {"type": "temp"}),
    ("o.png", {"type": "output", "subfolder": "sub"}),
    ("ünïcode 图.png", {}),
    ("../esc.png", {}),
    ("v.png", {"subfolder": "../.."}),
    ("v.png", {"subfolder": "/tmp"}),
)


def png(color: str = "red", mode: str = "RGBA") -> bytes:
    kept, image = io.BytesIO(), Image.new(mode, (16, 8), color)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize((16, 8)))
    image.save(kept, "PNG")
    return kept.getvalue()


async def sent(http: httpx.AsyncClient, name: str, content: bytes, **fields: Any) -> httpx.Response:
    return await http.post("/upload/image", files={"image": (name, content)}, data=fields)


async def kept(http: httpx.AsyncClient, name: str, content: bytes, **fields: Any) -> Json:
    answer = await sent(http, name, content, **fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def told(answer: httpx.Response) -> Json:
    found = {name: answer.headers[name] for name in SAME if name in answer.headers}
    # The stand-in, unlike ComfyUI, says how texts are encoded.
    return {name: value.removesuffix("; charset=utf-8") for name, value in found.items()}


@pytest.fixture(params=[False, True], ids=["0.3.64", "0.33.0"])
async def pair(
    request: pytest.FixtureRequest, settings_for: SettingsFor
) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """Clients of a gateway, and of a server."""
    async with (
        DemoServer(step_seconds=0, jobs_api=request.param) as demo,
        over(settings_for, demo) as gateway,
        httpx.AsyncClient(base_url=f"http://{demo.address}") as server,
    ):
        yield gateway.http, server


async def fill(*clients: httpx.AsyncClient) -> None:
    for http in clients:
        for name in ("v.png", "v.txt", "v.json", "v.html", "v.svg", "v.js"):
            await kept(http, name, png() if name == "v.png" else b"{}")
        await kept(http, "w.png", png("blue"), subfolder="y")
        await kept(http, "t.png", png("green"), type="temp")
        await kept(http, "o.png", png("lime"), type="output", subfolder="sub")


async def test_views_are_as_of_the_server(pair: tuple[httpx.AsyncClient, ...]) -> None:
    gateway, server = pair
    await fill(gateway, server)
    for query in VIEWS:
        want = await server.get(f"/view?{query}")
        for path in ("/view", "/api/view", "/comfy/view", "/comfy/api/view"):
            found = await gateway.get(f"{path}?{query}")
            assert found.status_code == want.status_code, query
            if want.status_code == 200:
                assert found.content == want.content, query
                assert told(found) == told(want), query
                assert found.headers["x-content-type-options"] == "nosniff"
                assert found.headers["cache-control"].startswith("private"), query
        head = await gateway.head(f"/view?{query}")
        assert (head.status_code, head.content) == (want.status_code, b""), query
        if want.status_code == 200:
            assert told(head) == told(want)


async def test_ranges_and_conditions_are_as_of_the_server(
    pair: tuple[httpx.AsyncClient, ...],
) -> None:
    gateway, server = pair
    await fill(gateway, server)
    for value in ("bytes=0-9", "bytes=5-", "bytes=-4", "bytes=99999999-"):
        want = await server.get(f"/view?{NAMED}", headers={"Range": value})
        found = await gateway.get(f"/view?{NAMED}", headers={"Range": value})
        assert (found.status_code, found.content) == (want.status_code, want.content), value
        assert found.headers["content-range"] == want.headers["content-range"]
    first = await gateway.get(f"/view?{NAMED}")
    for name, header in (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified")):
        answer = await gateway.get(f"/view?{NAMED}", headers={name: first.headers[header]})
        assert (answer.status_code, answer.content) == (304, b""), name
    other = {"If-None-Match": '"other"', "If-Modified-Since": first.headers["last-modified"]}
    assert (await gateway.get(f"/view?{NAMED}", headers=other)).status_code == 200


async def test_previews_and_channels_are_as_of_the_server(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    async with httpx.AsyncClient(base_url=f"http://{demo.address}") as server:
        for http in (gateway.http, server):
            await kept(http, "v.png", png())
        for query in PREVIEWS:
            want = await server.get(f"/view?{NAMED}&{query}")
            found = await gateway.http.get(f"/view?{NAMED}&{query}")
            assert found.status_code == want.status_code == 200, query
            for header in ("content-type", "content-disposition"):
                assert found.headers[header] == want.headers[header], query
            one, other = (Image.open(io.BytesIO(answer.content)) for answer in (found, want))
            assert (one.format, one.size, one.mode) == (other.format, other.size, other.mode), query
            if one.format == "PNG":
                assert one.tobytes() == other.tobytes(), query


async def test_a_preview_of_what_is_no_image_is_refused(gateway: RunningGateway) -> None:
    await kept(gateway.http, "v.txt", b"hello")
    answer = await gateway.http.get("/view?filename=v.txt&type=input&preview=webp")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


async def test_uploads_are_answered_as_by_the_server(pair: tuple[httpx.AsyncClient, ...]) -> None:
    gateway, server = pair
    for http in pair:
        await kept(http, "v.png", png("blue"))
    for number, (name, fields) in enumerate(UPLOADS):
        content = png("red") + bytes([number])
        want = await sent(server, name, content, **fields)
        found = await sent(gateway, name, content, **fields)
        assert found.status_code == want.status_code, (name, fields)
        if want.status_code == 200:
            assert found.json() == want.json(), (name, fields)
            about = {"filename": found.json()["name"], **found.json()}
            for http in pair:
                assert (await http.get("/view", params=about)).content == content, about
    same = await sent(gateway, "v.png", (await gateway.get(f"/view?{NAMED}")).content)
    assert same.json()["name"] == "v.png"


async def test_a_form_is_read_leniently(gateway: RunningGateway) -> None:
    """Dify sends `overwrite` as a file, and others send fields that nobody knows."""
    await kept(gateway.http, "v.png", png("red"))
    parts = {
        "image": ("v.png", png("blue")),
        "overwrite": ("overwrite", b"true"),
        "subfolder": ("", b""),
        "else": (None, b"1"),
    }
    answer = await gateway.http.post("/upload/image", files=parts)
    assert answer.json() == {"name": "v.png", "subfolder": "", "type": "input"}
    assert (await gateway.http.get(f"/view?{NAMED}")).content == png("blue")


@pytest.mark.parametrize("path", ["/upload/image", "/upload/mask"])
async def test_a_bad_form_is_a_400(gateway: RunningGateway, path: str) -> None:
    image = ("v.png", png())
    bodies: list[Json] = [
        {"json": {"image": "x"}},
        {},
        {"content": png(), "headers": {"Content-Type": "image/png"}},
        {"content": b"broken", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": b"broken", "headers": {"Content-Type": "multipart/form-data"}},
        {"files": {"other": image}},
        {"files": {"image": (None, b"text")}},
        {"files": {"image": ("", png())}},
        {"files": {"image": image}, "data": {"type": "nope"}},
        {"files": {"image": image}, "data": {"subfolder": ".hidden"}},
        {"files": {"image": image}, "data": {"subfolder": "x" * 20_000}},
        {"files": {"image": ("e.png", b"")}},
    ]
    if path.endswith("mask"):
        for ref in ("not json", "[]", "", '{"filename": 1}', '{"filename": "../x.png"}'):
            bodies.append({"files": {"image": image}, "data": {"original_ref": ref}})
    for body in bodies:
        answer = await gateway.http.post(path, **body)
        assert answer.status_code == 400, (body, answer.text)


async def test_a_mask_goes_onto_an_upload_or_a_result(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    task = await gateway.submit(model_free(RED, size=16))
    original = png("blue", "RGB")
    mask = io.BytesIO()
    Image.new("RGBA", (16, 16), (0, 0, 0, 7)).save(mask, "PNG")
    name = task["outputs"][0]["filename"]
    refs = [
        {"filename": name, "subfolder": task["task_id"], "type": "output"},
        {"filename": f"{name} [output]", "subfolder": task["task_id"]},
    ]
    for number, ref in enumerate(refs):
        files = {"image": (f"mask{number}.png", mask.getvalue())}
        form = {"original_ref": json.dumps(ref), "subfolder": "clipspace"}
        answer = await gateway.http.post("/upload/mask", files=files, data=form)
        want = {"name": f"mask{number}.png", "subfolder": "clipspace", "type": "input"}
        assert answer.json() == want
        found = await gateway.http.get("/view", params={"filename": want["name"], **want})
        assert pixel_of(found)[3] == 7
        assert pixel_of(found)[:3] == pixel_of(await shown(gateway.http, refs[0]))[:3]
    async with httpx.AsyncClient(base_url=f"http://{demo.address}") as server:
        pictures = []
        for http in (gateway.http, server):
            await kept(http, "base.png", original)
            files = {"image": ("on.png", png())}
            form = {"original_ref": json.dumps({"filename": "base.png", "type": "input"})}
            answer = await http.post("/upload/mask", files=files, data=form)
            assert answer.json() == {"name": "on.png", "subfolder": "", "type": "input"}
            pictures.append((await http.get("/view?filename=on.png&type=input")).content)
        one, other = (Image.open(io.BytesIO(picture)).convert("RGBA") for picture in pictures)
        assert one.tobytes() == other.tobytes()
    missing = {"original_ref": json.dumps({"filename": "nope.png", "type": "input"})}
    files = {"image": ("x.png", png())}
    assert (await gateway.http.post("/upload/mask", files=files, data=missing)).status_code == 404


def pixel_of(answer: httpx.Response) -> tuple[int, ...]:
    pixel = Image.open(io.BytesIO(answer.content)).getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return pixel


async def shown(http: httpx.AsyncClient, ref: Json) -> httpx.Response:
    answer = await http.get("/view", params=ref)
    assert answer.status_code == 200, (ref, answer.text)
    return answer


async def test_equal_names_of_two_servers_are_two_files(settings_for: SettingsFor) -> None:
    async with (
        DemoServer(step_seconds=0) as one,
        DemoServer(step_seconds=0) as two,
        over(settings_for, one, two) as gateway,
    ):
        graphs = [(RED, one), (BLUE, two)]
        tasks = [
            await gateway.submit(model_free(color, prefix="sub/same"), server=demo.address)
            for color, demo in graphs
        ]
        names = {task["outputs"][0]["filename"] for task in tasks}
        assert len(names) == 1, "both servers made one name"
        name = names.pop()
        contents = []
        for task in tasks:
            folder = f"{task['task_id']}/sub"
            about = {"filename": name, "subfolder": folder, "type": "output"}
            content = (await shown(gateway.http, about)).content
            contents.append(content)
            for other in (
                {"filename": f"{folder}/{name}", "type": "output"},
                {"filename": f"{folder}/{name} [output]"},
                {"filename": f"sub/{name}", "subfolder": task["task_id"]},
                {"filename": name, "subfolder": f"{task['task_id'].upper()}/sub/."},
                {"filename": name, "subfolder": folder.replace("/", "\\")},
            ):
                assert (await shown(gateway.http, other)).content == content, other
            for wrong in (
                {**about, "type": "temp"},
                {**about, "subfolder": task["task_id"]},
                {**about, "subfolder": f"{'0' * 8}-0000-4000-8000-{'0' * 12}/sub"},
                {**about, "filename": "other.png"},
            ):
                assert (await gateway.http.get("/view", params=wrong)).status_code == 404, wrong
        assert contents[0] != contents[1]
        for query in ({"filename": name}, {"filename": name, "subfolder": "sub"}):
            assert (await shown(gateway.http, query)).content == contents[1], "the newest"
        assert (
            await gateway.http.get("/view", params={"filename": name, "subfolder": "other"})
        ).status_code == 404


@pytest.fixture
async def gate(
    settings_for: SettingsFor, tmp_path: Path, demo: DemoServer
) -> AsyncIterator[Guarded]:
    keys: dict[str, Any] = {"alice": "run", "bob": "run", "boss": "manage", "reader": "read"}
    async with guarded(settings_for, tmp_path, demo, keys=keys) as found:
        yield found


async def test_nobody_sees_the_files_of_another_key(gate: Guarded) -> None:
    alice, bob, boss = [await gate.client(name) for name in ("alice", "bob", "boss")]
    for http, color in ((alice, "red"), (bob, "blue")):
        answer = await kept(http, "same.png", png(color), subfolder="SDN")
        assert answer == {"name": "same.png", "subfolder": "SDN", "type": "input"}
    for http, color in ((alice, "red"), (bob, "blue")):
        about = {"filename": "same.png", "subfolder": "SDN", "type": "input"}
        assert (await shown(http, about)).content == png(color)
    await kept(alice, "only.png", png(), type="temp")
    body = {"workflow": model_free(RED)}
    task = (await alice.post("/api/workflow/submit?wait=60", json=body)).json()
    name, folder = task["outputs"][0]["filename"], task["task_id"]
    asked = (
        {"filename": "only.png", "type": "temp"},
        {"filename": name},
        {"filename": name, "subfolder": folder},
        {"filename": f"{folder}/{name} [output]"},
        {"filename": "same.png", "subfolder": ".keys/alice/.in-SDN", "type": "input"},
    )
    for http in (bob, boss):  # natively even a manager is one client with its own files
        for about in asked:
            assert (await http.get("/view", params=about)).status_code == 404, about
        ref = {"original_ref": json.dumps({"filename": name, "subfolder": folder})}
        answer = await http.post("/upload/mask", files={"image": ("m.png", png())}, data=ref)
        assert answer.status_code == 404
    for about in asked[:-1]:
        await shown(alice, about)
    reader = await gate.client("reader")
    for path in ("/upload/image", "/upload/mask"):
        files = {"image": ("m.png", png())}
        assert (await reader.post(path, files=files)).status_code == 403


async def test_a_folder_of_a_server_is_not_looked_into(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    async with httpx.AsyncClient(base_url=f"http://{demo.address}") as server:
        for kind in ("input", "output", "temp"):
            await kept(server, "theirs.png", png(), type=kind)
            about = {"filename": "theirs.png", "type": kind}
            assert (await shown(server, about)).content
            assert (await gateway.http.get("/view", params=about)).status_code == 404


async def test_a_file_is_there_before_it_is_collected(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    """The server has it, and names it in its history of the task."""
    demo.knobs.view_hangs = "slow"
    body = {"workflow": model_free(RED, prefix="slow")}
    task = (await gateway.http.post("/api/workflow/submit", json=body)).json()
    async with httpx.AsyncClient(base_url=f"http://{demo.address}") as server:

        async def history() -> Any:
            return (await server.get(f"/history/{task['task_id']}")).json()

        entry = (await wait_until(history))[task["task_id"]]
    images = [image for output in entry["outputs"].values() for image in output["images"]]
    demo.knobs.view_hangs = ""
    found = await shown(gateway.http, {**images[0], "subfolder": task["task_id"]})
    assert Image.open(io.BytesIO(found.content)).size == (16, 16)
    other = {**images[0], "filename": "else.png", "subfolder": task["task_id"]}
    assert (await gateway.http.get("/view", params=other)).status_code == 404
    await gateway.until(task["task_id"], "succeeded")


async def test_what_a_browser_would_run_is_a_download(gateway: RunningGateway) -> None:
    for name in ("a.html", "a.svg", "a.js", "a.css", "a.xml", "a.pdf", "a.png", "a.txt"):
        await kept(gateway.http, name, HTML)
        answer = await shown(gateway.http, {"filename": name, "type": "input"})
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"', name
        assert answer.headers["content-type"] == "application/octet-stream", name
        assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        *[
            ("", ""),
            (".", ""),
            ("a/b", "a/b"),
            ("a//b/./", "a/b"),
            ("a/../b", "b"),
            ("a\\b", "a/b"),
        ],
        *[("..", None), ("../a", None), ("a/../../b", None), ("/a", None), ("\\a", None)],
        *[("a\\b", "a/b"), ("C:\\a", None), ("..\\a", None), ("...", "...")],
    ],
)
def test_subfolders_stay_inside(given: str, found: str | None) -> None:
    assert inner(given) == found
