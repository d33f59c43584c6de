"""Below a path: every URL that the gateway tells is below it, and what comes back is understood."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.access_levels import names
from app.base_path import LONGEST
from app.errors import BadSettings
from app.main import create_app
from app.settings import Settings
from app.tasks.truncation import LIST, MAX_STREAM_BYTES
from fake_comfyui.server import DemoServer
from tests.conftest import WAIT, RunningGateway, model_free, over, text_to_image, wait_until
from tests.integration.test_access_matrix import filled, picture
from tests.keyholders import write_keys
from tests.receivers import receiving
from tests.told_paths import Visit, misplaced, urls_in

Json = dict[str, Any]
SettingsFor = Callable[..., Settings]
PATH = "/below/a~path"
ENDS = ("succeeded", "canceled")
LONG = text_to_image(steps=6)
MANY = {"width": 8, "height": 8, "batch_size": 120, "color": 1}
LOADING = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "none.png"}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "copy"}},
}


@dataclass(frozen=True)
class Way:
    """How the gateway comes to be below a path."""

    setting: str = ""
    sent: str = ""  # in X-Forwarded-Prefix
    kept: str = ""  # at the beginning of what is asked for, as the proxy leaves it there
    path: str = PATH
    keys: bool = False


WAYS = {
    "told": Way(sent=PATH),
    "told with keys": Way(sent=f"{PATH}/", keys=True),
    "told by two": Way(sent="/below/, /a~path"),
    "told what routes begin with": Way(sent="/api", path="/api"),
    "set": Way(setting=PATH),
    "set with keys": Way(setting=PATH, keys=True),
    "set and left there": Way(setting=f"{PATH}/", kept=PATH),
    "set before told": Way(setting=PATH, sent="/another"),
    "not below": Way(path=""),
    "told what is none": Way(sent="//another.example", path=""),
}


@asynccontextmanager
async def visit(gateway: RunningGateway, way: Way, key: str | None = None) -> AsyncIterator[Visit]:
    headers = {"X-Forwarded-Prefix": way.sent} if way.sent else {}
    headers |= {"Authorization": f"Bearer {key}"} if key else {}
    place = f"{gateway.address}{way.kept}"
    async with httpx.AsyncClient(base_url=f"http://{place}", timeout=WAIT, headers=headers) as http:
        yield Visit(http, f"ws://{place}/ws")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]


@pytest.fixture
async def visitor(
    way: Way, settings_for: SettingsFor, demo: DemoServer, tmp_path: Path
) -> AsyncIterator[Visit]:
    texts = write_keys(tmp_path / "keys.json", boss="manage") if way.keys else {}
    settings = {"api_keys": str(tmp_path / "keys.json")} if way.keys else {}
    async with (
        over(
            settings_for,
            demo,
            root_path=way.setting,
            allow_private_urls=["127.0.0.1"],
            **settings,
        ) as gateway,
        visit(gateway, way, texts.get("boss")) as found,
    ):
        yield found


async def submits(visitor: Visit, hook: str) -> dict[str, str]:
    """Something of each kind; the ids by the names that paths have for them."""
    ask, submit = visitor.ask, "/api/workflow/submit"
    files = {"image": ("mine.png", picture())}
    upload = await ask("POST", "/api/image/upload", files=files)
    mask = {"original": "mine.png"}
    await ask("POST", "/api/image/upload/mask", data=mask, files={"image": ("m.png", picture())})
    about = {"metadata": {"url": "mine", "text": "outputs"}, "webhook": hook}
    once = {"headers": {"Idempotency-Key": "one"}, "json": {"workflow": model_free(), **about}}
    first = await ask("POST", f"{submit}?wait={WAIT}", **once)
    assert (await ask("POST", submit, **once))["task_id"] == first["task_id"]
    url = first["outputs"][0]["url"]
    for value in (url, str(visitor.http.base_url.join(url)), upload["url"]):
        params = {"workflow": LOADING, "params": {"1.image": value}}
        copy = await ask("POST", f"{submit}?wait={WAIT}&inline=true", json=params)
        assert copy["status"] == "succeeded", copy
    many = {"workflow": model_free(7), "batch": {"1.color": [1, 2]}}
    batch = await ask("POST", f"{submit}?wait={WAIT}", json=many)
    await ask("POST", f"/api/task/{first['task_id']}/retry")
    await ask("POST", f"/api/task/{first['task_id']}/cancel")
    await ask("POST", f"/api/interrupt/{first['task_id']}")
    await ask("POST", f"/api/batch/{batch['batch_id']}/cancel")
    saved = {"file": ("mine.json", json.dumps(model_free(9)))}
    await ask("POST", "/api/workflow/upload", files=saved)
    await ask("POST", f"/api/workflow/mine.json/run?wait={WAIT}", json={})
    job = await ask("POST", "/api/v2/jobs", json={"workflow": model_free(11)})
    form = {"content_type": "image/png", "file_path": "asset.png"}
    files = {"file": ("asset.png", picture())}
    asset = await ask("POST", "/api/v2/assets", data=form, files=files)
    await ask(
        "POST", "/api/v2/assets/from-hash", json={"hash": asset["hash"], "file_path": "b.png"}
    )
    return {
        **dict.fromkeys(("task_id", "prompt_id"), first["task_id"]),
        "batch_id": batch["batch_id"],
        "result": first["outputs"][0]["filename"],
        "upload": upload["name"],
        "asset": asset["id"],
        "hash": asset["hash"],
        "job": job["id"],
    }


READS = """
    /api/tasks?limit=1&total=true /api/workflow/mine.json /api/workflow/mine.json/openapi.json
    /api/v2/jobs/{job} /api/v2/jobs/{job}/events /api/image/{upload}?type=input
