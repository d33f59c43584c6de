"""Names within an archive."""

from app.files.archive import _Names
from app.files.stores.store import MAX_NAME


def test_many_of_one_name_are_numbered_in_no_time() -> None:
    names = _Names(set())
    found = {names.unique("x" * 250 + ".png") for _ in range(20_000)}
    assert len(found) == 20_000
    assert all(len(name.encode()) <= MAX_NAME for name in found)
