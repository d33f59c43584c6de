"""SQL of assets: records of uploads, results by asset id, and which tasks still need them."""

import json
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    insert,
    or_,
    select,
    update,
)

from app.auth.model import Caller
from app.db.queries import is_active
from app.db.tables import assets, graphs, outputs, prompts, tasks
from app.tasks.asset import TEXT_TYPE, Asset, encoded, text_hash, text_name

_FIELDS = (
    *("asset_id", "hash", "size_bytes", "content_type", "file_path", "created_at"),
    *("expires_at", "upload"),
)


def get(connection: Connection, asset_id: str, kept: float | None, caller: Caller) -> Asset | None:
    """Return an unexpired upload or a result that the caller may see, or None.

    `kept`: seconds for which results are kept.
    """
    found = _upload(connection, asset_id) or _result(connection, asset_id, kept)
    return found if found and _is_seen(found, caller) else None


def _upload(connection: Connection, asset_id: str) -> Asset | None:
    query = select(assets).where(assets.c.asset_id == asset_id, _alive())
    return next(iter(_uploads(connection, query)), None)


def _uploads(connection: Connection, query: Select[Any]) -> list[Asset]:
    rows = connection.execute(query).mappings()
    return [Asset(**{name: row[name] for name in _FIELDS}, owner=row["key_name"]) for row in rows]


def _is_seen(asset: Asset, caller: Caller) -> bool:
    return caller.is_unrestricted or asset.owner == caller.visible_owner


def by_hash(connection: Connection, hash: str, caller: Caller) -> list[Asset]:
    """Return all uploads and results with this hash that the caller may see."""
    query = select(assets).where(assets.c.hash == hash, _alive()).order_by(assets.c.created_at)
    found = _uploads(connection, query)
    ids = select(outputs.c.asset_id).where(outputs.c.hash == hash, outputs.c.key.is_not(None))
    results = [_result(connection, str(asset_id), None) for asset_id in connection.scalars(ids)]
    return [asset for asset in (*found, *results) if asset and _is_seen(asset, caller)]


def add(connection: Connection, asset: Asset, tags: Sequence[str] = ()) -> None:
    row = {name: getattr(asset, name) for name in _FIELDS} | {"key_name": asset.owner}
    connection.execute(insert(assets), {**row, "tags": json.dumps(list(tags))})


def extend(connection: Connection, asset_id: str, expires_at: float | None) -> None:
    change = update(assets).where(assets.c.asset_id == asset_id)
    connection.execute(change.values(expires_at=expires_at))


def remove(connection: Connection, asset: Asset) -> bool:
    """Delete the record; return True if no other record refers to its file."""
    connection.execute(delete(assets).where(assets.c.asset_id == asset.asset_id))
    others = select(assets.c.asset_id).where(
        assets.c.upload == asset.upload, assets.c.key_name.is_not_distinct_from(asset.owner)
    )
    return connection.scalar(others.limit(1)) is None


def is_needed(connection: Connection, asset: Asset) -> bool:
    """Return whether an unfinished task refers to the asset, by id or by file name."""
    named = [
        column.contains(text, autoescape=True)
        for text in (asset.asset_id, json.dumps(asset.upload))
        for column in (prompts.c.prompt, prompts.c.changes, graphs.c.prompt)
    ]
    query = (
        select(tasks.c.task_id)
        .join(prompts, prompts.c.task_id == tasks.c.task_id)
        .outerjoin(graphs, graphs.c.graph_id == prompts.c.graph_id)
        .where(is_active(), or_(*named))
        .limit(1)
    )
    if asset.owner is not None:  # other owners may have files of the same name
        query = query.where(tasks.c.key_name == asset.owner)
    return connection.scalar(query) is not None


def of_other_bytes(connection: Connection, upload: str, hash: str) -> list[Asset]:
    """Return the uploads of that name, of any owner, with another hash."""
    query = select(assets).where(assets.c.upload == upload, assets.c.hash != hash)
    return _uploads(connection, query)


def upload_names(
    connection: Connection, owner: str | None, *, of_all: bool, most: int
) -> list[tuple[str, str]]:
    """Return names and content types of the newest uploads of an API key; `of_all`: of anyone."""
    query = select(assets.c.upload, assets.c.content_type).where(_alive())
    if not of_all:
        query = query.where(assets.c.key_name.is_not_distinct_from(owner))
    query = query.order_by(assets.c.created_at.desc()).limit(most)
    return list(dict(tuple(row) for row in connection.execute(query)).items())


def expired(connection: Connection) -> list[Asset]:
    query = select(assets).where(assets.c.expires_at <= time.time()).limit(500)
    return _uploads(connection, query)


def _alive() -> ColumnElement[bool]:
    return or_(assets.c.expires_at.is_(None), assets.c.expires_at > time.time())


def _result(connection: Connection, asset_id: str, kept: float | None) -> Asset | None:
    there = or_(outputs.c.key.is_not(None), outputs.c.text.is_not(None))
    query = (
        select(outputs, tasks.c.finished_at, tasks.c.key_name)
        .join(tasks, tasks.c.task_id == outputs.c.task_id)
        .where(and_(outputs.c.asset_id == asset_id, there))
    )
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    text = row["text"]
    is_text = text is not None
    return Asset(
        asset_id=asset_id,
        hash=text_hash(text) if is_text else row["hash"],
        size_bytes=len(encoded(text)) if is_text else row["size_bytes"],
        content_type=TEXT_TYPE if is_text else row["content_type"],
        file_path=text_name(row["node_id"]) if is_text else row["filename"],
        created_at=row["created_at"],
        expires_at=None if kept is None else (row["finished_at"] or time.time()) + kept,
        job_id=row["task_id"],
        key=row["key"],
        text=text,
        owner=row["key_name"],
    )
