"""Translation of OSErrors in the folder of workflows into the gateway's errors. Pure."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import StorageFull, StorageUnavailable
from app.files.stores.atomic import NotRegular, TooLarge
from app.workflows.saved.names import SUFFIX


@contextmanager
def reading() -> Iterator[None]:
    """Raise StorageUnavailable for an OSError while reading.

    NotRegular, TooLarge and a missing workflow file pass through: the caller handles them.
    """
    try:
        yield
    except (NotRegular, TooLarge):
        raise
    except OSError as error:
        if isinstance(error, FileNotFoundError) and str(error.filename).lower().endswith(SUFFIX):
            raise
        raise StorageUnavailable(
            f"The folder of workflows, or a file in it, cannot be read: {error.strerror}.",
            hint="Look at the folder COMFYUI_WORKFLOWS_DIR: it must be there, and may be read.",
        ) from error


@contextmanager
def storing() -> Iterator[None]:
    """Raise StorageFull for an OSError while writing."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or "the folder is locked, or may not be written"  # of a lock
        raise StorageFull(f"The workflow cannot be stored: {reason}.") from error
