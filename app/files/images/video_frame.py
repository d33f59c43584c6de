"""Program that writes the first frame of a video as a PNG. Needs PyAV.

    python video_frame.py VIDEO PNG DEMUXER MAX_PIXELS

DEMUXER is FFmpeg's; it must not be detected, as a playlist would make it read other files. Runs in
a separate process with limits, and therefore imports nothing of the gateway but these.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

MEMORY = 2 << 30  # bytes of address space; the data limit is inherited from decoder.py
SECONDS = 15  # CPU time
UNWRITTEN = 4  # exit code; the errno of the failed write is printed


def available() -> bool:
    """Return whether PyAV is installed."""
    return find_spec("av") is not None


def main(source: str, target: str, demuxer: str, max_pixels: int) -> int:
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    from app.system.process_limits import confine

    confine(cpu_seconds=SECONDS, address_space=MEMORY)
    import av  # after the limits are set

    options = {"protocol_whitelist": "file"}
    with av.open(source, format=demuxer, options=options) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1  # each thread would hold frames of its own
        if stream.width * stream.height > max_pixels:
            return 3
        frame = next(container.decode(stream))
        image = frame.to_image()  # type: ignore[no-untyped-call]
        image = image.rotate(getattr(frame, "rotation", 0), expand=True)
    try:
        image.save(target, compress_level=1)
    except OSError as error:
        if error.errno is None:  # raised by Pillow itself
            raise
        print(error.errno)  # noqa: T201 (its answer)
        return UNWRITTEN
    return 0


if __name__ == "__main__":
    source, target, demuxer, max_pixels = sys.argv[1:]
    sys.exit(main(source, target, demuxer, int(max_pixels)))
