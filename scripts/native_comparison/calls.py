"""The calls: whatever clients ask of a ComfyUI, in one order."""

import asyncio
import io
from typing import Any
from uuid import uuid4

import httpx
from PIL import Image

from scripts.native_comparison.graphs import Graph, changed, loaded, node, picture, sampled
from scripts.native_comparison.play import Listener, Play

UNKNOWN = "00000000-0000-4000-8000-000000000000"
FLAGS = {"supports_preview_metadata": True}


async def compared(direct: str, gateway: str, key: str | None = None) -> list[dict[str, Any]]:
    """Play at both; each finds the server's cache empty."""
    plays = []
    for base, its_key in ((direct, None), (gateway, key)):
        async with httpx.AsyncClient(base_url=direct, timeout=60, trust_env=False) as server:
            await server.post("/free", json={"unload_models": True, "free_memory": True})
        plays.append(await play(base, its_key))
    return plays


async def play(base: str, key: str | None = None) -> dict[str, Any]:
    """Make all calls; their answers by the calls' names."""
    one = Play(base, key)
    async with one.http:
        await one.http.post("/history", json={"clear": True})
        for part in (what_it_is, uploads, views, refused, runs, sockets, queue, history, jobs):
            await part(one)
    return one.answers


async def what_it_is(one: Play) -> None:
    for path in (
        *("/system_stats", "/object_info", "/object_info/KSampler", "/object_info/SaveImage"),
        *("/object_info/Nope", "/models", "/models/checkpoints", "/models/nope", "/embeddings"),
        *("/features", "/extensions", "/prompt", "/queue", "/history", f"/history/{UNKNOWN}"),
        *("/view_metadata/checkpoints?filename=nope.safetensors", "/nothing-here", "/api/nothing"),
        *("/api/system_stats", "/api/object_info/KSampler", "/api/prompt", "/api/history/nope"),
    ):
        await one.ask("GET", path)
    for path in ("/system_stats", "/queue", "/prompt"):
        await one.ask("HEAD", path)
    for method, path in (("DELETE", "/queue"), ("PUT", "/prompt"), ("POST", "/system_stats")):
        await one.ask(method, path)


def png(color: str, size: int = 16) -> bytes:
    content = io.BytesIO()
    Image.new("RGBA", (size, size), color).save(content, "PNG")
    return content.getvalue()


async def uploads(one: Play) -> None:
    name = f"{one.run}.png"

    async def send(call: str, content: bytes, name: str = name, route: str = "image", **form: str):
        files = {"image": (name, content, "image/png")}
        await one.ask("POST", f"/upload/{route}", f"upload: {call}", data=form, files=files)

    await send("new", png("red"))
    await send("the same again", png("red"))
    await send("other bytes under the name", png("blue"))
    await send("overwrite", png("green"), overwrite="true")
    await send("overwrite=1", png("green"), overwrite="1")
    await send("subfolder", png("red"), subfolder=f"sub-{one.run}")
    await send("temp", png("red"), type="temp")
    await send("broken picture", b"no picture at all", f"broken-{one.run}.png")
    await send("out of its folder", png("red"), subfolder="../..")
    await send("no name", png("red"), "")
    await one.ask("POST", "/upload/image", "upload: no file", data={"type": "input"})
    await one.ask("POST", "/upload/image", "upload: nothing", content=b"")
    ref = f'{{"filename": "{name}", "type": "input", "subfolder": ""}}'
    await send("mask", png("white"), f"mask-{one.run}.png", "mask", original_ref=ref)
    await one.ask("GET", f"/view?filename=mask-{one.run}.png&type=input", "view: mask")
    await one.ask("GET", "/object_info/LoadImage", "object_info: with the uploads")


