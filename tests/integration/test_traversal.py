"""Names that lead elsewhere, on every route that takes one: nothing outside of the folders is read,
written or removed. The routes come from the application, so that a new one is tried, too."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from app.api.access_levels import endpoints_of
from app.api.native.routes import ROUTES as NATIVE
from app.errors import FileNotFound
from app.files.stores.local import LocalStore
from app.files.stores.store import once, safe_name
from app.main import create_app
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, wait_until
from tests.folders import settled

Json = dict[str, Any]

CANARY = "the canary sings"
WORKFLOW = {**model_free(), "9": {"class_type": "PreviewAny", "inputs": {"source": CANARY}}}
NEVER = ("/ws",)


class House:
    """Folders of a gateway, with canaries all around them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inside = root / "data"
        for folder in ("workflows", "uploads", "outputs"):
            (self.inside / folder).mkdir(parents=True)
        for place in (root, self.inside, root / "outside"):
            place.mkdir(exist_ok=True)
            (place / "canary.txt").write_text(CANARY, encoding="utf-8")
            (place / "canary.json").write_text(json.dumps(WORKFLOW), encoding="utf-8")
            (place / "canary.png").write_bytes(b"\x89PNG\r\n\x1a\n" + CANARY.encode())

    async def outside(self) -> dict[str, bytes]:
        """Every file that is none of the gateway's."""
        ours = [self.inside / folder for folder in ("workflows", "uploads", "outputs")]
        return {
            str(path): path.read_bytes()
            for path in await settled(self.root)
            if path.is_file()
            and not path.name.startswith("gateway.db")
            and not any(path.is_relative_to(folder) for folder in ours)
        }

    def names(self, *kinds: str) -> list[str]:
        """As a client would write them into JSON; of canaries of these kinds, or of all."""
        found = []
        for name in (f"canary{kind}" for kind in kinds or (".json", ".png", ".txt")):
            found += [f"../{name}", f"../../outside/{name}", str(self.root / name)]
            found += [f"..\\{name}", f"x/../../{name}", f"....//{name}", f"./../{name}"]
            found += [f"file://{self.root / name}", f"../{name}\0", f"\0../{name}"]
            found += [f"..\N{FULLWIDTH SOLIDUS}{name}", f"\N{TWO DOT LEADER}/{name}", f"../{name}."]
        return [
            *found,
            "..",
            ".",
            "",
            "/",
            "~/canary.json",
            "C:\\canary.json",
            "\\\\host\\x",
            "x" * 5000,
        ]


def targets(names: list[str], turn: int) -> Iterator[str]:
    """The same as parts of a URL; those of canaries also in one of the ways in which servers have
    been fooled, by turns: in all of them on any four routes."""
    for number, name in enumerate(names):
        once = quote(name, safe="")
        yield once
        if "canary" in name:
            ways = (
                quote(name, safe="/"),
                once.replace(".", "%2e"),
                once.replace("%", "%25"),
                once.replace("%2F", "%c0%af"),
            )
            yield ways[(number + turn) % 4]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
async def gateway(
    house: House, demo: DemoServer, settings_for: Callable[..., Settings]
) -> AsyncIterator[RunningGateway]:
    folders = {f"{name}_dir": house.inside / name for name in ("workflows", "uploads", "outputs")}
    async with over(settings_for, demo, **folders) as running:
        before = await house.outside()
        yield running
        assert await house.outside() == before


def check(answer: httpx.Response, said: str) -> None:
    """Canaries of ours that a client sent do not count: these are read by nobody."""
    assert answer.status_code < 500 or answer.status_code == 503, (said, answer.text)
    assert CANARY not in answer.text, said


async def send(gateway: RunningGateway, method: str, target: str, **options: Any) -> httpx.Response:
    """With the target as it is written here."""
    request = gateway.http.build_request(method, "/", **options)
    request.extensions["target"] = target.encode()
    return await gateway.http.send(request)


def operations(settings: Settings) -> list[tuple[str, str, Json]]:
    paths = create_app(settings).openapi()["paths"]
    return [
        (method.upper(), path, operation)
        for path, methods in paths.items()
        for method, operation in methods.items()
        if path not in NEVER
    ]


