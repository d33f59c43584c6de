"""ComfyUI's own routes at the root: not served, with a hint that leads on."""

import pytest

from tests.conftest import RunningGateway

ROUTES = {
    ("POST", "/prompt"): "/api/workflow/submit",
    ("POST", "/api/prompt"): "/api/workflow/submit",
    ("GET", "/queue"): "/api/queue",
    ("GET", "/history"): "/api/history",
    ("GET", "/history/abc"): "/api/task/{id}",
    ("GET", "/view?filename=a.png"): "/api/image/",
    ("GET", "/api/view?filename=a.png"): "/api/image/",
    ("POST", "/upload/image"): "/api/image/upload",
    ("POST", "/api/upload/mask"): "/api/image/upload/mask",
    ("POST", "/interrupt"): "/cancel",
    ("POST", "/api/interrupt"): "/cancel",
    ("GET", "/object_info/KSampler"): "/api/nodes",
    ("GET", "/system_stats"): "/api/system/info",
    ("POST", "/free"): "/api/system/free",
    ("GET", "/userdata?dir=workflows"): "/api/workflows",
    ("GET", "/api/jobs"): "/api/tasks",
}


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
async def test_it_names_ours(gateway: RunningGateway, route: tuple[str, str]) -> None:
    answer = await gateway.http.request(*route)
    assert answer.status_code == 404, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert ROUTES[route] in answer.json()["hint"]


async def test_others_have_none(gateway: RunningGateway) -> None:
    for path in ("/nothing", "/api/nothing", "/promptly"):
        assert "hint" not in (await gateway.http.get(path)).json()