async def views(one: Play) -> None:
    name = f"filename={one.run}.png&type=input"
    ranged = {"Range": "bytes=0-9"}
    for call, query, heads in (
        ("an upload", name, {}),
        ("in its subfolder", f"{name}&subfolder=sub-{one.run}", {}),
        ("webp", f"{name}&preview=webp;90", {}),
        ("jpeg", f"{name}&preview=jpeg;50", {}),
        ("rgb", f"{name}&channel=rgb", {}),
        ("alpha", f"{name}&channel=a", {}),
        ("range", name, ranged),
        ("range beyond its end", name, {"Range": "bytes=99999-"}),
        ("not there", "filename=nope.png&type=input", {}),
        ("wrong type", f"filename={one.run}.png&type=output", {}),
        ("unknown type", f"filename={one.run}.png&type=nope", {}),
        ("no name", "type=input", {}),
        ("..", "filename=../x.png&type=input", {}),
        ("subfolder ..", f"{name}&subfolder=../..", {}),
    ):
        await one.ask("GET", f"/view?{query}", f"view: {call}", headers=heads)
    await one.ask("HEAD", f"/view?{name}", "view: HEAD")
    await one.ask("HEAD", "/view?filename=nope.png", "view: HEAD of what is not there")


async def refused(one: Play) -> None:
    good, linked = picture(one.run), ["9", 0]
    graphs: dict[str, Any] = {
        "unknown class": {**good, "4": node("Nope")},
        "no class_type": {**good, "4": {"inputs": {}}},
        "no outputs": {"1": good["1"], "2": good["2"]},
        "empty": {},
        "missing input": changed(good, "2", image=None),
        "link to nothing": changed(good, "2", image=linked),
        "link of another type": changed(good, "2", image=["3", 0]),
        "broken link": changed(good, "2", image=["1"]),
        "not a number": changed(good, "1", width="wide"),
        "too small": changed(good, "1", width=0),
        "too large": changed(good, "1", width=10**6),
        "not in the list": changed(sampled(one.run, 1, 1), "3", sampler_name="nope"),
        "no such model": changed(sampled(one.run, 1, 1), "4", ckpt_name="nope.safetensors"),
        "no such picture": loaded(one.run, "nope.png"),
        "a loop": changed({**good, "4": node("ImageInvert", image=["2", 0])}, "2", image=["4", 0]),
        "a list": [],
        "two faults": changed(changed(good, "1", width=0, height="x"), "2", image=linked),
    }
    for call, graph in graphs.items():
        await one.ask("POST", "/prompt", f"refused: {call}", json={"prompt": graph})
    bodies: dict[str, Any] = {"no prompt": {}, "null": None, "prompt null": {"prompt": None}}
    for call, body in bodies.items():
        await one.ask("POST", "/prompt", f"refused: {call}", json=body)
    for call, content in (("no JSON", b"{"), ("nothing", b"")):
        await one.ask("POST", "/prompt", f"refused: {call}", content=content)
    for call, given in (("a word", "nope"), ("upper case", str(uuid4()).upper()), ("empty", "")):
        await one.ask(
            "POST", "/prompt", f"prompt_id: {call}", json={"prompt": good, "prompt_id": given}
        )
    await one.nothing_left()


async def runs(one: Play) -> None:
    """Without a socket, as clients that poll do it."""
    own, graph = str(uuid4()), picture(one.run, 1)
    told = await one.post_prompt(graph, "prompt: own id", prompt_id=own)
    await _finished(one, "own id", told)
    extra = {"extra_pnginfo": {"workflow": {"nodes": []}}, "more": [1, None]}
    graph = picture(one.run, 2, "extra")
    told = await one.post_prompt(graph, "prompt: extra_data", extra_data=extra)
    await _finished(one, "extra_data", told)
    bad: Graph = {**graph, "4": node("SaveImage", images=["9", 0], filename_prefix="bad")}
    told = await one.post_prompt(bad, "prompt: one of two outputs is wrong")
    await _finished(one, "one of two outputs is wrong", told)
    two: Graph = {**graph, "5": node("PreviewImage", images=["2", 0])}
    told = await one.post_prompt(two, "prompt: one of two", partial_execution_targets=["5"])
    await _finished(one, "one of two", told)
    told = await one.post_prompt(loaded(one.run, f"{one.run}.png"), "prompt: an upload")
    shown = await _finished(one, "an upload", told)
    await _view(one, "temp", shown["outputs"]["2"]["images"][0])
    name = f"sub-{one.run}/{one.run}.png"
    told = await one.post_prompt(loaded(one.run, name, "SaveImage"), "prompt: in a subfolder")
    shown = await _finished(one, "in a subfolder", told)
    await _view(one, "output", shown["outputs"]["2"]["images"][0])
    told = await one.post_prompt(loaded(one.run, f"broken-{one.run}.png"), "prompt: broken")
    await _finished(one, "broken", told)


