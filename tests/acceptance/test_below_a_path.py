"""Below a path, by files of deploy/ as they stand: API, clients and examples, with keys."""

import asyncio
import json
import re
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from comfy_sdk import Comfy
from comfy_sdk.events import StatusChange
from websockets.asyncio.client import connect

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests import services
from tests.acceptance.proxies import caddy, nginx, until_it_answers
from tests.acceptance.test_comfy_typescript import LOADING, done_by_typescript, run
from tests.conftest import ROOT, WAIT, model_free, over, text_to_image
from tests.integration.test_files import png
from tests.keyholders import write_keys
from tests.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

Json = dict[str, Any]
Proxy = Callable[[str, Path], AbstractAsyncContextManager[None]]
PATH = "/comfy"
QUICK = 0.001  # seconds of a step
PROXIES: dict[str, tuple[str, Proxy]] = {
    "nginx": ("nginx-below-a-path.conf", nginx),
    "caddy": ("Caddyfile.below-a-path", caddy),
}


@dataclass(frozen=True)
class Place:
    """A gateway, by its address, behind a proxy, by its name in PROXIES; `host` is the proxy's."""

    gateway: str
    proxy: str
    host: str
    key: str
    demo: DemoServer

    @property
    def url(self) -> str:
        return f"http://{self.host}{PATH}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers=self.headers, timeout=WAIT)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PROXIES)
async def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("below")
    shutil.copytree(ROOT / "workflows", folder / "workflows")
    keys = folder / "keys.json"
    key = write_keys(keys, client="manage")["client"]

    def settings(*servers: str) -> Settings:
        return Settings(
            comfyui_server=list(servers),
            database_url=f"sqlite:///{folder}/gateway.db",
            workflows_dir=folder / "workflows",
            uploads_dir=folder / "uploads",
            outputs_dir=folder / "outputs",
            api_keys=str(keys),
            allow_private_urls=["127.0.0.1"],
            _env_file=None,
        )

    async with DemoServer(preview_method="auto") as demo, over(settings, demo) as gateway:
        demo.knobs.step_seconds = QUICK
        async with in_front_of(gateway.address, request.param, folder) as host:
            yield Place(gateway.address, request.param, host, key, demo)


@asynccontextmanager
async def in_front_of(
    gateway: str, name: str, folder: Path, change: Callable[[str], str] = str
) -> AsyncIterator[str]:
    """A proxy by its file in deploy/, after a change; its HOST:PORT."""
    file, proxy = PROXIES[name]
    host = f"127.0.0.1:{free_port()}"
    text = change((ROOT / "deploy" / file).read_text(encoding="utf-8"))
    text = text.replace("127.0.0.1:8000", gateway)
    text, listens = re.subn(r"^(:8080|    listen 8080)", _listening(host), text, flags=re.M)
    assert listens == 1
    async with proxy(text, folder):
        await until_it_answers(f"http://{host}{PATH}")
        yield host


def _listening(host: str) -> Callable[[re.Match[str]], str]:
    def here(found: re.Match[str]) -> str:
        return f"    listen {host}" if "listen" in found[0] else f":{host.partition(':')[2]}"

    return here


async def test_what_is_told_is_found(place: Place) -> None:
    async with place.http() as http:
        answer = await http.post(f"/api/workflow/submit?wait={WAIT}", json=model_free())
        task, location = answer.json(), answer.headers["location"]
        assert location == f"{PATH}/api/task/{task['task_id']}"
        assert (await http.get(http.base_url.join(location))).json() == task
        link = http.base_url.join(task["outputs"][0]["url"])
        assert link.path.startswith(f"{PATH}/api/image/")
        assert (await http.get(link)).content.startswith(b"\x89PNG")
        for name in ("large.png", "a b%c#d;é+&.png"):
            large = {"image": (name, png((1, 2, 3)) + bytes(3 << 20))}
            upload = (await http.post("/api/image/upload", files=large)).json()
            found = await http.get(http.base_url.join(upload["url"]))
            assert len(found.content) == upload["size_bytes"] > 3 << 20
        for value in (str(link), task["outputs"][0]["url"], upload["url"]):
            body = {"workflow": LOADING, "params": {"1.image": value}}
            answer = await http.post(f"/api/workflow/submit?wait={WAIT}", json=body)
            assert answer.json()["status"] == "succeeded", answer.text


async def test_redirects_lead_below_the_path(place: Place) -> None:
    async with httpx.AsyncClient(follow_redirects=True) as http:
        page = await http.get(f"http://{place.host}{PATH}")
        assert str(page.url) == f"{place.url}/"
        assert page.headers["content-type"].startswith("text/html")
        page = await http.get(f"http://{place.host}{PATH}?lang=zh&a=%2Fcomfy")
        assert str(page.url) == f"{place.url}/?lang=zh&a=%2Fcomfy"
        health = await http.get(f"{place.url}/api/health/")
        assert (str(health.url), health.status_code) == (f"{place.url}/api/health", 200)
        servers = (await http.get(f"{place.url}/openapi.json")).json()["servers"]
        assert servers == [{"url": PATH}]


