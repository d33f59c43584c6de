"""How many tasks of each key may run."""

from app.db.quotas import exhausted, within


# -- shares of the servers ----------------------------------------------------------------------
def test_of_each_key_no_more_is_chosen_than_it_has_room_for() -> None:
    owners = {1: "a", 2: "a", 3: None, 4: "b", 5: "a", 6: "c", 7: "c"}
    assert within({"a": 2, "b": 0}, owners, owners.get) == [1, 2, 3, 6, 7]
    assert within({"a": 2, "b": 0}, owners, owners.get, default=1) == [1, 2, 3, 6]
    assert exhausted({"a": 2, "b": 0, "c": -1}) == ["b", "c"]