async def _finished(one: Play, name: str, prompt_id: str) -> Any:
    await one.ended(prompt_id)
    return (await one.ask("GET", f"/history/{prompt_id}", f"history: {name}"))[prompt_id]


async def _view(one: Play, name: str, file: dict[str, str], **query: str) -> None:
    params = {**file, **query}
    await one.ask("GET", "/view", f"view: {name}", params=params)
    await one.ask("HEAD", "/view", f"view: HEAD {name}", params=params)
    params["preview"] = "webp;80"
    await one.ask("GET", "/view", f"view: {name} as webp", params=params)


async def sockets(one: Play) -> None:
    for name, graph, flags in (
        ("a picture", picture(one.run, 7, "told"), None),
        ("the same again", picture(one.run, 7, "told"), None),
        ("sampled", sampled(one.run, one.number, 4), None),
        ("sampled, new client", sampled(one.run, one.number + 1, 4), FLAGS),
        ("an error", loaded(one.run, f"broken-{one.run}.png", "SaveImage"), None),
    ):
        client = uuid4().hex
        async with one.socket(client, flags) as listener:
            prompt_id = await one.post_prompt(graph, client_id=client)
            await listener.until_end(prompt_id)
            listener.note(f"socket: {name}")
        await _finished(one, name, prompt_id)
    await interrupted(one)
    await two_clients(one)


async def interrupted(one: Play) -> None:
    for name, seed, with_id in (("interrupted", 2, True), ("interrupted without an id", 3, False)):
        client = uuid4().hex
        async with one.socket(client) as listener:
            graph = sampled(one.run, one.number + seed, 500)
            prompt_id = await one.post_prompt(graph, client_id=client)
            await listener.until("progress")
            body = {"prompt_id": prompt_id} if with_id else {"client_id": client}
            await one.ask("POST", "/interrupt", f"POST /interrupt: {name}", json=body)
            await listener.until_end(prompt_id)
            listener.note(f"socket: {name}")
        await _finished(one, name, prompt_id)


async def two_clients(one: Play) -> None:
    names = [uuid4().hex, uuid4().hex]
    async with one.socket(names[0]) as first, one.socket(names[1], FLAGS) as second:
        graphs = [picture(one.run, color, f"client{color}") for color in (11, 12, 13, 14)]
        ids = [
            await one.post_prompt(graph, client_id=names[number % 2])
            for number, graph in enumerate(graphs)
        ]
        await asyncio.gather(first.until_end(ids[0], ids[2]), second.until_end(ids[1], ids[3]))
        first.note("socket: first of two", ids)
        second.note("socket: second of two", ids)
    # In which order they ended is a matter of time.
    await one.http.post("/history", json={"delete": ids})


async def queue(one: Play) -> None:
    client = uuid4().hex
    async with one.socket(client) as listener:
        await _queued(one, client, listener)


