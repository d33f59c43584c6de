"""Filters of task lists: by state, batch, workflow, time, and text."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

from sqlalchemy import (
    ColumnElement,
    Connection,
    FunctionElement,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from app.comfyui.cleaning import sound_text
from app.db import mapping
from app.db.engine.list_parameters import MAX_LIST_ROWS, any_of
from app.db.engine.statement import Statement
from app.db.tables import task_texts, tasks
from app.limits import text_lengths
from app.tasks.model import TERMINAL, NewTask, Status, TaskError

MAX_COUNTED_TASKS = 100_000  # tasks that are counted
_ERROR = 2000  # characters of an error that are searched
_DEPTH = 12  # levels of lists and objects

# Upsert: older gateways delete tasks without their texts, and SQLite reuses the number of the
# newest task.
_KEEP = {
    name: Statement(
        new.on_conflict_do_update(
            index_elements=[task_texts.c.seq], set_={"text": new.excluded.text}
        )
    )
    for name, new in (
        ("sqlite", sqlite.insert(task_texts)),
        ("postgresql", postgresql.insert(task_texts)),
    )
}
_ADD = Statement(
    update(task_texts)
    .where(
        task_texts.c.seq
        == select(tasks.c.seq).where(tasks.c.task_id == bindparam("id")).scalar_subquery()
    )
    .values(text=task_texts.c.text.concat(bindparam("more")))
)


_LEFT = (
    select(task_texts.c.seq)
    .where(~exists().where(tasks.c.seq == task_texts.c.seq))
    .limit(MAX_LIST_ROWS)
)
_FORGET = delete(task_texts).where(any_of(task_texts.c.seq, "seqs"))


@dataclass(frozen=True, slots=True)
class Selection:
    """A filter of tasks.

    `labels` is a prefilter: it may let through tasks without these pairs in their metadata, but
    never drops one with them. `since` and `until` are Unix timestamps of the arrival, both
    inclusive.
    """

    statuses: Collection[Status] = ()
    batch_id: str | None = None
    client_id: str | None = None  # of ComfyUI's own protocol
    labels: Mapping[str, str] | None = None
    workflow: str | None = None
    text: str | None = None
    since: float | None = None
    until: float | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.statuses:
            found.append(_has_one_of(frozenset(self.statuses)))
        equal = ((tasks.c.batch_id, self.batch_id), (tasks.c.filename, self.workflow))
        found += [column == value for column, value in equal if value is not None]
        if self.client_id is not None:
            # The first one for the sake of an index
            found += [tasks.c.number.is_not(None), tasks.c.client == self.client_id]
        if self.since is not None:
            found.append(tasks.c.created_at >= self.since)
        if self.until is not None:
            found.append(tasks.c.created_at <= self.until)
        for label in (self.labels or {}).items():
            pair = mapping.dump(dict([label]))[1:-1]
            found.append(tasks.c.metadata.contains(pair, autoescape=True))
        if text := folded(self.text or "").strip():
            found.append(_says(text))
        return found


def counted(conditions: Iterable[ColumnElement[bool]]) -> Select[Any]:
    """Return a query for the number of matches, at most MAX_COUNTED_TASKS + 1."""
    these = select(literal(1)).select_from(tasks).where(*conditions).limit(MAX_COUNTED_TASKS + 1)
    return select(func.count()).select_from(these.subquery())


def keep(connection: Connection, new: Sequence[tuple[int, NewTask]]) -> None:
    """Store the search texts of tasks that were just added with these numbers."""
    texts = [{"seq": seq, "text": text_of(task)} for seq, task in new]
    _KEEP[connection.dialect.name].each(connection, texts)


def add_error(connection: Connection, task_id: str, error: TaskError) -> None:
    text = joined([error.code, error.class_type, error.message], _ERROR)
    _ADD.count(connection, {"id": task_id, "more": f"\n{text}"})


def text_of(task: NewTask) -> str:
    client = task.native.client_id if task.native else None
    return found_by(task.filename, task.params, task.metadata, client)


def found_by(filename: str | None, params: Any, metadata: Any, client: str | None = None) -> str:
    """Return the search text, one text per line, normalized by `folded` and truncated."""
    return joined(
        [filename, client, *_texts(metadata, _DEPTH), *_texts(params, _DEPTH)],
        text_lengths.SEARCHED,
    )


def joined(texts: Iterable[str | None], most: int) -> str:
    found, left = [], most
    for text in texts:
        if text and left > 0:
            found.append(folded(text[:left])[:left])
            left -= len(found[-1]) + 1
    return "\n".join(found)


def folded(text: str) -> str:
    """Normalize case and width, and drop what cannot be stored.

    Not done in SQL, as SQLite lowers ASCII only, and PostgreSQL depends on its locale.
    """
    text = sound_text(text)
    if text.isascii():
        return text.lower()
    return normalize("NFKC", normalize("NFKC", text).casefold())


def _texts(value: Any, levels: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bool) or value is None or levels == 0:
        return
    elif isinstance(value, int | float):
        yield str(value)
    else:
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item, levels - 1)


def forget_left(connection: Connection) -> int:
    """Delete some texts whose task is gone: older gateways delete tasks without them."""
    seqs = list(connection.scalars(_LEFT))
    if seqs:
        connection.execute(_FORGET, {"seqs": seqs})
    return len(seqs)


def _says(text: str) -> ColumnElement[bool]:
    has = exists().where(task_texts.c.seq == tasks.c.seq, _Holds(task_texts.c.text, literal(text)))
    if len(text) > text_lengths.ID or not set(text) <= set("0123456789abcdef-"):
        return has
    return or_(func.substr(tasks.c.task_id, 1, len(text)) == text, has)


class _Holds(FunctionElement[bool]):
    """SQL function: whether a text contains another one literally; LIKE has wildcards."""

    inherit_cache = True


@compiles(_Holds, "sqlite")
def _instr(element: _Holds, compiler: SQLCompiler, **options: Any) -> str:
    return f"(instr({compiler.process(element.clauses, **options)}) > 0)"


@compiles(_Holds, "postgresql")
def _strpos(element: _Holds, compiler: SQLCompiler, **options: Any) -> str:
    return f"(strpos({compiler.process(element.clauses, **options)}) > 0)"


def _has_one_of(statuses: frozenset[Status]) -> ColumnElement[bool]:
    """All finished tasks are found by a scan of the rows, single states by their index."""
    if statuses == TERMINAL:
        return tasks.c.finished_at.is_not(None)
    condition = tasks.c.status.in_(sorted(statuses))
    return condition if statuses - TERMINAL else and_(condition, tasks.c.finished_at.is_not(None))