OUTER = {"X-Forwarded-Prefix": "/outer", "X-Forwarded-Proto": "https"}  # of a proxy before it


async def told_to(place: Place, host: str) -> str:
    """The base URL of an asset, as a client is told it by way of the outer proxy."""
    async with place.http() as http:
        form = {"content_type": "image/png", "file_path": "asset.png"}
        sent = {"data": form, "files": {"file": ("asset.png", png())}, "headers": OUTER}
        answer = await http.post(f"http://{host}{PATH}/api/v2/assets", **sent)
        return str(answer.json()["url"]).partition("/api/")[0]


async def test_a_path_that_comes_in_is_replaced(place: Place) -> None:
    assert (await told_to(place, place.host)).endswith(f"://{place.host}{PATH}")


async def test_of_two_proxies_the_inner_adds_its_part(place: Place, tmp_path: Path) -> None:
    """As docs/deployment.md says; the scheme is that of the outer one."""
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    [line] = re.findall(rf"^\| {place.proxy} \| `(.+/inner.*)` \|$", page, re.M | re.I)
    replaces = r"(proxy_set_header|header_up) X-Forwarded-Prefix /comfy;?"

    def adding(text: str) -> str:
        text, found = re.subn(replaces, line.replace("/inner", PATH), text)
        assert found == 1
        return text.replace("# trusted_proxies", "trusted_proxies")

    async with in_front_of(place.gateway, place.proxy, tmp_path, adding) as host:
        assert await told_to(place, host) == f"https://{host}/outer{PATH}"


async def test_streams_are_live(place: Place) -> None:
    place.demo.knobs.step_seconds = 0.05
    key = ["comfyui-gateway", f"key.{place.key}"]
    address = f"{place.url.replace('http', 'ws')}/ws"
    async with place.http() as http, connect(address, subprotocols=key) as socket:
        answer = await http.post("/api/workflow/submit", json=text_to_image(steps=1000))
        url = f"/api/task/{answer.json()['task_id']}"
        async with http.stream("GET", f"{url}/events") as stream:
            async for line in stream.aiter_lines():
                if line.startswith("event: progress"):  # it has not been kept back until the end
                    break
        assert (await http.get(url)).json()["status"] == "running"
        while json.loads(await socket.recv())["task_id"] != answer.json()["task_id"]:
            pass
        await http.post(f"{url}/cancel")
    place.demo.knobs.step_seconds = QUICK


async def test_the_python_client(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFY_BASE_URL", place.url)
    monkeypatch.setenv("COMFY_API_KEY", place.key)

    def work() -> None:
        with Comfy() as client:
            workflow = client.workflows.from_json(json.loads(json.dumps(LOADING)))
            workflow.set_input("1", "image", client.assets.from_bytes(png(), filename="a.png"))
            job = client.submit(workflow)
            assert list(job.events())[-1] == StatusChange("succeeded")
            (output,) = job.result().outputs
            assert output.get_download_url().url.startswith(f"{place.url}/api/v2/assets/")
            assert len(output.to_bytes()) == output.size_bytes

    await asyncio.to_thread(work)


async def test_the_typescript_client(place: Place, tmp_path: Path) -> None:
    place.demo.knobs.step_seconds = 0.03
    await done_by_typescript(tmp_path, place.url, place.key)
    place.demo.knobs.step_seconds = QUICK


@pytest.mark.parametrize("name", ["basic_usage.py", "batch_generate.py", "advanced_usage.py"])
async def test_the_examples(place: Place, tmp_path: Path, name: str) -> None:
    at = {"GATEWAY_URL": place.url, "COMFYUI_API_KEY": place.key}
    command = (sys.executable, "-W", "error", str(ROOT / "examples" / name))
    status, said = await run(*command, cwd=tmp_path, **at)
    assert status == 0, said
    assert list((tmp_path / "pictures").glob("*.png"))


async def test_the_postman_collection(place: Place) -> None:
    guide = (ROOT / "POSTMAN_GUIDE.md").read_text(encoding="utf-8")
    command = re.findall(r"^newman run .*$", guide, re.MULTILINE)[0].split()
    services.program("newman", "npm install --global newman")
    variables = (f"base_url={place.url}", f"api_key={place.key}")
    options = [word for variable in variables for word in ("--env-var", variable)]
    status, said = await run(*command, *options, cwd=ROOT)
    assert status == 0, said