async def _queued(one: Play, client: str, listener: Listener) -> None:
    async def post(name: str, graph: Graph, **more: Any) -> str:
        return await one.post_prompt(graph, f"queue: {name}", client_id=client, **more)

    extra = {"extra_pnginfo": {"workflow": {"nodes": []}}}
    first = await post("one runs", sampled(one.run, one.number + 4, 500), extra_data=extra)
    await listener.until("progress")
    waiting = [await post(f"{n} waits", picture(one.run, 20 + n, f"q{n}")) for n in (1, 2, 3)]
    graph = picture(one.run, 24, "q4")
    waiting.append(await post("one is to be first", graph, front=True))
    await one.ask("GET", "/queue", "queue: one runs, four wait")
    await one.ask("GET", "/prompt", "queue: five are counted")
    await one.ask("GET", f"/history/{first}", "queue: history of one that runs")
    for status in ("pending", "in_progress"):
        await one.ask("GET", f"/api/jobs?status={status}", f"jobs: {status}")
    await one.ask("GET", f"/api/jobs/{first}", "jobs: one that runs")
    await one.ask("POST", "/interrupt", "queue: unknown id", json={"prompt_id": UNKNOWN})
    await one.ask("POST", "/interrupt", "queue: one that waits", json={"prompt_id": waiting[0]})
    await one.ask("POST", "/queue", "queue: delete", json={"delete": [waiting[0], UNKNOWN]})
    await one.ask("GET", f"/history/{waiting[0]}", "queue: history of one that was deleted")
    await one.ask("GET", "/queue", "queue: one runs, three wait")
    await one.ask("POST", f"/api/jobs/{waiting[1]}/cancel", "jobs: cancel one that waits")
    await one.ask("POST", "/queue", "queue: clear", json={"clear": True})
    await one.ask("GET", "/queue", "queue: only one runs")
    await one.ask("POST", "/queue", "queue: delete one that runs", json={"delete": [first]})
    await one.ask("POST", "/queue", "queue: no JSON", content=b"{")
    await one.ask("POST", f"/api/jobs/{first}/cancel", "jobs: cancel one that runs")
    await one.http.post("/interrupt", json={"prompt_id": first})
    await _finished(one, "queue", first)
    await one.ask("GET", "/queue", "queue: empty")
    await one.http.post("/history", json={"delete": waiting})


async def history(one: Play) -> None:
    for query in ("max_items=1", "max_items=2&offset=0", "max_items=2&offset=1", "max_items=0"):
        await one.ask("GET", f"/history?{query}")
    await one.ask("GET", "/history?max_items=abc")
    listed = await one.ask("GET", "/history", "history: all")
    ids = list(listed)
    await one.ask("POST", "/history", "history: delete", json={"delete": [*ids[:1], UNKNOWN]})
    await one.ask("GET", f"/history/{ids[0]}", "history: deleted")
    await one.ask("GET", "/history?max_items=3", "history: after it")


async def jobs(one: Play) -> None:
    ids = list((await one.http.get("/history")).json())
    await one.ask("GET", f"/api/jobs/{ids[0]}", "jobs: finished")
    await one.ask("GET", f"/api/jobs/{UNKNOWN}", "jobs: unknown")
    await one.ask("GET", "/api/jobs?limit=2&offset=1", "jobs: a page")
    await one.ask("GET", "/api/jobs?status=completed&limit=3", "jobs: completed")
    await one.ask("GET", "/api/jobs?status=failed&limit=3", "jobs: failed")
    await one.ask("GET", "/api/jobs?status=nope", "jobs: unknown status")
    await one.ask("GET", "/api/jobs?limit=0", "jobs: no limit")
    await one.ask("POST", f"/api/jobs/{ids[0]}/cancel", "jobs: cancel a finished one")
    await one.ask("POST", "/api/jobs/cancel", "jobs: cancel several", json={"job_ids": ids[:1]})
    await one.ask("POST", "/api/jobs/cancel", "jobs: cancel no id", json={"job_ids": ["nope"]})
    await one.ask("POST", "/history", "history: clear", json={"clear": True})
    await one.ask("GET", "/history", "history: cleared")
    await one.ask("GET", "/api/jobs", "jobs: cleared")
