"""Clients of ComfyUI's own protocol while the gateway or a server dies: each prompt ends once."""

import asyncio
import subprocess
import sys
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import ROOT, model_free, text_to_image, wait_until
from tests.fleet import Chance, Demo, Gateway, on, stand_ins
from tests.native_clients import is_end, native_socket
from tests.native_users import NativeUser, files_of

Json = dict[str, Any]


def user_of(gateway: Gateway, **more: Any) -> NativeUser:
    return NativeUser(f"{gateway.base}/comfy", **more)


async def test_killed_between_the_end_and_its_message(tmp_path: Path) -> None:
    """The server has told its end, the gateway dies before its clients hear of it: the next one
    tells them, with the file."""
    async with stand_ins(tmp_path, 1) as (demo,), Gateway(tmp_path, *on([demo])) as gateway:
        async with user_of(gateway) as user:
            await demo.knobs(view_hangs="ComfyUI")
            async with native_socket(gateway.address, user.client_id) as socket:
                prompt_id = await user.post(model_free(prefix="ComfyUI"))

                async def is_over() -> bool:
                    run = (await demo.executed()).get(prompt_id)
                    return bool(run and run["endings"])

                await wait_until(is_over)
                assert prompt_id in chain(*await user.queue())  # perhaps its start is not heard yet
                await gateway.kill()
                assert not any(is_end(message) for message in socket.heard)
            await demo.knobs(view_hangs=None)
            await gateway.start()
        async with (
            user_of(gateway, client_id=user.client_id) as again,
            native_socket(gateway.address, again.client_id) as socket,
        ):
            await socket.until_end(prompt_id)
            entry = await again.ended(prompt_id)
            assert entry["status"]["status_str"] == "success"
            (file,) = files_of(entry["outputs"])
            assert (await again.view(file)).startswith(b"\x89PNG")
            last = [one["type"] for one in socket.heard if isinstance(one, dict)][-3:]
            assert last == ["execution_success", "status", "executing"]


async def test_killed_again_and_again(tmp_path: Path, chance: Chance) -> None:
    """At any moment: each prompt ends at some socket of its client, at none twice, and is never
    out of both queue and history."""
    name, prompts = "fixed", 12
    ids: list[str] = []
    ends: Counter[str] = Counter()
    async with (
        stand_ins(tmp_path, 2, step=0.02) as demos,
        Gateway(tmp_path, *on(demos)) as gateway,
    ):
        for life in range(3):
            async with user_of(gateway, client_id=name) as user:
                for seed in range(prompts // 3):
                    ids.append(await user.post(text_to_image(steps=4, seed=10 * life + seed)))
                left = set(ids) - set(ends)
                async with native_socket(gateway.address, name) as socket:
                    seconds = 30.0 if life == 2 else chance.uniform(0.1, 1)
                    try:
                        async with asyncio.timeout(seconds):
                            while not {*filter(None, map(_ended, socket.heard))} >= left:
                                await socket.next()
                    except TimeoutError:
                        assert life < 2, f"no end: {left - set(map(_ended, socket.heard))} {chance}"
                    told = Counter(filter(None, map(_ended, socket.heard)))
                running, pending = await user.queue()
                history = await user.history()
                assert set(ids) <= {*running, *pending, *history}, chance
            assert set(told.values()) <= {1}, f"{told} {chance}"
            ends.update(told.keys())
            if life < 2:
                await gateway.kill()
                await gateway.start()
    assert set(ends) == set(ids), chance


def _ended(message: Any) -> str | None:
    return message["data"]["prompt_id"] if is_end(message) else None


async def test_a_server_is_lost_in_mid_run(tmp_path: Path) -> None:
    """krita-ai-diffusion waits for ever after a second `execution_start`."""
    async with (
        stand_ins(tmp_path, 2, step=0.02) as demos,
        Gateway(tmp_path, *on(demos), server_grace=1) as gateway,
        user_of(gateway) as user,
        native_socket(gateway.address, user.client_id) as socket,
    ):
        for demo in demos:
            await demo.knobs(step_seconds=60)
        prompt_id = await user.post(text_to_image(steps=4))
        await socket.until(lambda one: isinstance(one, dict) and one["type"] == "progress_state")
        (runs_it,) = [demo for demo in demos if prompt_id in (await demo.held())[0]]
        (other,) = [demo for demo in demos if demo is not runs_it]
        await other.knobs(step_seconds=0)
        await runs_it.kill()
        await socket.until_end(prompt_id)
        entry = await user.ended(prompt_id)
        assert entry["status"]["status_str"] == "success"
        told = socket.about(prompt_id)
        assert told.count("execution_start") == 1
        assert told.count("execution_success") == 1
        assert told.index("execution_start") < told.index("execution_success")
        (file,) = files_of(entry["outputs"])
        assert (await user.view(file)).startswith(b"\x89PNG")


async def test_secrets_in_urls_are_in_no_log(tmp_path: Path) -> None:
    """Whatever is asked below a token, and whoever is refused."""
    keys = tmp_path / "keys.json"
    async with stand_ins(tmp_path, 1) as (demo,):
        key = _keys(keys, "add", "alice", "--scope", "run").split()[-1]
        async with Gateway(tmp_path, *on([demo]), api_keys=str(keys)) as gateway:
            url = _keys(keys, "url", "alice").split()[-1]
            token = url.split("~", 1)[1].strip("/")
            await _ask_everything(gateway, demo, key, token)
            figures = await gateway.http.get("/metrics", headers={"Authorization": f"Bearer {key}"})
            log = gateway.log.read_text(encoding="utf-8")
    assert log.count("app.api.middleware.request_log") > 15, "the requests are in it"
    for text in (log, figures.text):
        assert token not in text
        assert key not in text


def _keys(file: Path, *arguments: str) -> str:
    """What `start.py keys` prints last."""
    command = [sys.executable, str(ROOT / "start.py"), "keys", *arguments]
    done = subprocess.run(
        command,
        env={"COMFYUI_API_KEYS": str(file), "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
    )
    return done.stdout.strip()


async def _ask_everything(gateway: Gateway, demo: Demo, key: str, token: str) -> None:
    below = f"{gateway.base}/comfy/~{token}"
    wrong = token[:-4] + "aaaa"
    async with NativeUser(below) as user:
        path = f"/comfy/~{token}/ws"
        async with native_socket(gateway.address, user.client_id, path=path) as socket:
            prompt_id = await user.post(model_free())
            await socket.until_end(prompt_id)
        await demo.knobs(fail_node="ImageInvert")
        await user.ended(await user.post(model_free(1)))
        for path in ("/nope", "/view?filename=nope", "/free", "/prompt?x=%00", f"/history/{key}"):
            await user.http.get(path)
        await user.http.post("/prompt", content=token)
        await user.http.post("/free", json={})
        await user.http.get("/queue", headers={"Origin": below, "Referer": below})
    async with httpx.AsyncClient(base_url=gateway.base) as http:
        for attempt in (f"/comfy/~{wrong}/queue", f"/~{token}/queue", f"/api/queue?token={token}"):
            await http.get(attempt)
        await http.get("/queue", auth=("anybody", token))
        await http.get("/queue", auth=("anybody", key))
        await http.get("/queue", headers={"Authorization": f"Bearer {key}"})