@pytest.mark.slow
async def test_names_in_paths(gateway: RunningGateway, house: House) -> None:
    tried = 0
    with_parts = [one for one in operations(gateway.gateway.settings) if "{" in one[1]]
    for turn, (method, path, _) in enumerate(with_parts):
        # Every name once on each route, in one of its places.
        for number, name in enumerate(targets(house.names(), turn)):
            parts = path.split("{")
            place = number % (len(parts) - 1)
            filled = parts[0] + "".join(
                (name if at == place else "sd15.json") + part.partition("}")[2]
                for at, part in enumerate(parts[1:])
            )
            check(await send(gateway, method, filled), f"{method} {filled}")
            tried += 1
    assert tried > 1000


async def test_names_in_static_files(gateway: RunningGateway, house: House) -> None:
    for turn, prefix in enumerate(("/static/", "/static/../", "/", "/static/js/")):
        for name in targets(house.names(), turn):
            check(await send(gateway, "GET", prefix + name), name)


async def test_names_in_queries(gateway: RunningGateway, house: House) -> None:
    tried = 0
    for method, path, operation in operations(gateway.gateway.settings):
        words = [
            parameter["name"]
            for parameter in operation.get("parameters", ())
            if parameter["in"] == "query" and "string" in json.dumps(parameter["schema"])
        ]
        for word in words:
            for name in house.names()[::3]:
                target = path.replace("{filename}", "canary.png")
                query = {word: name, **({"server": server_of(gateway)} if word != "server" else {})}
                answer = await gateway.http.request(method, target, params=query)
                check(answer, f"{method} {target}?{query}")
                tried += 1
    assert tried > 300


def server_of(gateway: RunningGateway) -> str:
    return next(iter(gateway.gateway.pool)).id


async def test_names_of_uploads(gateway: RunningGateway, house: House) -> None:
    picture = b"\x89PNG\r\n\x1a\n"
    for name in house.names():
        if "\0" in name:
            continue  # httpx does not send it
        for path, field in [
            ("/api/image/upload", "image"),
            ("/api/workflow/upload", "file"),
            ("/api/v2/assets", "file"),
        ]:
            content = json.dumps(model_free()).encode() if "workflow" in path else picture
            answer = await gateway.http.post(path, files={field: (name or "x", content)})
            check(answer, f"{path} {name!r}")
            if path == "/api/image/upload" and answer.status_code == 201:
                assert "/" not in answer.json()["name"]
        form = {"subfolder": name, "filename": name, "type": name}
        answer = await gateway.http.post(
            "/api/image/upload", data=form, files={"image": ("a.png", picture)}
        )
        check(answer, f"form {name!r}")


async def test_names_in_bodies(gateway: RunningGateway, house: House) -> None:
    load = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    for name in house.names(".json", ".png"):
        for path, body in [
            ("/api/workflow/submit", {"filename": name}),
            ("/api/workflow/submit", {"workflow": load, "params": {"1.image": name}}),
            ("/api/workflow/submit", {"workflow": load, "params": {"1.image": {"upload": name}}}),
            ("/api/workflow/update", {"filename": name, "params": {}}),
            ("/api/workflow/update", {"filename": name, "workflow": model_free()}),
            ("/api/workflow/x.json/restore", {"version": name}),
            ("/api/history/delete", {"task_ids": [name]}),
            ("/api/v2/assets/from-hash", {"hash": name, "file_path": name}),
            ("/api/v2/jobs", {"workflow": load, "metadata": {"x": name}}),
        ]:
            check(await gateway.http.post(path, json=body), f"{path} {name!r}")


def reading_and_writing(name: str) -> tuple[Json, Json]:
    """A graph whose input has the name, and one whose results do."""
    load = {"class_type": "LoadImage", "inputs": {"image": name}}
    save = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}
    return {"1": load, "2": save}, model_free(prefix=name)


