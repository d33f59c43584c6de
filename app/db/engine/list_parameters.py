"""Lists in SQL, as one parameter each: a statement is the same however long the list is.

PostgreSQL takes 32,767 parameters in a statement, SQLite as many or fewer; and each number of them
makes another statement, to be put together and planned anew.
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

MAX_LIST_ROWS = 500  # rows or ids that one statement is about, where there may be any number
MAX_INSERT_ROWS = (
    25  # that one INSERT writes, where it answers what they are; each has 30 parameters or so
)


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
    sql: ClassVar[dict[str, str]]  # by dialect, of the column and the list


class _AnyOf(_InList):
    inherit_cache = True
    sql: ClassVar = {
        "postgresql": "({} = ANY ({}))",
        "sqlite": "({} IN (SELECT value FROM json_each({})))",
    }


class _NoneOf(_InList):
    inherit_cache = True
    sql: ClassVar = {
        # By a hash table; "<> ALL" would compare each row with each value.
        "postgresql": "({} NOT IN (SELECT unnest({})))",
        "sqlite": "({} NOT IN (SELECT value FROM json_each({})))",
    }


def any_of(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Whether the column is one of the values of the parameter `name`, a list of any length."""
    return _AnyOf(column, _parameter(column, name))


def none_of(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """The opposite; the column must not be NULL."""
    return _NoneOf(column, _parameter(column, name))


def _parameter(column: ColumnElement[Any], name: str) -> ColumnElement[Any]:
    return bindparam(name, type_=_Values(isinstance(column.type, Integer | Whole)))


@compiles(_InList)
def _in_list(element: _InList, compiler: SQLCompiler, **options: Any) -> str:
    sides = [compiler.process(side, **options) for side in element.clauses]
    return element.sql[compiler.dialect.name].format(*sides)


def parts_of(values: Iterable[T], most: int = MAX_LIST_ROWS) -> Iterator[Sequence[T]]:
    """The values in lists of so many at most."""
    found = list(values)
    for start in range(0, len(found), most):
        yield found[start : start + most]


def task_ids(values: Iterable[str]) -> list[str]:
    """Those that may be ids of tasks of ours, each once: whatever clients and servers send, no
    other text goes into a query."""
    return [id for id in dict.fromkeys(values) if len(id) == text_lengths.ID and id.isprintable()]
