"""Creation of file stores from URLs."""

from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from app.errors import InvalidInput
from app.files.stores.local import LocalStore
from app.files.stores.store import FileStore

BUCKET_SCHEMES = ("s3", "gs", "az")
_FORMS = "Write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///FOLDER."


def parse_files_url(url: str) -> str:
    """Return the URL of a store if it is valid. Raises InvalidInput.

    URLs with credentials are refused, as settings are displayed; they belong in the environment.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        if not parts.path.startswith("/") or parts.netloc:
            raise InvalidInput("A file:// URL needs three slashes.", hint=_FORMS)
    elif parts.scheme not in BUCKET_SCHEMES or not parts.netloc:
        raise InvalidInput("This is not the URL of a file store.", hint=_FORMS)
    elif "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidInput(
            "The URL of a file store holds no credentials or options.",
            hint="Set them in the environment, such as AWS_ACCESS_KEY_ID.",
        )
    elif find_spec("obstore") is None:
        raise InvalidInput("Buckets need the package obstore.", hint="pip install obstore")
    return url


def open_store(url: str, folder: Path) -> FileStore:
    """Open the store of a URL accepted by `parse_files_url`, or `folder` if the URL is empty."""
    if urlsplit(url).scheme not in BUCKET_SCHEMES:
        return LocalStore(_folder(url) if url else folder)
    from app.files.stores.bucket import BucketStore  # obstore is optional

    return BucketStore(url)


def open_uploads(url: str, folder: Path) -> FileStore:
    """Open the store of uploads: next to the results if these are in a bucket, else in `folder`."""
    if urlsplit(url).scheme in BUCKET_SCHEMES:
        return open_store(f"{url.rstrip('/')}/uploads", folder)
    return LocalStore(folder)


def local_folders(url: str, outputs: Path, uploads: Path) -> dict[str, Path]:
    """Return the folders that `open_store` and `open_uploads` use, by the setting of each."""
    if urlsplit(url).scheme in BUCKET_SCHEMES:
        return {}
    results = {"FILES_URL": _folder(url)} if url else {"OUTPUTS_DIR": outputs}
    return {**results, "UPLOADS_DIR": uploads}


def _folder(url: str) -> Path:
    return Path(url2pathname(urlsplit(url).path))
