"""Texts shared by prompts, each stored once: graphs of batches, and extra data.

A text is deleted in the transaction that deletes the last prompt that refers to it. Its id is a
hash of its content: a transaction that adds such a prompt, or checks for prompts, holds the text's
row to its end.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Column, Connection, delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite

from app.db.engine.list_parameters import MAX_LIST_ROWS, any_of
from app.db.engine.statement import Statement


class SharedTexts:
    """The table of `id_` and `text`; `reference` is the column of prompts that refers to an id."""

    def __init__(self, id_: Column[str], text: Column[str], reference: Column[str]) -> None:
        self._id, self._text, self._table = id_, text, id_.table
        is_shared = exists().where(reference == id_)
        these = any_of(id_, "ids")
        self._keep = {
            # Has a single writer, so that nothing need be locked
            "sqlite": Statement(sqlite.insert(self._table).on_conflict_do_nothing()),
            "postgresql": Statement(
                postgresql.insert(self._table).on_conflict_do_update(
                    index_elements=[id_], set_={id_.name: id_}
                )
            ),
        }
        self._read = Statement(select(id_, text).where(these))
        self._lock = select(id_).where(these).order_by(id_).with_for_update()
        # After the lock, in a second statement, which sees what others added before it.
        self._drop = delete(self._table).where(these, ~is_shared)
        self._unused = (
            select(id_).where(~is_shared).limit(MAX_LIST_ROWS).with_for_update(skip_locked=True)
        )

    def keep(self, connection: Connection, texts: Mapping[str, str]) -> None:
        """Insert the texts, or lock existing ones against deletion until the end of the
        transaction."""
        for id_ in sorted(texts):
            row = {self._id.name: id_, self._text.name: texts[id_]}
            self._keep[connection.dialect.name].count(connection, row)

    def read(self, connection: Connection, ids: Collection[str]) -> dict[str, Any]:
        """Return the parsed texts by id."""
        if not ids:
            return {}
        found = self._read.rows(connection, {"ids": sorted(ids)})
        return {id_: json.loads(text) for id_, text in found}

    def drop(self, connection: Connection, ids: Collection[str]) -> None:
        """Delete those of the texts that no prompt refers to."""
        if ids:
            these = {"ids": sorted(ids)}
            connection.execute(self._lock, these)
            connection.execute(self._drop, these)

    def forget_unused(self, connection: Connection) -> int:
        """Delete some texts without prompts, left by older gateways that delete tasks without them.

        Returns MAX_LIST_ROWS if there may be more.
        """
        found = list(connection.scalars(self._unused))
        self.drop(connection, found)
        return len(found)
