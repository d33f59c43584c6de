"""Column types that reject on both databases what PostgreSQL would reject.

SQLite accepts texts of any length, NUL characters, numbers in text columns and texts in numeric
ones. A value that only one database rejects would be found in production only, so the types check
each bound value.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from sqlalchemy import BigInteger, Boolean, Float, Integer, MetaData, String, Text, type_coerce
from sqlalchemy.exc import DontWrapMixin
from sqlalchemy.sql.expression import BindParameter, ClauseElement
from sqlalchemy.sql.operators import in_op, not_in_op
from sqlalchemy.types import TypeDecorator

from app.comfyui.cleaning import is_sound
from app.errors import InvalidInput

log = logging.getLogger(__name__)

NOWHERE = "\ufdd0\ufdd1"  # never stored: Unicode noncharacters
_LOOKUPS = {eq, ne, lt, le, gt, ge, in_op, not_in_op}


class Unstorable(DontWrapMixin, InvalidInput):
    """A value cannot be stored."""

    def __init__(self, column: str, fault: str) -> None:
        """`fault` must not contain the value: it is logged and shown to clients."""
        super().__init__(f"{column or 'A value'}: {fault}.", field=column or None)


class _Checked(TypeDecorator[Any]):
    name = ""  # of the column, see `name_columns`

    def refuse(self, fault: str) -> Unstorable:
        return Unstorable(self.name, fault)


def findable(text: Any) -> str:
    """Return a text to search for; if it cannot be stored, one that is never stored."""
    if not isinstance(text, str):
        raise Unstorable("", f"a text is looked for, not {type(text).__name__}")
    return text if is_sound(text) else NOWHERE


class _LookedUp(TypeDecorator[Any]):
    """A text that is compared with a column; one that cannot be stored there equals nothing.

    So a query for an impossible name finds nothing, and one such name in a list does not affect
    others.
    """

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else findable(value)


class Words(_Checked):
    """Text with a maximum number of characters."""

    impl = String
    cache_ok = True

    class Comparator(TypeDecorator.Comparator[Any]):
        def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
            if op in _LOOKUPS and other and _is_value(other[0]):
                return op(type_coerce(self.expr, _LookedUp()), *other, **kwargs)
            return super().operate(op, *other, **kwargs)

    comparator_factory = Comparator

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.refuse(f"a text is wanted, not {type(value).__name__}")
        if len(value) > self.length:
            raise self.refuse(f"may have {self.length} characters; this has {len(value)}")
        if "\0" in value:
            raise self.refuse("holds a NUL character, which cannot be stored")
        if not is_sound(value) or value == NOWHERE:
            raise self.refuse("holds half a character (a lone surrogate), which is no text")
        return value


class LongWords(Words):
    """Text in a column without a declared length, with a limit of its own."""

    impl = Text
    cache_ok = True

    def __init__(self, length: int) -> None:
        TypeDecorator.__init__(self)
        self.length = length


class Whole(_Checked):
    """A 32-bit integer."""

    impl = Integer
    cache_ok = True
    bits = 32

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.refuse(f"a whole number is wanted, not {type(value).__name__}")
        most = 1 << (self.bits - 1)
        if not -most <= value < most:
            raise self.refuse(f"the number is beyond {self.bits} bits")
        return value


class BigWhole(Whole):
    """A 64-bit integer."""

    impl = BigInteger
    cache_ok = True
    bits = 64


class Number(_Checked):
    """A finite number."""

    impl = Float
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.refuse(f"a number is wanted, not {type(value).__name__}")
        try:
            number = float(value)
        except OverflowError as error:
            raise self.refuse("the number is too large") from error
        if not math.isfinite(number):
            raise self.refuse("the number is not finite")
        return number


class Flag(_Checked):
    impl = Boolean
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        if value is not None and not isinstance(value, bool):
            raise self.refuse(f"true or false is wanted, not {type(value).__name__}")
        return value


@contextmanager
def ignoring_unstorable(what: str) -> Iterator[None]:
    """Skip a value that cannot be stored, so that others are written."""
    try:
        yield
    except Unstorable as error:
        log.warning("%s cannot be stored: %s", what, error.detail)


def name_columns(metadata: MetaData) -> None:
    """Set the column names of the types, for their errors."""
    for table in metadata.tables.values():
        for column in table.columns:
            if isinstance(column.type, _Checked):
                column.type.name = column.name


def _is_value(other: Any) -> bool:
    """Return whether this is a bound value, not another column."""
    return isinstance(other, BindParameter) or not isinstance(other, ClauseElement)
