"""One play of all calls against one address, and what was answered.

What is different each time is taken out of the answers at once: ids, times, sizes of memory, queue
numbers, the run's own word, the task id before a subfolder.
"""

import asyncio
import hashlib
import io
import json
import re
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
from PIL import Image
from websockets.asyncio.client import ClientConnection, connect

Json = Any
WAIT = 300.0  # seconds for a run; a real ComfyUI without a GPU is slow
HEADERS = ("content-type", "content-disposition", "content-range", "allow")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
RUN = re.compile(r"cmp[0-9a-f]{8}")
TEMP = re.compile(r"ComfyUI_temp_[a-z]{5}_")
SETS = {"executed", "current_outputs", "nodes"}  # ComfyUI keeps them in sets, in any order
SID = re.compile(r"\b[0-9a-f]{32}\b")
TIMES = {"timestamp", "create_time", "execution_start_time", "execution_end_time"}
MEASURES = re.compile(r"^(torch_)?v?ram_(total|free)$")
SHAPES = ("progress", "progress_state", "binary")  # how many of them come is a matter of time


class Play:
    """`run`: a word in all names and graphs, so plays on one server know nothing of each other."""

    def __init__(self, base: str, key: str | None = None) -> None:
        self.base = base.rstrip("/")
        word = uuid4().hex[:8]
        self.run = f"cmp{word}"
        self.number = int(word, 16)
        self.answers: dict[str, Json] = {}  # by the name of the call
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.http = httpx.AsyncClient(
            base_url=self.base, headers=self._headers, timeout=60, trust_env=False
        )

    async def ask(self, method: str, path: str, name: str | None = None, **how: Any) -> Json:
        """Make a call and note its answer as `name`. Return the answer's JSON, or None."""
        answer = await self.http.request(method, path, **how)
        body = _body(answer)
        name = name or self.masked(f"{method} {path}")
        assert name not in self.answers, f"two calls are named {name}"
        heads = {head: answer.headers[head] for head in HEADERS if head in answer.headers}
        said: Json = {"status": answer.status_code, "headers": heads, "body": body}
        self.answers[name] = self.masked(said)
        return body if isinstance(body, dict | list) else None

    async def post_prompt(self, graph: Json, name: str | None = None, **more: Any) -> str:
        """Queue a prompt, whose answer is noted if it has a name. Return its id."""
        body = {"prompt": graph, **more}
        if name:
            told = await self.ask("POST", "/prompt", name, json=body)
        else:
            told = (await self.http.post("/prompt", json=body)).json()
        return str(told["prompt_id"])

    async def ended(self, prompt_id: str) -> Json:
        """The history of the prompt, as soon as there is one."""
        async with asyncio.timeout(WAIT):
            while True:
                if found := (await self.http.get(f"/history/{prompt_id}")).json():
                    return found[prompt_id]
                await asyncio.sleep(0.05)

    async def nothing_left(self) -> None:
        """Take out what was accepted though it might be refused, and forget it."""
        await self.http.post("/queue", json={"clear": True})
        async with asyncio.timeout(WAIT):
            while True:
                told = (await self.http.get("/prompt")).json()
                if not told["exec_info"]["queue_remaining"]:
                    break
                await asyncio.sleep(0.05)
        await self.http.post("/history", json={"clear": True})

    @asynccontextmanager
    async def socket(self, client_id: str, flags: Json = None) -> AsyncIterator["Listener"]:
        url = f"ws{self.base.removeprefix('http')}/ws?clientId={client_id}"
        options: Json = {"proxy": None, "max_size": None, "additional_headers": self._headers}
        async with connect(url, **options) as opened:
            if flags is not None:
                await opened.send(json.dumps({"type": "feature_flags", "data": flags}))
            listener = Listener(self, opened)
            await listener.next()  # it tells how many wait now, not after what is queued next
            yield listener

    def masked(self, value: Json, key: str = "") -> Json:
        """The value without what is different each time."""
        if isinstance(value, dict):
            return self._masked_object(value)
        if isinstance(value, list):
            return self._masked_list(value, key)
        if isinstance(value, str):
            return self._masked_text(value, key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return self._masked_number(value, key) if is_number else value

    def _masked_object(self, value: dict[str, Json]) -> Json:
        if "queue_pending" in value:  # ComfyUI shows it as the heap that it keeps it in
            value = {**value, "queue_pending": sorted(value["queue_pending"])}
        found: Json = {}
        for name, item in value.items():
            shown = self._masked_text(name, "")
            while shown in found:
                shown += "'"
            found[shown] = self.masked(item, name)
        return found

    def _masked_list(self, value: list[Json], key: str) -> Json:
        found = [self.masked(item, key) for item in value if not self._is_foreign(item)]
        if key in SETS and all(isinstance(item, str) for item in found):
            return sorted(found)
        if len(found) == 5 and found[1] == "<id>":  # a row of the queue
            return [self._masked_number(value[0], "number"), *found[1:4], sorted(found[4])]
        return found

    def _is_foreign(self, item: Json) -> bool:
        """Whether it names a file of another play on the same server."""
        words = RUN.findall(item) if isinstance(item, str) else []
        return bool(words) and self.run not in words

    def _masked_number(self, value: float, key: str) -> Json:
        if key in TIMES or MEASURES.match(key):
            return f"<{'time' if key in TIMES else 'bytes'}>"
        if key in ("number", "priority"):
            return "<number>" if value >= 0 else "-<number>"
        near = value - self.number  # seeds
        return f"<run {near}>" if 0 <= near < 10 else value

    def _masked_text(self, text: str, key: str) -> str:
        if key == "subfolder":
            text = re.sub(rf"^{UUID.pattern}(/|$)", "", text)
        text = TEMP.sub("ComfyUI_temp_<word>_", text)
        text = UUID.sub("<id>", text.replace(self.run, "<run>"))
        return SID.sub("<sid>", text).replace(self.base.split("://")[1], "<address>")


class Listener:
    """What one socket is told."""

    def __init__(self, play: Play, opened: ClientConnection) -> None:
        self._play = play
        self._opened = opened
        self.messages: list[Json] = []

    async def until_end(self, *prompt_ids: str) -> None:
        """Listen until `executing` with no node was told of each of the prompts."""
        left = set(prompt_ids)
        async with asyncio.timeout(WAIT):
            while left:
                message = await self.next()
                data = message.get("data") or {}
                if message["type"] == "executing" and data.get("node") is None:
                    left.discard(data.get("prompt_id"))

    async def until(self, kind: str) -> Json:
        async with asyncio.timeout(WAIT):
            while (message := await self.next())["type"] != kind:
                pass
        return message

    async def next(self) -> Json:
        frame = await self._opened.recv()
        message = json.loads(frame) if isinstance(frame, str) else _binary(frame)
        self.messages.append(message)
        return message

    def note(self, name: str, ids: Sequence[str] = ()) -> None:
        """Note what was told so far. Ids with names of their own, in their order, stay apart."""
        told = [self._named(message, ids) for message in self.messages]
        story = [one for one in told if one["type"] not in ("status", *SHAPES)]
        self._play.answers[name] = {
            "first": told[0] if told else None,
            "story": story,
            # Beside other prompts of the caller a status may come in between.
            "last": [one["type"] for one in told[-3:]] if not ids else "",
            "status": _shape([one["data"] for one in told[1:] if one["type"] == "status"][-1:]),
            **{kind: _shape([m for m in told if m["type"] == kind][-1:]) for kind in SHAPES},
        }

    def _named(self, message: Json, ids: Sequence[str]) -> Json:
        data = message.get("data")
        which = data.get("prompt_id") if isinstance(data, dict) else None
        found = self._play.masked(message)
        if which in ids:
            found["data"]["prompt_id"] = f"<id {ids.index(which) + 1}>"
        return found


def _shape(value: Json) -> Json:
    """Names and types only."""
    if isinstance(value, dict):
        return {name: _shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shape(item) for item in value]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "<number>" if is_number else value


def _body(answer: httpx.Response) -> Json:
    kind = answer.headers.get("content-type", "")
    if "json" in kind:
        try:
            return answer.json()
        except ValueError:
            return answer.text
    if kind.startswith("image/"):
        return _picture(answer)
    return answer.text if kind.startswith("text/") else _digest(answer.content)


def _picture(answer: httpx.Response) -> Json:
    """Its size in pixels; what the same bytes are is told by originals' content."""
    try:
        with Image.open(io.BytesIO(answer.content)) as picture:
            return {"format": picture.format, "size": list(picture.size), "mode": picture.mode}
    except OSError:
        return _digest(answer.content)


def _digest(content: bytes) -> Json:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()[:16]}


def _binary(frame: bytes) -> Json:
    """A frame of type 1 (picture), 3 (text), 4 (picture with what it is of)."""
    kind, size = struct.unpack(">II", frame[:8])
    if kind == 4:
        return {"type": "binary", "data": {"kind": 4, **json.loads(frame[8 : 8 + size])}}
    if kind == 3:
        return {"type": "text frame", "data": {"kind": 3, "text": frame[8 + size :].decode()}}
    return {"type": "binary", "data": {"kind": kind, "format": size}}
