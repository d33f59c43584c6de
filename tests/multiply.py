"""Very many tasks, faster than they can be submitted: copies, made by the database."""

from sqlalchemy import Connection, TextClause, text

from app.db.engine.database import Database
from app.db.tables import prompts, tasks

# More than PostgreSQL takes parameters in a statement; SQLite takes more than is good for a test.
MANY = {"postgresql": 33_000, "sqlite": 5_000}
_ROUTE = "substr('r' || n || '-----------------------', 1, 20)"


async def multiply(database: Database, count: int, *, needs: bool = False, first: int = 0) -> None:
    """So many copies of the newest task, with an output each. `needs`: each needs a node type of
    its own, which no server has. `first`: the number of the first, for some more of them."""
    new_id = f"'00000000-0000-4000-8000-' || ({100_000_000_000 + first} + n)"
    own = {"task_id": new_id, **({"route": _ROUTE} if needs else {})}
    names = [column.name for column in tasks.columns if column.name != "seq"]
    values = [own.get(name, f'task."{name}"') for name in names]
    newest = "(SELECT * FROM tasks ORDER BY seq DESC LIMIT 1) AS task"
    rows = {
        f"tasks ({_listed(names)})": f"SELECT {', '.join(values)} FROM numbers, {newest}",
        "outputs (task_id, node_id, kind, subfolder, type, text)": (
            f"SELECT {new_id}, '1', 'text', '', 'output', 'copied' FROM numbers"
        ),
    }
    if "task_id" in prompts.c:
        rows["prompts (task_id, prompt)"] = f"SELECT {new_id}, '{{}}' FROM numbers"
    if needs:
        text_of_needs = """'[["Impossible' || n || '"],[]]'"""
        rows["routes (route, needs)"] = f"SELECT {_ROUTE}, {text_of_needs} FROM numbers"

    def work(connection: Connection) -> None:
        for into, chosen in rows.items():
            connection.execute(_statement(connection, into, chosen, count))

    await database.write(work, large=True)


def _statement(connection: Connection, into: str, chosen: str, count: int) -> TextClause:
    numbers = (
        "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers"
        f" WHERE n < {count})"
    )
    if connection.dialect.name == "sqlite":
        return text(f"INSERT INTO {into} {numbers} {chosen}")
    return text(f"{numbers} INSERT INTO {into} {chosen}")


def _listed(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
