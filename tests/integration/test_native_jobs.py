"""/api/jobs of ComfyUI 0.33 and /history, asked of the gateway as of a server."""

from typing import Any

import httpx
import pytest

from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, keep_out, model_free, over, wait_until

Json = dict[str, Any]
# What is not the same in two places
_APART = ("id", "create_time", "execution_start_time", "execution_end_time", "priority")


async def run(http: httpx.AsyncClient, color: int, **extra: Any) -> str:
    body = {"prompt": model_free(color), "extra_data": {"extra_pnginfo": extra}} if extra else {}
    answer = await http.post("/prompt", json=body or {"prompt": model_free(color)})
    prompt_id = str(answer.json()["prompt_id"])
    await ended(http, prompt_id)
    return prompt_id


async def ended(http: httpx.AsyncClient, prompt_id: str) -> Json:
    async def entry() -> Json | None:
        found: Json = (await http.get(f"/history/{prompt_id}")).json()
        return found.get(prompt_id)

    return await wait_until(entry)


def comparable(job: Json) -> Json:
    found = {name: item for name, item in job.items() if name not in _APART}
    if "preview_output" in found:
        found["preview_output"] = dict.fromkeys(found["preview_output"])
    return found


async def test_jobs_are_as_a_server_tells_them(demo: DemoServer, gateway: RunningGateway) -> None:
    here, there = gateway.http, httpx.AsyncClient(base_url=f"http://{demo.address}", timeout=60)
    async with there:
        for color in (1, 2, 3):
            workflow = {"id": f"w{color}", "nodes": []}
            theirs = await run(there, color, workflow=workflow)
            await there.post("/history", json={"delete": [theirs]})
        mine = [await run(here, c, workflow={"id": f"w{c}", "nodes": []}) for c in (1, 2, 3)]
        for query in (
            *("", "?limit=2", "?limit=2&offset=2", "?offset=99", "?offset=-3&limit=1"),
            *("?status=completed", "?status=FAILED", "?status=pending,in_progress", "?status=,"),
            *("?sort_order=asc", "?workflow_id=w2", "?workflow_id=nope", "?foo=1", "?limit=0"),
            *("?sort_by=execution_duration", "?status=nope", "?limit=abc", "?limit=", "?offset=x"),
            *("?sort_by=number", "?sort_order=up"),
        ):
            # The server has the gateway's own prompts in its history
            told = await here.get(f"/api/jobs{query}")
            asked = await there.get(f"/api/jobs{query}")
            assert told.status_code == asked.status_code, query
            if told.status_code != 200:
                assert told.json() == asked.json(), query
                continue
            assert told.json()["pagination"] == asked.json()["pagination"], query
            found = [one.json()["jobs"] for one in (told, asked)]
            if "duration" in query:  # which took longest is another one there
                found = [sorted(jobs, key=lambda job: str(job["id"])) for jobs in found]
            assert [job["id"] for job in found[0]] == [job["id"] for job in found[1]], query
            assert [*map(comparable, found[0])] == [*map(comparable, found[1])], query
        one = (await here.get(f"/api/jobs/{mine[0]}")).json()
        other = (await there.get(f"/api/jobs/{mine[0]}")).json()
        assert one.keys() == other.keys()
        assert one["workflow"]["prompt"] == model_free(1)
        assert one["execution_status"].keys() == other["execution_status"].keys()
        picture = one["preview_output"]
        assert picture["subfolder"].startswith(mine[0])
        assert (picture["nodeId"], picture["mediaType"]) == ("3", "images")
        missing = await here.get("/api/jobs/cancel")
        assert (missing.status_code, missing.json()) == (404, {"error": "Job not found"})


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (b"x", {"error": "Request body must be valid JSON"}),
        (b"", {"error": "Request body must be valid JSON"}),
        (b"[]", {"error": "job_ids must be a list"}),
        (b'{"job_ids": null}', {"error": "job_ids must be a list"}),
        (b'{"job_ids": []}', {"cancelled": False}),
        (
            b'{"job_ids": [{}, 5, null, []]}',
            {
                "error": "job_ids contains invalid id(s)",
                "invalid_ids": ["{}", "5", "None", "[]"],
            },
        ),
    ],
)
async def test_cancelling_several_jobs(
    gateway: RunningGateway, content: bytes, answer: Json
) -> None:
    found = await gateway.http.post("/api/jobs/cancel", content=content)
    assert found.json() == answer
    assert found.status_code == (400 if "error" in answer else 200)


async def test_a_waiting_job_is_cancelled_and_listed(
    settings_for: Any, demo: DemoServer, url: str
) -> None:
    async with over(settings_for, demo, database_url=url) as gateway:
        keep_out(gateway)
        http = gateway.http
        ids = [(await http.post("/prompt", json={"prompt": model_free(c)})).json() for c in (1, 2)]
        first, second = (one["prompt_id"] for one in ids)
        waiting = (await http.get("/api/jobs?status=pending&limit=200")).json()["jobs"]
        assert [job["id"] for job in waiting] == [second, first]
        assert all(job["status"] == "pending" for job in waiting)
        assert (await http.post(f"/api/jobs/{second}/cancel")).json() == {"cancelled": True}
        done = (await http.get(f"/api/jobs/{second}")).json()
        assert done["status"] == "cancelled"
        assert done["execution_status"]["messages"][-1][0] == "execution_interrupted"
        assert (await http.post(f"/api/jobs/{second}/cancel")).json() == {"cancelled": False}
        keep_out(gateway, out=False)
        assert (await ended(http, first))["status"]["completed"]


async def test_parts_of_the_history_are_as_a_server_has_them(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    http = gateway.http
    ids = [await run(http, color) for color in range(5)]
    async with httpx.AsyncClient(base_url=f"http://{demo.address}", timeout=60) as there:
        for query in (
            *("", "?max_items=2", "?max_items=2&offset=0", "?max_items=2&offset=3", "?offset=3"),
            *("?max_items=0", "?max_items=-1", "?max_items=99", "?offset=-1", "?offset=9"),
        ):
            told = (await http.get(f"/history{query}")).json()
            asked = (await there.get(f"/history{query}")).json()
            assert list(told) == list(asked), query
        entry = (await http.get(f"/history/{ids[0]}")).json()[ids[0]]
        theirs = (await there.get(f"/history/{ids[0]}")).json()[ids[0]]
        assert entry.keys() == theirs.keys()
        assert entry["prompt"][2] == model_free(0)
        assert entry["prompt"][4] == theirs["prompt"][4]
        assert entry["outputs"].keys() == theirs["outputs"].keys()
        kinds = [[kind for kind, _ in one["status"]["messages"]] for one in (entry, theirs)]
        assert kinds[0] == kinds[1]
    assert (await http.get(f"/history?prompt_id={ids[1]}")).json().keys() == {ids[1]}
    assert (await http.get("/history?max_items=abc")).status_code == 400
    await http.post("/history", json={"delete": [ids[0], "nope"]})
    assert (await http.get(f"/history/{ids[0]}")).json() == {}
    assert list((await http.get("/history")).json()) == ids[1:]
    await http.post("/history", json={"clear": True})
    assert (await http.get("/history")).json() == {}
    assert (await gateway.task(ids[0]))["status"] == "succeeded", "the task stays"
