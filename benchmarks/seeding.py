"""Finished tasks, written straight into a gateway's database, and files among its results."""

from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Connection, Table, insert, update

from app.auth.model import EVERYBODY
from app.db import mapping
from app.db.engine.database import open_database
from app.db.tables import outputs, tasks
from app.db.tasks import TaskRepository, TaskTable
from app.files.stores.local import LocalStore
from app.files.stores.store import once
from app.tasks.model import NewTask, Output, Progress, Status
from benchmarks.programs import workflow

OLD = 1_700_000_000.0  # when they were made


async def add_finished(database_url: str, files: Mapping[str, bytes], outputs_dir: Path) -> str:
    """One task that has made these files; its id."""
    database = await open_database(database_url)
    store = TaskRepository(TaskTable(database), EVERYBODY)
    task_id = str(uuid4())
    await store.add([NewTask(task_id=task_id, prompt=workflow(0))])
    stored = []
    for name, content in files.items():
        found = await LocalStore(outputs_dir).save(f"{task_id}/{name}", once(content))
        stored.append(
            Output(
                node_id="2",
                kind="image",
                filename=name,
                content_type="image/png",
                size_bytes=found.size_bytes,
                hash=found.hash,
                key=found.key,
            )
        )

    def work(connection: Connection) -> None:
        done = mapping.dump_progress(Progress(1.0, 2, 2))
        values = {"status": Status.SUCCEEDED, "finished_at": OLD, "progress": done}
        connection.execute(update(tasks).where(tasks.c.task_id == task_id).values(**values))
        if stored:
            listed = [mapping.output_row(task_id, output) for output in stored]
            connection.execute(insert(outputs), listed)

    await database.write(work)
    await database.close()
    return task_id


async def multiply(database_url: str, count: int) -> None:
    """As many tasks as `count`, each with its result, out of the one that is there."""
    database = await open_database(database_url)

    def work(connection: Connection) -> None:
        have = 1
        while have < count:
            more = min(have, count - have)
            for table, key in ((tasks, "seq"), (outputs, "id")):
                connection.exec_driver_sql(_copied(table, key, have), (more,))
            have += more

    await database.write(work)
    await database.close()


def _copied(table: Table, key: str, have: int) -> str:
    """SQL that copies the first rows. The number of a row is the end of its task's id, so a copied
    result belongs to a copied task."""
    columns = [column.name for column in table.columns if column.name != key]
    number = f"printf('%08d', {key} + {have})"
    ids = {name: f"substr({name}, 1, 28) || {number}" for name in ("task_id", "asset_id")}
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)}) "
        f"SELECT {', '.join(ids.get(name, name) for name in columns)} "
        f"FROM {table.name} ORDER BY {key} LIMIT ?"
    )
