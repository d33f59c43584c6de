"""Lists in SQL as single parameters, so that a statement is independent of the list's length.

PostgreSQL accepts 32,767 parameters per statement, SQLite a similar number; and each number of
parameters would make another statement to compile and plan.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, TypeVar

from sqlalchemy import BigInteger, ColumnElement, Dialect, Integer, Text, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.db.engine.columns import Whole, findable
from app.limits import text_lengths

T = TypeVar("T")

MAX_LIST_ROWS = 500  # rows or ids per statement, if there may be any number
MAX_INSERT_ROWS = 25  # per INSERT with RETURNING; each has about 30 parameters


class _Values(TypeDecorator[Any]):
    """An array on PostgreSQL, JSON on SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, numbers: bool) -> None:
        super().__init__()
        self.numbers = numbers

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name != "postgresql":
            return Text()
        return ARRAY(BigInteger() if self.numbers else Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        found = list(value or ()) if self.numbers else [findable(text) for text in value or ()]
        return found if dialect.name == "postgresql" else json.dumps(found)


class _InList(FunctionElement[bool]):
    inherit_cache = True
    sql: ClassVar[dict[str, str]]  # by dialect; placeholders for the column and the list


class _AnyOf(_InList):
    inherit_cache = True
    sql: ClassVar = {
        "postgresql": "({} = ANY ({}))",
        "sqlite": "({} IN (SELECT value FROM json_each({})))",
    }


class _NoneOf(_InList):
    inherit_cache = True
    sql: ClassVar = {
        # Uses a hash table; "<> ALL" would compare each row with each value.
        "postgresql": "({} NOT IN (SELECT unnest({})))",
        "sqlite": "({} NOT IN (SELECT value FROM json_each({})))",
    }


def any_of(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Return whether the column is in the list parameter `name`."""
    return _AnyOf(column, _parameter(column, name))


def none_of(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Return whether the column, which must not be NULL, is not in the list parameter `name`."""
    return _NoneOf(column, _parameter(column, name))


def _parameter(column: ColumnElement[Any], name: str) -> ColumnElement[Any]:
    return bindparam(name, type_=_Values(isinstance(column.type, Integer | Whole)))


@compiles(_InList)
def _in_list(element: _InList, compiler: SQLCompiler, **options: Any) -> str:
    sides = [compiler.process(side, **options) for side in element.clauses]
    return element.sql[compiler.dialect.name].format(*sides)


def parts_of(values: Iterable[T], most: int = MAX_LIST_ROWS) -> Iterator[Sequence[T]]:
    """Split the values into lists of at most `most`."""
    found = list(values)
    for start in range(0, len(found), most):
        yield found[start : start + most]


def task_ids(values: Iterable[str]) -> list[str]:
    """Return the distinct values that may be task ids, so that no other text reaches a query."""
    return [id for id in dict.fromkeys(values) if len(id) == text_lengths.ID and id.isprintable()]
