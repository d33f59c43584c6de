"""Errors of assets and of Comfy API v2: more of the tree in errors.py.

What v2 calls an error, and with which status, is decided in envelope.py.
"""

from app.errors import Conflict, GatewayError, InvalidInput, InvalidRequest, NotFound


class InvalidCursor(InvalidRequest):
    """The cursor is none that a list gave."""

    code = "invalid_cursor"


class InvalidMetadataFilter(InvalidRequest):
    """The filter of labels cannot be used."""

    code = "invalid_metadata_filter"


class MetadataInvalid(InvalidInput):
    """The labels of the job are beyond their limits."""

    code = "metadata_invalid"


class MissingAsset(GatewayError):
    """The workflow refers to an asset that is not there."""

    status = 422
    code = "missing_asset"


class AssetNotFound(NotFound):
    """There is no such asset."""

    code = "asset_not_found"


class BlobNotFound(NotFound):
    """There are no such bytes."""

    code = "blob_not_found"


class HashMismatch(Conflict):
    """The bytes have another hash than they should."""

    code = "hash_mismatch"


class AssetInUse(Conflict):
    """The asset is still needed."""

    code = "asset_in_use"
