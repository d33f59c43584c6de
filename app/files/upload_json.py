"""The JSON of an upload. Pure."""

from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import Field
from typing_extensions import TypedDict

from app.files.uploads import Upload


class UploadJson(TypedDict):
    name: Annotated[
        str,
        Field(description="Use this as the value of an input; with a subfolder, `subfolder/name`."),
    ]
    filename: str
    subfolder: str
    type: Literal["input"]
    kind: Annotated[str, Field(description="By its bytes and name.")]
    content_type: str
    size_bytes: int
    hash: str
    url: Annotated[str, Field(description="Where the gateway has it.")]


def upload_json(upload: Upload, base_path: str) -> UploadJson:
    """Return the JSON; `base_path` comes before the path of its URL."""
    subfolder, _, name = upload.name.rpartition("/")
    below = f"&subfolder={quote(subfolder, safe='')}" if subfolder else ""
    return {
        "name": name,
        "filename": name,
        "subfolder": subfolder,
        "type": "input",
        "kind": upload.kind,
        "content_type": upload.content_type,
        "size_bytes": upload.size_bytes,
        "hash": upload.hash,
        "url": f"{base_path}/api/image/{quote(name, safe='')}?type=input{below}",
    }
