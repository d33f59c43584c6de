"""The WebSocket of ComfyUI's own protocol: its handshake, counts, frames and ends."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import websockets
from sqlalchemy import select, update

from app.api.native import session
from app.api.native.session import NativeSession
from app.db.engine.errors import Unreachable
from app.db.native_counts import NativeCounts
from app.db.tables import native_prompts, tasks
from app.events import client_channels
from app.events.client_channels import Channel, Message
from app.settings import Settings
from app.tasks.native import origin_of
from fake_comfyui.server import DemoServer
from tests.conftest import (
    RunningGateway,
    keep_out,
    model_free,
    over,
    text_to_image,
    wait_until,
)
from tests.keyholders import Guarded, guarded
from tests.native_clients import AGENT, NativeSocket, is_end, native_socket, post

Json = dict[str, Any]
FLAGS = '{"type": "feature_flags", "data": {"supports_preview_metadata": true}}'
ENDED = ["execution_success", "executing"]
OURS = Channel(None, "c")
HERE = origin_of("127.0.0.1", AGENT)


def counts(messages: list[Any]) -> list[int]:
    return [
        one["data"]["status"]["exec_info"]["queue_remaining"]
        for one in messages
        if isinstance(one, dict) and one["type"] == "status"
    ]


def picture(task_id: str, kind: str = "image/jpeg", image: bytes = b"a picture") -> bytes:
    about = {"node_id": "5", "prompt_id": task_id, "image_type": kind}
    metadata = json.dumps(about).encode()
    return struct.pack(">II", 4, len(metadata)) + metadata + image


def say(gateway: RunningGateway, kind: Any, data: bytes, task_id: str = "p") -> None:
    gateway.gateway.channels.publish(OURS, Message(kind, task_id, HERE, data))


async def told(gateway: RunningGateway, task_id: str) -> bool:
    query = select(native_prompts.c.told).where(native_prompts.c.task_id == task_id)
    database = await gateway.database()
    return bool(await database.read(lambda connection: connection.scalar(query)))


# -- handshake ------------------------------------------------------------------------------------


async def test_the_first_message_tells_the_id(gateway: RunningGateway) -> None:
    async with native_socket(gateway.address, "my id") as socket:
        assert socket.heard[0] == {
            "type": "status",
            "data": {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "my id"},
        }


async def test_a_socket_without_an_id_gets_one_that_nobody_knows(gateway: RunningGateway) -> None:
    async with (
        native_socket(gateway.address, None) as one,
        native_socket(gateway.address, "", path="/ws") as other,
    ):
        assert one.sid != other.sid
        assert {len(one.sid), len(other.sid)} == {32}
        int(one.sid, 16)
        task_id = await post(gateway.gateway, model_free(), one.sid)
        await one.until_end(task_id)
        assert not [text for text in await other.all_so_far() if text["type"] != "status"]


async def test_subprotocols(gateway: RunningGateway) -> None:
    for offered, accepted in ((["ws"], "ws"), (["x", "comfyui-gateway"], "comfyui-gateway")):
        async with native_socket(gateway.address, subprotocols=offered) as socket:
            assert socket.connection.subprotocol == accepted


@pytest.mark.parametrize("before", ["not json", "[]", b"\0\1", b"{}", "7", '{"a": NaN}', "[" * 9])
async def test_flags_after_junk(gateway: RunningGateway, before: str | bytes) -> None:
    async with native_socket(gateway.address) as socket:
        await socket.connection.send(before)
        await socket.connection.send(FLAGS)
        answer = await socket.next()
        assert answer["type"] == "feature_flags"
        assert answer["data"]["supports_preview_metadata"] is True
        assert answer["data"]["assets"] is False
        assert answer["data"]["max_upload_size"] == gateway.gateway.settings.max_upload_bytes
        say(gateway, "preview", picture("p"))
        assert await socket.next() == picture("p")


@pytest.mark.parametrize(
    ("first", "answered"),
    [
        ('{"type": "hello"}', False),
        ('{"type": "feature_flags"}', True),
        (FLAGS.replace("true", '"true"'), True),
        (FLAGS.replace("true", "1"), True),
    ],
)
async def test_flags_that_count_for_nothing(
    gateway: RunningGateway, first: str, answered: bool
) -> None:
    """The first object is the only one that is looked at, and a flag is the boolean `true`."""
    async with native_socket(gateway.address) as socket:
        await socket.connection.send(first)
        await socket.connection.send(FLAGS)
        say(gateway, "text", b'{"type": "mine", "data": {}}')
        seen = await socket.until(lambda one: one["type"] == "mine")
        if answered and len(seen) == 1:
            seen.append(await socket.next())
        await wait_until(lambda: socket.connection.ping())
        assert len(seen) == 1 + answered
        say(gateway, "preview", picture("p"))
        assert await socket.next() == struct.pack(">II", 1, 1) + b"a picture"


class _Carrier:
    """Of messages between replicas, as far as a socket needs it."""

    def __init__(self) -> None:
        self.asked: list[Channel] = []
        self.ready = asyncio.Event()

    def send(self, *_: Any) -> None:
        pass

    async def listens(self, channel: Channel) -> None:
        self.asked.append(channel)
        await self.ready.wait()


async def test_other_replicas_know_a_socket_before_it_is_greeted(gateway: RunningGateway) -> None:
    """So what a client posts after the first message is told it, wherever it runs."""
    carrier = gateway.gateway.channels.carrier = _Carrier()
    async with websockets.connect(f"ws://{gateway.address}/comfy/ws?clientId=c") as connection:
        socket = NativeSocket(connection)
        await wait_until(lambda: carrier.asked)
        assert carrier.asked == [OURS]
        say(gateway, "text", b'{"type": "mine", "data": {}}')
        assert await socket.all_so_far() == []
        carrier.ready.set()
        assert [(await socket.next())["type"] for _ in "ab"] == ["status", "mine"]


# -- frames ---------------------------------------------------------------------------------------


async def test_frames_are_sent_as_they_are_and_in_order(gateway: RunningGateway) -> None:
    texts = [b'{"type": "progress", "data": {"value": %d}}' % number for number in range(3)]
    other = struct.pack(">II", 3, 1) + b"5hello"
    async with native_socket(gateway.address) as socket:
        for text in texts:
            say(gateway, "text", text)
        say(gateway, "binary", other)
        say(gateway, "binary", picture("p", "image/png", b"PNG"))
        for text in texts:
            assert await socket.next() == json.loads(text)
        assert await socket.next() == other
        assert await socket.next() == struct.pack(">II", 1, 2) + b"PNG"


async def test_old_previews_are_of_the_prompt_that_began_first(gateway: RunningGateway) -> None:
    """They do not say of which prompt they are; results (SaveImageWebsocket) all come."""
    text = b'{"type": "execution_start", "data": {}}'
    async with native_socket(gateway.address) as old, native_socket(gateway.address) as new:
        await new.connection.send(FLAGS)
        await new.next()
        for task_id in ("first", "second"):
            say(gateway, "text", text, task_id)
        for task_id in ("first", "second"):
            say(gateway, "preview", picture(task_id, image=task_id.encode()), task_id)
        say(gateway, "binary", picture("second", "image/png", b"result"), "second")
        assert [await old.next() for _ in "ab"] == [json.loads(text)] * 2
        assert [(await old.next())[8:] for _ in "ab"] == [b"first", b"result"]
        await new.until(lambda one: isinstance(one, bytes) and one.endswith(b"result"))
        assert len([one for one in new.heard if isinstance(one, bytes)]) == 3
        say(gateway, "end", b"", "first")
        say(gateway, "preview", picture("second", image=b"second"), "second")
        assert (await old.next())[8:] == b"second"


async def test_what_comes_before_the_end_is_sent_before_it(gateway: RunningGateway) -> None:
    async with native_socket(gateway.address) as socket:
        gateway.gateway.hub.on_status(
            lambda task: (
                None if task.finished else say(gateway, "text", b'{"type": "mine", "data": {}}')
            )
        )
        keep_out(gateway)
        task_id = await post(gateway.gateway, model_free())
        gateway.gateway.channels.publish(
            OURS, Message("text", task_id, HERE, b'{"type": "last", "data": {}}')
        )
        await gateway.gateway.tasks.cancel(task_id)
        kinds = [one["type"] for one in await socket.until_end(task_id)]
        assert kinds.index("last") < kinds.index("execution_interrupted")


async def test_who_does_not_read_is_closed(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_channels, "QUEUE_LIMIT", 3)
    async with native_socket(gateway.address) as socket:
        for number in range(9):  # at once: the session has no turn between them
            say(gateway, "text", b'{"type": "mine", "data": {"n": %d}}' % number)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.until(lambda one: False)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013


async def test_the_gateway_stops(gateway: RunningGateway) -> None:
    async with native_socket(gateway.address) as socket:
        gateway.gateway.hub.close()
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012


async def test_a_long_message_is_refused(gateway: RunningGateway) -> None:
    async with native_socket(gateway.address) as socket:
        await socket.connection.send("x" * (1 << 19))
        with pytest.raises(websockets.ConnectionClosed):
            await socket.next()


# -- counts ---------------------------------------------------------------------------------------


async def test_the_count_is_of_unfinished_native_tasks(gateway: RunningGateway) -> None:
    keep_out(gateway)
    await gateway.submit(model_free(), wait=0)  # by the gateway's own API
    async with native_socket(gateway.address) as socket:
        assert counts(socket.heard) == [0]
        ids = [await post(gateway.gateway, model_free(color), "other") for color in range(2)]
        await socket.until(lambda one: counts([one]) == [2])
        for task_id in ids:
            await gateway.gateway.tasks.cancel(task_id)
        await socket.until(lambda one: counts([one]) == [0])
    async with native_socket(gateway.address) as socket:
        assert counts(socket.heard) == [0]


async def test_the_count_is_told_ten_times_a_second_at_most(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it changes, the last one always comes, and all sockets share the queries."""
    asked = 0
    read = NativeCounts._read

    async def counted(counts: NativeCounts, owner: str | None) -> int:
        nonlocal asked
        asked += 1
        return await read(counts, owner)

    monkeypatch.setattr(NativeCounts, "_read", counted)
    keep_out(gateway)
    async with (
        native_socket(gateway.address, "1") as one,
        native_socket(gateway.address, "2"),
        native_socket(gateway.address, "3"),
    ):
        asked, begin = 0, asyncio.get_running_loop().time()
        for color in range(20):
            await post(gateway.gateway, model_free(color), "other")
        seen = await one.until(lambda one: counts([one]) == [20])
        took = asyncio.get_running_loop().time() - begin
        assert len(seen) <= took / session.COUNTED + 2
        assert asked <= 3 * (took / session.COUNTED + 2)


