"""Types of columns that refuse, on both databases alike, what PostgreSQL would refuse.

SQLite takes texts of any length, NUL characters, numbers in text columns and texts in numeric ones.
What one database refuses and the other takes is a fault that nobody meets before production: so the
types themselves look at each value that is bound.
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

NOWHERE = "\ufdd0\ufdd1"  # stands in no column: these are no characters, by Unicode's own word
_LOOKUPS = {eq, ne, lt, le, gt, ge, in_op, not_in_op}


class Unstorable(DontWrapMixin, InvalidInput):
    """A value cannot be stored."""

    def __init__(self, column: str, fault: str) -> None:
        """`fault` never has the value in it: it is logged, and shown to whoever asks."""
        super().__init__(f"{column or 'A value'}: {fault}.", field=column or None)


class _Checked(TypeDecorator[Any]):
    name = ""  # of the column; see `name_columns`

    def refuse(self, fault: str) -> Unstorable:
        return Unstorable(self.name, fault)


def findable(text: Any) -> str:
    """A text to look for; for one that cannot be stored, one that stands nowhere."""
    if not isinstance(text, str):
        raise Unstorable("", f"a text is looked for, not {type(text).__name__}")
    return text if is_sound(text) else NOWHERE


class _LookedUp(TypeDecorator[Any]):
    """A text that is compared with a column: what cannot be stored there is equal to nothing.

    So who asks for a name that cannot be finds nothing, and one such name among many costs the
    others nothing.
    """

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else findable(value)


class Words(_Checked):
    """Text of so many characters at most."""

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
    """Text of a column without a length; `length` is where it ends all the same."""

    impl = Text
    cache_ok = True

    def __init__(self, length: int) -> None:
        TypeDecorator.__init__(self)
        self.length = length


class Whole(_Checked):
    """A whole number of 32 bits."""

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
    """A whole number of 64 bits."""

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
    """What cannot be stored is left out, so that it does not keep others from being written."""
    try:
        yield
    except Unstorable as error:
        log.warning("%s cannot be stored: %s", what, error.detail)


def name_columns(metadata: MetaData) -> None:
    """Tell the types which columns they are of, for what they say when they refuse."""
    for table in metadata.tables.values():
        for column in table.columns:
            if isinstance(column.type, _Checked):
                column.type.name = column.name


def _is_value(other: Any) -> bool:
    """What is bound, not another column."""
    return isinstance(other, BindParameter) or not isinstance(other, ClauseElement)