"""


async def every_route(visitor: Visit, things: dict[str, str]) -> None:
    """Send each route a request with nothing in it: errors are told, too."""
    every = names(create_app(Settings.model_construct()).routes)
    for name in sorted(every, key=lambda name: (name.startswith("DELETE"), "delete" in name)):
        method, path = name.partition(" ")[0], filled(name, things)
        if method != "WS":
            await visitor.try_out(method, path)


async def test_every_url_is_below_the_path(visitor: Visit, way: Way) -> None:
    async with receiving() as receiver, visitor.watching():
        things = await submits(visitor, f"{receiver.url}/hook")
        await wait_until(lambda: receiver.got)
        things["delivery_id"] = receiver.got[0].headers["webhook-id"]
        for path in READS.split():
            await visitor.ask("GET", path.format(**things))
        resumed = {"headers": {"Last-Event-ID": "1"}}
        await visitor.ask("GET", f"/api/task/{things['task_id']}/events", **resumed)
        await every_route(visitor, things)
    wrong = {name: found for name, told in visitor.told if (found := misplaced(told, way.path))}
    assert wrong == {}
    servers = [{"url": way.path}] if way.path else None
    for place in ("/openapi.json", "/api/workflow/mine.json/openapi.json"):
        assert dict(visitor.told)[f"GET {place}"]["body"].get("servers") == servers
    names = [name for name, told in visitor.told for _ in urls_in(told)]
    assert {"WS /ws", "GET /api/tasks", "GET /api/v2/jobs", "POST /api/image/upload"} <= {*names}
    assert misplaced(json.loads(receiver.got[0].body), way.setting.rstrip("/")) == []


async def test_redirects_stay_below_the_path(visitor: Visit, way: Way) -> None:
    for path in ("/api/health/", "/docs/"):
        answer = await visitor.http.get(f"{path}?a=b")
        assert answer.status_code == 307
        assert answer.headers["location"] == f"{way.path}{path.rstrip('/')}?a=b"


async def test_the_path_alone_leads_to_the_page(settings_for: SettingsFor) -> None:
    async with over(settings_for, root_path="/comfy") as gateway:
        answer = await gateway.http.get("/comfy?a=b")
        assert answer.status_code == 307
        assert answer.headers["location"] == "/comfy/?a=b"
        assert answer.headers["x-request-id"], "it is in the log, as every request is"
        assert (await gateway.http.get("/comfy/")).headers["content-type"].startswith("text/html")


async def test_no_redirect_leads_to_nothing_or_elsewhere(settings_for: SettingsFor) -> None:
    """Whatever host and scheme the gateway takes itself for, slashes and routes there are."""
    every = [name.split(" ") for name in names(create_app(settings_for()).routes)]
    paths = {path.rstrip("/") for method, path in every if method == "GET" and "{" not in path}
    redirects = 0
    async with over(settings_for) as gateway:
        for path in [*paths, "/static/js", "//evil.example", "//static", "/.."]:
            for asked in (path, f"{path}/", f"{path}//", f"/{path}/"):
                answer = await gateway.http.get(f"http://{gateway.address}{asked}?a=b")
                if 300 <= answer.status_code < 400:
                    redirects += 1
                    place = answer.headers["location"]
                    assert re.fullmatch(r"/([^/].*)?\?a=b", place), (asked, place)
                    assert (await gateway.http.get(place)).status_code != 404, (asked, place)
    assert redirects > 20


@pytest.mark.parametrize(("trusted", "scheme"), [("", "http"), ("127.0.0.0/30", "https")])
async def test_whose_scheme_counts(
    settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch, trusted: str, scheme: str
) -> None:
    """docs/deployment.md: of a proxy that is not on 127.0.0.1 only if it is named."""
    if trusted:
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", trusted)
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/comfy"}
    proxy = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    async with over(settings_for) as gateway, httpx.AsyncClient(transport=proxy) as http:
        base = f"http://{gateway.address}"
        files = {"file": ("asset.png", picture())}
        form = {"content_type": "image/png", "file_path": "asset.png"}
        sent = {"data": form, "files": files, "headers": headers}
        asset = (await http.post(f"{base}/api/v2/assets", **sent)).json()
        assert asset["url"].startswith(f"{scheme}://{gateway.address}/comfy/api/v2/assets/")
        location = (await http.get(f"{base}/docs/", headers=headers)).headers["location"]
        assert location == "/comfy/docs"


@pytest.mark.parametrize(
    "path", ["/comfyx/api/health", "/comfyapi/health", "/%63omfy/api/health", "/comfy%2Fapi/health"]
)
async def test_only_whole_segments_are_the_path(settings_for: SettingsFor, path: str) -> None:
    async with over(settings_for, root_path="/comfy") as gateway:
        assert (await gateway.http.get(path)).status_code == 404
        assert (await gateway.http.get("/comfy/comfy/api/health")).status_code == 404
        assert (await gateway.http.get("/comfy/api/health")).status_code == 200


async def test_what_goes_by_the_path_goes_by_that_of_the_route(settings_for: SettingsFor) -> None:
    """The log, figures, policies and the kind of errors are those of the route."""
    async with over(settings_for, root_path="/comfy") as gateway:
        for path in ("/", "/docs", "/static/icon.svg", "/api/health"):
            policies = [
                (await gateway.http.get(f"{base}{path}")).headers["content-security-policy"]
                for base in ("", "/comfy")
            ]
            assert policies[0] == policies[1], path
        error = (await gateway.http.get("/comfy/api/v2/jobs/nobody")).json()["error"]
        assert error["code"] == "not_found"
        figures = (await gateway.http.get("/comfy/metrics")).text
        assert 'route="/api/v2/jobs/{id}"' in figures
        assert "comfy/" not in figures


async def test_keys_guard_what_is_below_the_path(settings_for: SettingsFor, tmp_path: Path) -> None:
    """Whoever decides what a request needs sees the path that the routes see."""
    write_keys(tmp_path / "keys.json", reader="read")
    settings = {"root_path": "/comfy", "api_keys": str(tmp_path / "keys.json")}
    async with over(settings_for, **settings) as gateway:
        for path in ("/api/tasks", "/comfy/api/tasks", "/metrics", "/comfy/metrics"):
            assert (await gateway.http.get(path)).status_code == 401
        assert (await gateway.http.get("/comfy/api/health")).status_code == 200
        error = (await gateway.http.get("/comfy/api/v2/jobs")).json()["error"]
        assert error["code"] == "unauthorized"


@pytest.mark.parametrize(
    "path", ["/api", "/static/x", "/docs", "/ws", "/metrics", "/openapi.json", "/view/x", "/queue"]
)
def test_a_path_that_routes_begin_with_is_refused(settings_for: SettingsFor, path: str) -> None:
    """Whether a proxy took it out of /api/api/tasks could not be told."""
    with pytest.raises(BadSettings, match=r"COMFYUI_ROOT_PATH.*Take another"):
        create_app(settings_for(root_path=path))


def test_a_path_that_is_none_is_refused(settings_for: SettingsFor) -> None:
    with pytest.raises(BadSettings, match=r"COMFYUI_ROOT_PATH: 'comfy' is no path.*such as /comfy"):
        create_app(settings_for(root_path="comfy"))


async def test_clients_are_told_their_own_path(gateway: RunningGateway, demo: DemoServer) -> None:
    """Though an update is made once, and one client changes what others hear of."""
    demo.knobs.step_seconds = 0.02
    paths = ["/one", "", "/two/more"]
    ways = [Way(sent=path, path=path) for path in paths]
    async with AsyncExitStack() as stack:
        visits = [await stack.enter_async_context(visit(gateway, way)) for way in ways]
        for each in visits:
            await stack.enter_async_context(each.watching())
        task = await visits[0].ask("POST", "/api/workflow/submit", json={"workflow": LONG})
        url = f"/api/task/{task['task_id']}"
        streams = [asyncio.create_task(each.ask("GET", f"{url}/events")) for each in visits]
        await asyncio.gather(*streams)
        copy = await visits[2].ask("POST", f"{url}/retry")
        await visits[0].ask("POST", f"/api/task/{copy['task_id']}/cancel")
        resumed = {"headers": {"Last-Event-ID": "1"}}
        for each in visits:
            await each.ask("GET", f"{url}/events", **resumed)
            await each.ask("GET", url)
            await wait_until(lambda each=each: ended_in(each, copy["task_id"]))
    for each, path in zip(visits, paths, strict=True):
        kinds = {name.partition("?")[0] for name, told in each.told if urls_in(told)}
        assert {"WS /ws", f"GET {url}/events", f"GET {url}"} <= kinds
        assert {
            name: misplaced(told, path) for name, told in each.told if misplaced(told, path)
        } == {}


async def test_a_long_path_makes_no_message_too_large(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    path = f"/{'p' * (LONGEST - 1)}"
    async with visit(gateway, Way(sent=path, path=path)) as visitor, visitor.watching():
        many = {**model_free(), "1": {"class_type": "EmptyImage", "inputs": MANY}}
        body = {"workflow": many}
        task = await visitor.ask("POST", f"/api/workflow/submit?wait={WAIT}", json=body)
        assert len(task["outputs"]) == MANY["batch_size"]
        await wait_until(lambda: ended_in(visitor, task["task_id"]))
        page = await visitor.ask("GET", "/api/tasks")
    told = [told for name, told in visitor.told if name == "WS /ws" and told.get("outputs")]
    for view, room in ((told[-1], MAX_STREAM_BYTES), (page["tasks"][0], LIST)):
        assert len(json.dumps(view)) <= room * 1.1
        assert view["cut"]["outputs"] == MANY["batch_size"]
        assert misplaced(view, path) == []
        assert view["outputs"]


def ended_in(visitor: Visit, task_id: str) -> bool:
    """Whether its WebSocket was told of the end."""
    updates = [told for name, told in visitor.told if name == "WS /ws"]
    return any(told.get("status") in ENDS and told["task_id"] == task_id for told in updates)
