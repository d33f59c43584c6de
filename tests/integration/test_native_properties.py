"""What holds of ComfyUI's own protocol over all servers, whoever asks and whenever: over HTTP and
WebSocket alone."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from PIL import Image

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, text_to_image, wait_until
from tests.native_clients import NativeSocket, is_end, native_socket
from tests.native_users import NativeUser, files_of

Json = dict[str, Any]
SettingsFor = Callable[..., Settings]
SHORT, USERS = 30, 3  # short tasks of so many clients
OTHER = "127.0.0.2"  # another address of this machine


@pytest.fixture
async def pair() -> AsyncIterator[list[DemoServer]]:
    """Two servers that both begin with ComfyUI_00001_.png."""
    async with DemoServer(step_seconds=0.02) as one, DemoServer(step_seconds=0.02) as other:
        yield [one, other]


@pytest.fixture
async def both(pair: list[DemoServer], settings_for: SettingsFor) -> AsyncIterator[RunningGateway]:
    # One slot each, so that two prompts are on two servers.
    async with over(settings_for, *pair, slots=1) as gateway:
        yield gateway


def user_of(gateway: RunningGateway, client_id: str | None = None, **more: Any) -> NativeUser:
    return NativeUser(f"http://{gateway.address}/comfy", client_id, **more)


async def test_a_task_is_in_the_queue_or_in_the_history_at_every_moment(
    both: RunningGateway,
) -> None:
    """@saintno's client and n8n's node take what is in neither for lost."""
    known: set[str] = set()
    taken_back: set[str] = set()  # canceled while they waited: ComfyUI forgets those
    lost: list[str] = []
    done = asyncio.Event()

    async def poll(user: NativeUser) -> None:
        while not done.is_set():
            before = set(known)
            running, pending = await user.queue()
            # A task goes from the queue to the history, so this order finds it.
            history = await user.history()
            lost.extend(before - {*running, *pending, *history} - taken_back)

    async with AsyncExitStack() as stack:
        users = [await stack.enter_async_context(user_of(both)) for _ in range(USERS)]
        polls = [asyncio.create_task(poll(user)) for user in users[:2]]
        for number in range(SHORT):
            user = users[number % USERS]
            prompt_id = await user.post(model_free(number, prefix="ComfyUI"))
            known.add(prompt_id)
            if number % 5 == 4:
                taken_back.add(prompt_id)
                await user.delete(prompt_id)
        for prompt_id in known - taken_back:
            await users[0].ended(prompt_id)
        done.set()
        await asyncio.gather(*polls)
    assert not lost


async def test_each_client_gets_its_own_file_of_one_name(both: RunningGateway) -> None:
    """Both servers make ComfyUI_00001_.png; the history and `executed` name whose it is."""
    pairs = []
    async with AsyncExitStack() as stack:
        for color in (0x400000, 0x004000, 0x000040, 0x404040):
            user = await stack.enter_async_context(user_of(both))
            socket = await stack.enter_async_context(native_socket(both.address, user.client_id))
            graph = model_free(color, prefix="ComfyUI")
            pairs.append((user, socket, await user.post(graph), 0xFFFFFF - color))
        for user, socket, prompt_id, color in pairs:
            told = await socket.until_end(prompt_id)
            outputs = {
                message["data"]["node"]: message["data"]["output"]
                for message in told
                if isinstance(message, dict) and message["type"] == "executed"
            }
            kept = (await user.ended(prompt_id))["outputs"]
            assert outputs == kept
            (file,) = files_of(kept)
            assert file["filename"].startswith("ComfyUI_0000")
            assert file["subfolder"].split("/")[0] == prompt_id
            assert _color(await user.view(file)) == color


def _color(content: bytes) -> int:
    with Image.open(io.BytesIO(content)) as picture:
        pixel = picture.convert("RGB").getpixel((0, 0))
    assert isinstance(pixel, tuple)
    red, green, blue = (int(part) for part in pixel)
    return red << 16 | green << 8 | blue


async def test_no_message_of_another_client(both: RunningGateway) -> None:
    async with AsyncExitStack() as stack:
        sockets: list[tuple[NativeSocket, set[str]]] = []
        for number in range(USERS):
            user = await stack.enter_async_context(user_of(both))
            socket = await stack.enter_async_context(native_socket(both.address, user.client_id))
            graphs = [text_to_image(seed=10 * number + each, steps=3) for each in range(3)]
            sockets.append((socket, {await user.post(graph) for graph in graphs}))
        for socket, ids in sockets:
            for _ in ids:
                await socket.until(is_end)
            told = [one["data"] for one in socket.heard if isinstance(one, dict)]
            assert {data["prompt_id"] for data in told if "prompt_id" in data} == ids
            kinds = [one["type"] for one in socket.heard if isinstance(one, dict)]
            assert kinds.count("execution_start") == kinds.count("execution_success") == len(ids)


async def test_sockets_before_during_and_after_get_one_end_each(both: RunningGateway) -> None:
    """The last one is opened when nobody is left that heard of the end."""
    async with user_of(both) as user:
        before = native_socket(both.address, user.client_id)
        async with before as first:
            prompt_id = await user.post(text_to_image(steps=20))
            await user.runs(prompt_id)
            async with native_socket(both.address, user.client_id) as second:
                for socket in (first, second):
                    await socket.until_end(prompt_id)
                for socket in (first, second):
                    assert _ends(await _and_more(socket, user, 1), prompt_id) == 1
        unheard = await user.post(model_free(9))
        await user.ended(unheard)
        async with native_socket(both.address, user.client_id) as third:
            await third.until_end(unheard)
            told = await _and_more(third, user, 2)
            assert _ends(told, unheard) == 1
            assert _ends(told, prompt_id) == 0, "it was told before"


async def _and_more(socket: NativeSocket, user: NativeUser, color: int) -> list[Any]:
    """All that the socket heard, up to the end of one more prompt."""
    more = await user.post(model_free(color))
    await socket.until_end(more)
    return socket.heard


def _ends(heard: list[Any], prompt_id: str) -> int:
    return sum(is_end(message, prompt_id) for message in heard)


async def test_clients_with_one_id_at_two_addresses_hear_of_their_own(
    both: RunningGateway,
) -> None:
    """Blender's add-on and comfyui-mcp have fixed ids."""
    name = "ComfyUICUP"
    async with (
        user_of(both, name) as here,
        user_of(both, name, source=OTHER) as there,
        native_socket(both.address, name) as near,
        native_socket(both.address, name, source=OTHER) as far,
    ):
        ids = [(await here.post(model_free(1)), await there.post(model_free(2))) for _ in range(2)]
        for mine, theirs in ids:
            await near.until_end(mine)
            await far.until_end(theirs)
        for socket, other in ((near, 1), (far, 0)):
            foreign = {pair[other] for pair in ids}
            told = [one["data"] for one in socket.heard if isinstance(one, dict)]
            assert not [data for data in told if data.get("prompt_id") in foreign]


