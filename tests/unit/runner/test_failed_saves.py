"""Tasks that are ours and that nobody drives."""

from typing import Any, cast

from app.db.claims import Claims
from app.runner.failed_saves import FailedSaves


class Owned:
    """Claims on tasks: those that are let go are claimed anew at once, and not driven yet."""

    def __init__(self, *task_ids: str) -> None:
        self.task_ids = set(task_ids)
        self.let_go_of: list[str] = []

    async def driven(self) -> set[str]:
        return self.task_ids

    async def let_go(self, task_id: str) -> None:
        self.let_go_of.append(task_id)


async def test_a_task_that_was_let_go_is_looked_at_twice_again() -> None:
    """A run that just took it up would lose its claim, at each look again."""
    claims = Owned("idle", "driven")
    saves = FailedSaves(cast(Claims, claims), cast(Any, None))
    found = []
    for _ in range(4):
        await saves.free_the_idle(["driven"])
        found.append(len(claims.let_go_of))
    assert found == [0, 1, 1, 2]
    assert set(claims.let_go_of) == {"idle"}
