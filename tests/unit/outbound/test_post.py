"""Posts to a URL that a client names."""

import httpx

from app.outbound.guard import Guard
from app.outbound.post import Answer, post
from app.outbound.transport import Remote
from tests.receivers import Reply, receiving
from tests.unit.outbound.test_guard import looking_up


def remote(*answers: list[str], allow: tuple[str, ...] = ()) -> Remote:
    return Remote(Guard(allow, lookup=looking_up(*answers)))  # type: ignore[arg-type]


async def test_rebinding_to_a_private_address_reaches_nobody() -> None:
    async with receiving() as server:
        rebound = remote(["8.8.8.8"], ["127.0.0.1"])
        url = f"http://innocent.example:{server.port}/"
        await rebound.guard.addresses_of(httpx.URL(url))  # the check at submit
        answer = await post(rebound, url, b"{}", {}, seconds=5)
        assert (answer.error or "").startswith("url_not_allowed")
        assert server.got == []


async def test_a_post_redirected_is_an_answer_like_others() -> None:
    async with receiving(lambda _: Reply(307, headers={"location": "/other"})) as server:
        answer = await post(Remote(Guard(["*"])), server.url, b"{}", {}, seconds=5)
        assert (answer.status, len(server.got)) == (307, 1)


async def test_what_is_kept_of_an_answer() -> None:
    reply = Reply(503, b"\x00" + b"a" * 5000, {"retry-after": "7"})
    async with receiving(lambda _: reply) as server:
        answer = await post(Remote(Guard(["*"])), server.url, b"{}", {}, seconds=5)
        assert answer == Answer(503, None, "a" * 1023, 7.0)
