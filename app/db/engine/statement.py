"""Statements that are compiled once and run by the driver's cursor.

`Connection.execute` computes a key of the statement and makes a context, a result and rows each
time, which takes longer than SQLite's work. What matters of it is done here, too: the types check
and convert values, errors become SQLAlchemy's, and listeners of `before_cursor_execute` are called.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.selectable import ExecutableReturnsRows
from sqlalchemy.types import TypeEngine

Values = Mapping[str, Any]
Rows = Sequence[Any]  # named tuples
Process = Callable[[Any], Any] | None  # None: the value stays as it is

NO_VALUES: Values = {}


class Statement:
    """A constant SELECT, INSERT, UPDATE or DELETE, whose lists are list parameters or literals."""

    __slots__ = ("_compiled", "statement")

    def __init__(self, statement: ExecutableReturnsRows) -> None:
        self.statement = statement
        # By dialect and names of values: these are the columns that an INSERT or UPDATE sets.
        self._compiled: dict[tuple[str, ...], _Compiled] = {}

    def rows(self, connection: Connection, values: Values = NO_VALUES) -> Rows:
        """Execute and return the rows."""
        return self._run(connection, values)[0]

    def count(self, connection: Connection, values: Values = NO_VALUES) -> int:
        """Execute and return the number of affected rows."""
        return self._run(connection, values)[1]

    def each(self, connection: Connection, made: Sequence[Values]) -> Rows:
        """Insert these rows, several per statement; return what the INSERT returns."""
        if len(made) == 1:
            return self.rows(connection, made[0])
        result = connection.execute(self.statement, made)
        return result.all() if result.returns_rows else ()

    def _run(self, connection: Connection, values: Values) -> tuple[Rows, int]:
        key = (connection.dialect.name, *values)
        if (compiled := self._compiled.get(key)) is None:
            compiled = _Compiled(self.statement, connection.dialect, values)
            self._compiled[key] = compiled
        if not connection.in_transaction():
            connection.begin()  # as `execute` does
        driver = connection.connection
        sql, bound, cursor = compiled.sql, None, None
        try:
            bound = compiled.bind(values)
            cursor = driver.cursor()
            for hear in connection.dispatch.before_cursor_execute:
                sql, bound = hear(connection, cursor, sql, bound, None, False)
            cursor.execute(sql, bound)
            rows = compiled.rows_of(cursor)
            count = cursor.rowcount
            cursor.close()
        except BaseException as error:  # noqa: BLE001 (a cancelled caller loses its connection)
            connection._handle_dbapi_exception(error, sql, bound, cursor, None)
        return rows, count


class _Compiled:
    """A statement for one dialect and one set of values."""

    def __init__(self, statement: ExecutableReturnsRows, dialect: Dialect, values: Values) -> None:
        self._dialect = dialect
        self._columns = tuple(statement.exported_columns)
        made = statement.compile(dialect=dialect, column_keys=list(values))
        assert isinstance(made, SQLCompiler)
        assert not made.post_compile_params, "a list of values is a list parameter, or literals"
        self.sql = str(made)
        self._constants: dict[str, Any] = {}
        self._binds = tuple([self._bind_of(made.binds[n], values) for n in made.positiontup or ()])
        # Known with the first rows, as some types depend on what the driver returns.
        self._make: Callable[[Any], Any] | None = None
        self._results: tuple[tuple[int, Callable[[Any], Any]], ...] = ()

    def bind(self, values: Values) -> tuple[Any, ...]:
        given = {**self._constants, **values} if self._constants else values
        return tuple(
            [process(given[name]) if process else given[name] for name, process in self._binds]
        )

    def rows_of(self, cursor: Any) -> Rows:
        if not self._columns:
            return ()
        make, found = self._make or self._describe(cursor), cursor.fetchall()
        if self._results:
            found = [self._converted(row) for row in found]
        return [make(row) for row in found]

    def _converted(self, row: Sequence[Any]) -> Sequence[Any]:
        cells = list(row)
        for at, process in self._results:
            cells[at] = process(cells[at])
        return cells

    def _bind_of(self, bind: Any, values: Values) -> tuple[str, Process]:
        process = self._of_dialect(bind.type).bind_processor(self._dialect)
        if bind.required or bind.key in values:
            return bind.key, process
        constant = bind.effective_value
        self._constants[bind.key] = process(constant) if process else constant
        return bind.key, None

    def _describe(self, cursor: Any) -> Callable[[Any], Any]:
        processes = [
            self._of_dialect(column.type).result_processor(self._dialect, described[1])
            for column, described in zip(self._columns, cursor.description, strict=True)
        ]
        self._results = tuple([(at, one) for at, one in enumerate(processes) if one])
        names = [str(column.key) for column in self._columns]
        row: Any = namedtuple("Row", names, rename=True)  # type: ignore[misc]
        self._make = row._make
        return row._make

    def _of_dialect(self, type_: TypeEngine[Any]) -> TypeEngine[Any]:
        return type_.dialect_impl(self._dialect)
