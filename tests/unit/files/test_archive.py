"""Names within an archive."""

from app.files.archive import _Names
from app.files.stores.store import MAX_NAME


def test_many_of_one_name_are_numbered_in_no_time() -> None:
    names = _Names(set())
    found = {names.unique("x" * 250 + ".png") for _ in range(20_000)}
    assert len(found) == 20_000
    assert all(len(name.encode()) <= MAX_NAME for name in found)


def test_names_can_be_unpacked_on_every_system() -> None:
    names = _Names(set())
    found = [names.unique(name) for name in ("aux.png", "AUX.png", "a.png", "A.png", "COM¹.txt")]
    assert found == ["_aux.png", "_AUX (2).png", "a.png", "A (2).png", "_COM¹.txt"]
