"""What of a submit is done in the event loop, and what in threads."""

from typing import Any

import pytest

from app.limits.worker_threads import Workers
from app.services.submission_request import SMALL, Submission
from tests.conftest import RunningGateway, model_free, text_to_image

Json = dict[str, Any]


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Work that went to a thread."""
    found: list[object] = []
    run = Workers.run

    async def counted(workers: Workers, work: Any, *args: Any, **options: Any) -> Any:
        found.append(work)
        return await run(workers, work, *args, **options)

    monkeypatch.setattr(Workers, "run", counted)
    return found


async def test_a_small_prompt_takes_no_thread(gateway: RunningGateway, hops: list[object]) -> None:
    await gateway.submit(text_to_image(), wait=0, params={"seed": 7})
    answer = await gateway.http.post("/api/v2/jobs", json={"workflow": text_to_image()})
    assert answer.status_code == 201
    assert not hops


@pytest.mark.parametrize(
    "more",
    [{"batch": {"color": [1, 2]}}, {"fill_texts": True}, {"metadata": {"long": "x" * SMALL}}],
)
async def test_what_may_take_longer_goes_to_a_thread(
    gateway: RunningGateway, hops: list[object], more: Json
) -> None:
    await gateway.submit(model_free(), wait=0, **more)
    assert hops


def test_files_of_the_page_may_stand_for_more_than_their_bytes() -> None:
    assert Submission(model_free(), size=100).is_small
    assert not Submission({"nodes": [], "links": []}, size=100).is_small
    assert not Submission(model_free(), filename="saved.json").is_small
