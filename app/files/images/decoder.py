"""Program that creates one image from untrusted files, with limits.

    python decoder.py JOB SECONDS MEMORY ALLOWED

JOB is JSON, see decoding.py; SECONDS of CPU time and bytes of MEMORY are limits of the process, and
an image that needs more than ALLOWED bytes is not decoded.

Files can make Pillow's readers use any amount of memory and time: thousands of scans, directories
whose entries all refer to the whole file. Here that ends only this process. It prints JSON:
nothing, or an error.
"""

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

LARGEST = 1 << 30  # bytes of a file that is written
# Exit codes: not an image (for a check), an error that is printed, more memory needed.
BROKEN, FAULT, MORE = 5, 3, 4


def main(job: dict[str, Any], seconds: int, memory: int, allowed: int) -> int:
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    from app.system.process_limits import confine

    confine(cpu_seconds=seconds, data=memory, file_bytes=LARGEST)
    from app.errors import GatewayError, InvalidInput  # after the limits are set
    from app.files.images.safety import UNREADABLE, NeedsMore

    try:
        _do(job, allowed)
    except NeedsMore:
        return MORE
    except (GatewayError, *UNREADABLE) as error:
        if _ran_out(error):
            return MORE
        if not isinstance(error, GatewayError):
            if job["work"] == "check":
                return BROKEN
            error = InvalidInput(f"{Path(job['paths'][0]).name!r} cannot be read.")
        about = {"detail": error.detail, "hint": error.hint, "code": error.code}
        print(json.dumps({**about, "extra": error.extra}))  # noqa: T201 (its answer)
        return FAULT
    return 0


def _do(job: dict[str, Any], allowed: int) -> None:
    from app.files.images.jobs import View
    from app.files.images.masks import apply_mask
    from app.files.images.render import make_view
    from app.files.images.safety import TakesTooMuch, open_image

    paths = [Path(text) for text in job["paths"]]
    if job["work"] == "view":
        make_view(paths[0], paths[1], View(**job["view"]), job["content_type"], allowed)
    elif job["work"] == "mask":
        apply_mask(paths[0], paths[1], paths[2], allowed)
    else:
        with suppress(TakesTooMuch):
            open_image(paths[0], allowed).close()


def _ran_out(error: BaseException | None) -> bool:
    """Return whether a lack of memory caused the error."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1]), *map(int, sys.argv[2:])))
