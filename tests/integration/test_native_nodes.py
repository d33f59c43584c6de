"""What servers have, asked in ComfyUI's own way: as a server says it, over all servers."""

import gzip
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from app.files.kinds import Kind
from app.servers.inventory import common
from app.settings import Settings
from app.workflows.parameters.upload_choices import with_choices
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, over, run_gateway
from tests.keyholders import Guarded, guarded

Json = dict[str, Any]
SettingsFor = Callable[..., Settings]
READS = (
    *("/models", "/models/checkpoints", "/models/loras", "/models/nope", "/embeddings"),
    *("/view_metadata/checkpoints?filename=nope.safetensors", "/view_metadata/checkpoints"),
    *("/view_metadata/checkpoints?filename={model}", "/object_info/NoSuchNode"),
    *("/object_info/KSampler", "/object_info/CheckpointLoaderSimple"),
)


@pytest.fixture(params=[False, True], ids=["0.3.64", "0.33.0"])
async def one(request: pytest.FixtureRequest) -> AsyncIterator[DemoServer]:
    async with DemoServer(step_seconds=0, jobs_api=request.param) as server:
        yield server


async def asked(http: httpx.AsyncClient, path: str) -> tuple[int, str, Any]:
    answer = await http.get(path)
    is_json = answer.headers.get("content-type", "").startswith("application/json")
    kind = "json" if is_json else ""
    return answer.status_code, kind, answer.json() if is_json else answer.content


def png(color: int = 0) -> bytes:
    kept = io.BytesIO()
    Image.new("RGB", (8, 8), (color, 0, 0)).save(kept, "PNG")
    return kept.getvalue()


async def upload(http: httpx.AsyncClient, name: str, content: bytes = b"") -> None:
    file = {"image": (name, content or png())}
    answer = await http.post("/api/image/upload", files=file)
    assert answer.status_code == 201, answer.text


async def test_reads_are_as_of_the_server_itself(
    one: DemoServer, settings_for: SettingsFor
) -> None:
    async with (
        over(settings_for, one) as gateway,
        httpx.AsyncClient(base_url=f"http://{one.address}") as server,
    ):
        model = (await server.get("/models/checkpoints")).json()[0]
        for path in (path.format(model=model) for path in READS):
            want = await asked(server, path)
            for prefix in ("/comfy", "/comfy/api"):
                assert await asked(gateway.http, prefix + path) == want, path
                head = await gateway.http.head(prefix + path)
                assert (head.status_code, head.content) == (want[0], b""), path


async def test_object_info_is_that_of_the_server_but_for_its_inputs(
    one: DemoServer, settings_for: SettingsFor
) -> None:
    async with (
        over(settings_for, one) as gateway,
        httpx.AsyncClient(base_url=f"http://{one.address}") as server,
    ):
        want = (await server.get("/object_info")).json()
        await upload(gateway.http, "mine.png")
        found = (await gateway.http.get("/object_info")).json()
        image = found["LoadImage"]["input"]["required"]["image"]
        assert image[0] == ["mine.png"]
        image[0] = want["LoadImage"]["input"]["required"]["image"][0]
        assert found.keys() == want.keys()
        differing = {name for name in want if found[name] != want[name]}
        for name in differing:  # loaders of other files, of which there are none here
            assert name.startswith("Load"), name
        single = (await gateway.http.get("/object_info/LoadImage")).json()
        assert single["LoadImage"]["input"]["required"]["image"][0] == ["mine.png"]


