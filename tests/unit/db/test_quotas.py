"""How many tasks of each key may run."""

from app.db.quotas import cap_by_key, exhausted_keys
from app.tasks.model import Assignment, WaitingTask
from app.workflows.requirements import Needs


# -- shares of the servers ----------------------------------------------------------------------
def test_of_each_key_no_more_is_chosen_than_it_has_room_for() -> None:
    owners = {1: "a", 2: "a", 3: None, 4: "b", 5: "a", 6: "c"}
    waiting = [
        WaitingTask(seq, "", Needs(), None, "", 0, 0, owner) for seq, owner in owners.items()
    ]
    chosen = [Assignment(seq, "server") for seq in owners]
    kept = cap_by_key({"a": 2, "b": 0}, chosen, waiting)
    assert [gift.seq for gift in kept] == [1, 2, 3, 6]
    assert exhausted_keys({"a": 2, "b": 0, "c": -1}) == ["b", "c"]