async def test_an_interrupt_without_an_id_stops_one_of_the_caller(
    both: RunningGateway, pair: list[DemoServer]
) -> None:
    """Two run, a stranger's prompt waits at each server, and another client's run is spared."""
    long = [text_to_image(steps=1000, seed=seed) for seed in (1, 2)]
    async with user_of(both) as mine, user_of(both, source=OTHER) as other:
        ids = [await mine.post(long[0]), await other.post(long[1])]
        await mine.runs(ids[0])
        await other.runs(ids[1])
        strangers = []
        for demo in pair:
            async with NativeUser(f"http://{demo.address}", "a stranger") as stranger:
                strangers.append((demo, await stranger.post(model_free(3))))
        await mine.interrupt()
        entry = await mine.ended(ids[0])
        assert entry["status"]["status_str"] == "error"
        assert entry["status"]["messages"][-1][0] == "execution_interrupted"
        assert ids[1] in (await other.queue())[0]
        await other.interrupt(client_id=other.client_id)
        await other.ended(ids[1])
        for demo, prompt_id in strangers:

            def ended(demo: DemoServer = demo, prompt_id: str = prompt_id) -> bool:
                return demo.records.execution(prompt_id).ended == "success"

            await wait_until(ended)


async def test_an_interrupt_never_stops_a_stranger_who_runs(
    both: RunningGateway, pair: list[DemoServer]
) -> None:
    """The caller's prompts wait behind strangers' on both servers: nothing of it runs."""
    strangers = []
    for demo in pair:
        async with NativeUser(f"http://{demo.address}", "a stranger") as stranger:
            strangers.append((demo, await stranger.post(text_to_image(steps=1000))))
            await stranger.runs(strangers[-1][1])
    async with user_of(both) as user:
        waiting = await user.post(model_free(1))
        await user.interrupt()
        await user.interrupt(prompt_id=waiting)
        await user.interrupt(prompt_id=strangers[0][1])
        for demo, prompt_id in strangers:
            assert demo.records.execution(prompt_id).ended is None
            async with NativeUser(f"http://{demo.address}") as stranger:
                await stranger.interrupt(prompt_id=prompt_id)
        entry = await user.ended(waiting)
        assert entry["status"]["status_str"] == "success", entry
