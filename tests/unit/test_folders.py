"""What tests see of the folders of a running gateway."""

from pathlib import Path

from app.files.stores.local import LocalStore
from app.files.stores.temporary import open_part
from tests.folders import lasting_files, until_none_is_unfinished


async def test_a_file_that_is_being_written_was_not_left(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "kept").write_bytes(b"x")
    with open_part(tmp_path):
        assert lasting_files(tmp_path) == [tmp_path / "a" / "kept"]
    next(tmp_path.glob("*.part")).unlink()
    await LocalStore(tmp_path).check_room()
    await until_none_is_unfinished(tmp_path)