async def test_names_in_workflows(
    gateway: RunningGateway, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a task reads and writes: inputs that it names, prefixes of its results."""
    monkeypatch.setattr("app.servers.breaker.FAILURES", 1000)  # or its server would be taken out
    ids = []
    names = [name for name in house.names(".json", ".png") if len(name) < 200]
    for name in names:
        for graph in reading_and_writing(name):
            answer = await gateway.http.post("/api/workflow/submit?wait=60", json=graph)
            check(answer, name)
            ids += [answer.json()["task_id"]] if answer.status_code < 400 else []
    assert len(ids) > 20
    for task_id in ids:
        for output in (await gateway.task(task_id))["outputs"]:
            if output.get("url"):
                check(await gateway.http.get(output["url"]), output["url"])


async def test_names_that_servers_give(gateway: RunningGateway, house: House) -> None:
    """A server that is not to be trusted names its results as it likes."""
    store = gateway.gateway.files
    assert isinstance(store, LocalStore)
    for name in house.names():
        stored = await store.save(f"task/{safe_name(name)}", once(b"x"))
        assert store.path(stored.key).parent == store.folder / "task"
    for key in ("../canary.txt", "task/../../canary.txt", str(house.root / "canary.txt")):
        with pytest.raises(FileNotFound):
            await store.save(key, once(b"x"))
        with pytest.raises(FileNotFound):
            await store.stat(key)


async def test_names_in_paths_of_comfyuis_own_routes(gateway: RunningGateway, house: House) -> None:
    paths = [each for each in endpoints_of(NATIVE) if "{" in each.path and "{rest" not in each.path]
    assert len(paths) > 5
    for turn, each in enumerate(paths):
        before, _, after = each.path.partition("{")
        for name in targets(house.names(), turn):
            target = before + name + after.partition("}")[2]
            check(await send(gateway, each.method, target), f"{each.method} {target}")


async def test_names_of_files_of_comfyuis_own_routes(gateway: RunningGateway, house: House) -> None:
    task_id = (await gateway.http.post("/prompt", json={"prompt": model_free()})).json()[
        "prompt_id"
    ]
    picture = b"\x89PNG\r\n\x1a\n"
    for number, name in enumerate(house.names()):
        kind = ("input", "output", "temp", name)[number % 4]
        for query in (
            {"filename": name, "type": kind},
            {"filename": "canary.png", "subfolder": name, "type": kind},
            {"filename": name, "subfolder": task_id, "type": kind},
            {"filename": "canary.png", "subfolder": f"{task_id}/{name}", "type": kind},
        ):
            check(await gateway.http.get("/view", params=query), f"/view {query}")
        if "\0" in name:
            continue  # httpx does not send it as a name
        for path in ("/upload/image", "/upload/mask"):
            for file, folder in ((name or "x", ""), ("a.png", name)):
                form = {
                    "subfolder": folder,
                    "type": kind,
                    "overwrite": "true",
                    "original_ref": json.dumps({"filename": name, "subfolder": folder}),
                }
                files = {"image": (file, picture)}
                answer = await gateway.http.post(path, data=form, files=files)
                check(answer, f"{path} {file!r} {folder!r}")


async def test_names_in_prompts_of_comfyuis_own_protocol(
    gateway: RunningGateway, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.servers.breaker.FAILURES", 1000)  # or its server would be taken out
    for name in (name for name in house.names(".png") if len(name) < 200):
        for graph in reading_and_writing(name):
            check(await gateway.http.post("/prompt", json={"prompt": graph}), name)

    async def all_ended() -> bool:
        return bool((await gateway.http.get("/prompt")).json()["exec_info"]["queue_remaining"] == 0)

    await wait_until(all_ended)
    history = (await gateway.http.get("/history")).json()
    assert len(history) > 5
    for entry in history.values():
        for node in entry["outputs"].values():
            for file in node.get("images", ()):
                check(await gateway.http.get("/view", params=file), str(file))


async def test_a_file_where_it_should_be_is_found(gateway: RunningGateway, house: House) -> None:
    """The checks above can fail: a canary inside is read."""
    (house.inside / "workflows" / "canary.json").write_text(json.dumps(WORKFLOW), encoding="utf-8")
    answer = await gateway.http.get("/api/workflow/canary.json")
    assert CANARY in answer.text