async def test_object_info_is_packed_and_known(gateway: RunningGateway) -> None:
    path = "/comfy/object_info"
    packed = await gateway.http.get(path, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    plain = await gateway.http.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json() == packed.json()
    assert int(packed.headers["content-length"]) < len(plain.content) / 3
    assert gzip.decompress(gzip.compress(plain.content)) == packed.content
    known = {"If-None-Match": plain.headers["etag"]}
    assert (await gateway.http.get(path, headers=known)).status_code == 304
    await upload(gateway.http, "new.png")
    assert (await gateway.http.get(path, headers=known)).status_code == 200


@pytest.fixture
async def gate(
    settings_for: SettingsFor, tmp_path: Path, demo: DemoServer
) -> AsyncIterator[Guarded]:
    keys = {"alice": "run", "bob": "run", "boss": "manage"}
    async with guarded(settings_for, tmp_path, demo, keys=keys) as found:
        yield found


async def test_uploads_of_other_keys_are_no_choices(gate: Guarded) -> None:
    for name in ("alice", "bob"):
        await upload((await gate.client(name)), f"of-{name}.png")
    for name, other in (("alice", "bob"), ("bob", "alice"), ("alice", "bob")):
        for path in ("/object_info", "/object_info/LoadImage"):
            text = (await (await gate.client(name)).get(path)).text
            assert f"of-{name}.png" in text, (name, path)
            assert f"of-{other}.png" not in text, (name, path)
    assert "of-bob.png" not in (await (await gate.client("boss")).get("/object_info")).text


async def test_only_a_manager_may_free_what_others_use(gate: Guarded, demo: DemoServer) -> None:
    wish = {"unload_models": True}
    assert (await (await gate.client("alice")).post("/free", json=wish)).status_code == 403
    answer = await (await gate.client("boss")).post("/free", json=wish)
    assert (answer.status_code, answer.content) == (200, b"")
    assert demo.records.frees == [{"unload_models": True, "free_memory": False}]


async def test_several_servers_are_one(settings_for: SettingsFor) -> None:
    async with (
        DemoServer(step_seconds=0, jobs_api=False) as old,
        DemoServer(step_seconds=0) as new,
        over(settings_for, new, old) as gateway,
        httpx.AsyncClient(base_url=f"http://{old.address}") as server,
    ):
        stats = (await gateway.http.get("/system_stats")).json()
        own = (await server.get("/system_stats")).json()
        assert stats["system"].keys() == own["system"].keys()
        assert stats["system"]["comfyui_version"] == own["system"]["comfyui_version"]
        assert stats["system"]["argv"] == []
        assert [device["index"] for device in stats["devices"]] == [0, 1]
        assert {device["name"] for device in stats["devices"]} == {own["devices"][0]["name"]}
        features = (await gateway.http.get("/comfy/features")).json()
        flags = (await server.get("/features")).json()
        limit = gateway.gateway.settings.max_upload_bytes
        assert features == {**flags, "max_upload_size": limit, "assets": False}
        assert (await gateway.http.get("/extensions")).json() == []


async def test_without_a_server_there_is_a_reason(settings_for: SettingsFor) -> None:
    async with run_gateway(settings_for("127.0.0.1:9")) as gateway:
        paths = ("/object_info", "/object_info/KSampler", "/system_stats", "/comfy/models")
        for path in (*paths, "/comfy/embeddings", "/comfy/features"):
            assert (await gateway.http.get(path)).status_code == 503, path


@pytest.mark.parametrize(
    "path", ["/internal/logs", "/manager/reboot", "/customnode/getlist", "/api/v2/manager/queue"]
)
async def test_what_changes_the_machine_is_not_there(gateway: RunningGateway, path: str) -> None:
    for method in ("GET", "POST"):
        answer = await gateway.http.request(method, f"/comfy{path}")
        assert answer.status_code == 404, (method, path)


def test_flags_in_common_are_those_that_all_have() -> None:
    one = {"a": True, "b": True, "c": {"d": True, "e": 1}, "f": 1, "g": True}
    other = {"a": True, "b": False, "c": {"d": True, "e": 2}, "f": 1}
    assert common(one, other) == {"a": True, "b": False, "c": {"d": True}, "f": 1}


def test_choices_in_either_notation_are_replaced() -> None:
    uploads = [
        ("b.png", Kind.IMAGE),
        ("a.png", Kind.IMAGE),
        ("x/c.png", Kind.IMAGE),
        ("v.mp4", Kind.VIDEO),
        ("s.flac", Kind.AUDIO),
        ("3d/m.glb", Kind.MODEL3D),
    ]

    def chosen(definition: list[Any], class_type: str = "Any") -> Any:
        node = {"input": {"optional": {"file": definition}}}
        return with_choices(class_type, node, uploads)["input"]["optional"]["file"]

    theirs = ["theirs.png"]
    assert chosen([theirs, {"image_upload": True}])[0] == ["a.png", "b.png"]
    combo = {"options": theirs, "multiselect": False}
    assert chosen(["COMBO", {**combo, "audio_upload": True}]) == [
        "COMBO",
        {"options": ["s.flac", "v.mp4"], "multiselect": False, "audio_upload": True},
    ]
    assert chosen(["COMBO", {**combo, "video_upload": True}])[1]["options"] == ["v.mp4"]
    three = {"options": ["none", "3d/theirs.glb"], "file_upload": True}
    assert chosen(["COMBO", three])[1]["options"] == ["none", "3d/m.glb"]
    outputs = {"image_upload": True, "image_folder": "output"}
    assert chosen([theirs, outputs])[0] == []
    inner = {"required": {"image": [theirs, {"image_upload": True}]}}
    dynamic = ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "k", "inputs": inner}, {"key": "l"}]}]
    assert "theirs.png" not in str(chosen(dynamic))
    assert "a.png" in str(chosen(dynamic))
    kept = {"input": {"required": {"mask": ["STRING", {"image_upload": True}], "n": ["INT", {}]}}}
    assert with_choices("Painter", kept, uploads) is kept