async def test_silence_is_broken(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """StabilityMatrix connects again after 30 s without a message."""
    monkeypatch.setattr(session, "SILENCE", 0.1)
    async with native_socket(gateway.address) as socket:
        assert counts([await socket.next(), await socket.next()]) == [0, 0]


# -- ends -----------------------------------------------------------------------------------------


async def test_success(gateway: RunningGateway) -> None:
    async with native_socket(gateway.address) as socket:
        task_id = await post(gateway.gateway, model_free())
        await socket.until_end(task_id)
        success, status, executing = socket.heard[-3:]
        assert success["type"] == "execution_success"
        assert list(success["data"]) == ["prompt_id", "timestamp"]
        assert isinstance(success["data"]["timestamp"], int)
        assert counts([status]) == [0]
        assert executing == {"type": "executing", "data": {"node": None, "prompt_id": task_id}}
        await wait_until(lambda: told(gateway, task_id))
        assert not [one for one in await socket.all_so_far() if one["type"] != "status"]


@pytest.mark.parametrize("when", ["before", "during", "after"])
async def test_a_socket_that_comes_at_any_time_hears_the_end_once(
    gateway: RunningGateway, demo: DemoServer, when: str
) -> None:
    demo.knobs.step_seconds = 0.02 if when == "during" else 0
    if when == "before":
        async with native_socket(gateway.address) as socket:
            task_id = await post(gateway.gateway, text_to_image())
            await socket.until_end(task_id)
            await socket.all_so_far()
    else:
        task_id = await post(gateway.gateway, text_to_image())
        await gateway.until(task_id, "running" if when == "during" else "succeeded", "succeeded")
        async with native_socket(gateway.address) as socket:
            await socket.until_end(task_id)
            await socket.all_so_far()
    assert socket.end_of(task_id) == ENDED
    assert len([one for one in socket.heard if is_end(one)]) == 1
    await wait_until(lambda: told(gateway, task_id))
    async with native_socket(gateway.address) as later:
        await later.all_so_far()
        assert not later.about(task_id)


async def test_who_comes_while_it_runs_is_told_the_node(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.step_seconds = 0.05
    task_id = await post(gateway.gateway, text_to_image(steps=1000))

    async def samples() -> bool:
        return bool((await gateway.task(task_id))["progress"]["current_node"] == "3")

    await wait_until(samples)
    async with native_socket(gateway.address) as socket:
        assert counts(socket.heard) == [1]
        executing = {"node": "3", "display_node": "3", "prompt_id": task_id}
        assert await socket.next() == {"type": "executing", "data": executing}
        await gateway.gateway.tasks.cancel(task_id)
        await socket.until_end(task_id)
        assert socket.about(task_id) == ["executing", "execution_interrupted", "executing"]


async def test_each_socket_of_a_client_hears_the_end(gateway: RunningGateway) -> None:
    async with native_socket(gateway.address) as one, native_socket(gateway.address) as other:
        task_id = await post(gateway.gateway, model_free())
        await one.until_end(task_id)
        await other.until_end(task_id)
        for socket in (one, other):
            await socket.all_so_far()
            assert socket.end_of(task_id) == ENDED


async def test_ends_that_no_server_told(gateway: RunningGateway, demo: DemoServer) -> None:
    async with native_socket(gateway.address) as socket:
        keep_out(gateway)
        task_id = await post(gateway.gateway, model_free())
        await gateway.gateway.tasks.cancel(task_id)
        await socket.until_end(task_id)
        assert socket.end_of(task_id) == ["execution_interrupted", "executing"]
        keep_out(gateway, out=False)
        demo.knobs.reject_with = (400, {"error": {"message": "I will not"}, "node_errors": {}})
        task_id = await post(gateway.gateway, model_free(7))
        await socket.until_end(task_id)
        error = next(one["data"] for one in socket.heard if one["type"] == "execution_error")
        assert "I will not" in error["exception_message"]
        demo.knobs.reject_with = None
        demo.knobs.step_seconds = 0.05
        task_id = await post(gateway.gateway, text_to_image(steps=1000), timeout=0.2)
        await socket.until_end(task_id)
        texts = [one for one in socket.heard if isinstance(one, dict)]
        error = [one["data"] for one in texts if one["type"] == "execution_error"][-1]
        assert error["exception_type"] == "timeout"
        assert "execution_interrupted" not in socket.about(task_id)


async def test_an_end_is_not_told_for_ever(gateway: RunningGateway) -> None:
    task_id = await post(gateway.gateway, model_free())
    await gateway.until(task_id, "succeeded")
    database = await gateway.database()
    long_ago = update(tasks).where(tasks.c.task_id == task_id).values(finished_at=1.0)
    await database.write(lambda connection: connection.execute(long_ago))
    async with native_socket(gateway.address) as socket:
        await socket.all_so_far()
        await gateway.gateway.tasks.cancel(task_id)  # says once more that it has ended
        await socket.all_so_far()
        assert not socket.about(task_id)


async def test_an_end_is_not_told_once_its_client_has_posted_another_prompt(
    gateway: RunningGateway,
) -> None:
    """A client with a fixed id could take it for the end of the new one. Within some seconds it may
    have posted several, and wait for all."""
    first = await post(gateway.gateway, model_free(1))
    await gateway.until(first, "succeeded")
    second = await post(gateway.gateway, model_free(2))
    await gateway.until(second, "succeeded")
    database = await gateway.database()

    async def ended_before(seconds: float) -> None:
        change = update(tasks).where(tasks.c.task_id == first)
        change = change.values(finished_at=tasks.c.finished_at - seconds)
        await database.write(lambda connection: connection.execute(change))

    await ended_before(60)
    async with native_socket(gateway.address) as socket:
        await socket.until_end(second)
        await socket.all_so_far()
        assert not socket.about(first)
    await ended_before(-60)
    async with native_socket(gateway.address) as socket:
        await socket.until_end(first)


async def test_an_end_that_was_not_read_is_read_again(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database fails when the end is announced: it is told a little later."""
    monkeypatch.setattr(session, "AGAIN", 0.05)
    get, left = gateway.gateway.native_ends.get, 2

    async def failing(owner: str | None, task_id: str) -> Any:
        nonlocal left
        left -= 1
        if left >= 0:
            raise Unreachable("It is away.")
        return await get(owner, task_id)

    monkeypatch.setattr(type(gateway.gateway.native_ends), "get", staticmethod(failing))
    async with native_socket(gateway.address) as socket:
        task_id = await post(gateway.gateway, model_free())
        await socket.until_end(task_id)
        assert socket.end_of(task_id) == ENDED


async def test_a_session_that_dies_before_the_last_message_leaves_the_end_untold(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = NativeSession._end

    async def breaking(one: NativeSession, task_id: str, **more: Any) -> None:
        write = one._outlet.text

        async def text(message: bytes) -> None:
            if b'"node": null' in message:
                raise ConnectionResetError
            await write(message)

        one._outlet.text = text  # type: ignore[method-assign]
        await said(one, task_id, **more)

    monkeypatch.setattr(NativeSession, "_end", breaking)
    async with native_socket(gateway.address) as socket:
        task_id = await post(gateway.gateway, model_free())
        with pytest.raises(websockets.ConnectionClosed):
            await socket.until_end(task_id)
    monkeypatch.undo()
    async with native_socket(gateway.address) as socket:
        await socket.until_end(task_id)
        assert socket.end_of(task_id) == ENDED


# -- whose messages -------------------------------------------------------------------------------


@pytest.fixture
async def gate(
    settings_for: Callable[..., Settings], tmp_path: Path, demo: DemoServer
) -> AsyncIterator[Guarded]:
    keys: dict[str, Any] = {"alice": "run", "bob": "run", "boss": "manage"}
    async with guarded(settings_for, tmp_path, demo, keys=keys) as found:
        yield found


def marks(socket: NativeSocket, mark: str) -> int:
    return sum(mark in (str(one) if isinstance(one, dict) else repr(one)) for one in socket.heard)


async def test_keys_with_the_same_client_id(gate: Guarded) -> None:
    async with (
        native_socket(gate.address, key=gate.texts["alice"]) as alice,
        native_socket(gate.address, key=gate.texts["bob"]) as bob,
        native_socket(gate.address, key=gate.texts["boss"]) as boss,
    ):
        task_id = await post(gate.gateway, model_free(), owner="alice")
        marked = Message("text", task_id, HERE, b'{"type": "mine", "data": {"mark": "ZQ"}}')
        gate.gateway.channels.publish(Channel("alice", "c"), marked)
        await alice.until_end(task_id)
        if not marks(alice, "ZQ"):
            await alice.until(lambda one: one["type"] == "mine")
        for other in (bob, boss):
            await other.all_so_far()
            assert not other.about(task_id)
            assert not marks(other, "ZQ")
            assert counts(other.heard) == [0], "not even that there was something"
    untold = await post(gate.gateway, model_free(3), owner="alice")
    finished = gate.gateway.tasks.wait
    assert (await finished([untold], 60))[0].finished
    async with native_socket(gate.address, key=gate.texts["bob"]) as bob:
        await bob.all_so_far()
        assert not bob.about(untold)
    async with native_socket(gate.address, key=gate.texts["alice"]) as alice:
        await alice.until_end(untold)


async def test_a_revoked_key_ends_its_sockets(gate: Guarded) -> None:
    async with native_socket(gate.address, key=gate.texts["alice"]) as socket:
        gate.file.revoke("alice")
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.next()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
            *(1008, "the API key, or its URL, was revoked"),
        )


async def test_without_keys_addresses_tell_clients_apart(gateway: RunningGateway) -> None:
    """Blender's id, for example, is the same everywhere."""
    async with (
        native_socket(gateway.address, "ComfyUICUP") as here,
        native_socket(gateway.address, "ComfyUICUP", source="127.0.0.2") as there,
        native_socket(gateway.address, None, source="127.0.0.2") as nobody,
    ):
        mine = await post(gateway.gateway, model_free(), "ComfyUICUP")
        theirs = await post(gateway.gateway, model_free(3), "ComfyUICUP", source="127.0.0.2")
        await here.until_end(mine)
        await there.until_end(theirs)
        for socket, other in ((here, theirs), (there, mine), (nobody, mine), (nobody, theirs)):
            await socket.all_so_far()
            assert not socket.about(other)


async def test_an_untold_end_is_not_given_to_another_address(gateway: RunningGateway) -> None:
    task_id = await post(gateway.gateway, model_free(), "ComfyUICUP")
    await gateway.until(task_id, "succeeded")
    async with native_socket(gateway.address, "ComfyUICUP", source="127.0.0.2") as there:
        await there.all_so_far()
        assert not there.about(task_id)
    async with native_socket(gateway.address, "ComfyUICUP") as here:
        await here.until_end(task_id)


async def test_what_another_address_heard_is_told_to_its_own(gateway: RunningGateway) -> None:
    """When its own socket was not there yet: without keys the other one may be a stranger's."""
    async with native_socket(gateway.address, source="127.0.0.2") as there:
        task_id = await post(gateway.gateway, model_free())
        await there.until_end(task_id)
    async with native_socket(gateway.address) as here:
        await here.until_end(task_id)


async def test_limits_are_those_of_streams(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.gateway.MAX_STREAMS", 1)
    async with native_socket(gateway.address):
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with native_socket(gateway.address):
                pass
        assert refused.value.response.status_code == 503


@pytest.mark.parametrize("client_id", ["x" * 2000, "\0", "%", "ü\U0001f98a", "' OR 1=1 --"])
async def test_odd_ids(gateway: RunningGateway, client_id: str) -> None:
    async with native_socket(gateway.address, client_id) as socket:
        assert socket.sid == client_id
        task_id = await post(gateway.gateway, model_free(), "c")
        await gateway.until(task_id, "succeeded")
        await socket.all_so_far()
        assert not socket.about(task_id)


async def test_on_both_databases(
    settings_for: Callable[..., Settings], demo: DemoServer, url: str
) -> None:
    async with over(settings_for, demo, database_url=url) as gateway:
        task_id = await post(gateway.gateway, model_free())
        await gateway.until(task_id, "succeeded")
        other = await post(gateway.gateway, model_free(), "other")
        async with native_socket(gateway.address) as socket:
            await socket.until_end(task_id)
            await wait_until(lambda: told(gateway, task_id))
            assert not socket.about(other)
