"""What the gateway answers otherwise than one ComfyUI, and why."""

from scripts.native_comparison.differences import Wanted

_ERROR = "An error has a body in ComfyUI's form, where ComfyUI answers an empty one or a plain 500."
_OTHERS = "The newest ComfyUI's words for what is refused, whichever server would get it."
_JOBS = "The routes of jobs are there over an older ComfyUI as well, which has none (404, or 405)."
_WORSE = r"headers\.content-type|body|body\.(bytes|sha256|error|node_errors)|body\.error\..*|status"

WANTED: list[Wanted] = [
    Wanted(
        r"GET (/api)?/system_stats",
        r"body\.system\.argv",
        "How a server was started is nobody's business: it has paths.",
    ),
    Wanted(
        r"GET /object_info.*|object_info: .*",
        r"body\.LoadImage\w*\.input\.required\.image\[0\].*",
        "The choices are the caller's own uploads, not what lies in a server's folder.",
    ),
    Wanted(
        r"GET /features|socket: .*, new client|socket: second of two",
        r".*\.(max_upload_size|assets)",
        "Uploads go to the gateway, whose limit holds; it has no assets of ComfyUI's kind.",
    ),
    Wanted(
        r"GET (/api)?/noth.*|view: range .*",
        r"headers\..*|body|body\..*",
        "An answer without a body names no type; the rest of its head is the file's.",
    ),
    Wanted(
        r"(DELETE|PUT|POST) /\w+",
        r"headers\.allow",
        "As ComfyUI itself; the stand-in does not tell which methods there are.",
    ),
    Wanted(r"(upload|view): .*", _WORSE, _ERROR),
    Wanted(r"refused: (a list|null|prompt null|no JSON|nothing)", _WORSE, _ERROR),
    Wanted(r"queue: no JSON|GET /history\?max_items=abc", _WORSE, _ERROR),
    Wanted(
        r"refused: (unknown class|no class_type)",
        r"body\.error\.(type|message|extra_info\..*)",
        _OTHERS,
    ),
    Wanted(r"refused: a loop", r"body\.node_errors\.\d", _OTHERS),
    Wanted(
        r"refused: .*|prompt: one of two outputs is wrong",
        r"body\.node_errors\..*\.extra_info\.traceback.*",
        "No server has looked at the prompt yet, so there is no traceback of one.",
    ),
    Wanted(
        r"prompt_id: .*",
        r"status",
        "An id must be a UUID, as of 0.33; older ones take anything.",
    ),
    Wanted(
        r".*",
        r"body\.(.*\.prompt|queue_\w+\[\d\])\[3\]\.create_time",
        "The time of the POST is told over older servers as well.",
    ),
    Wanted(
        r"history: (own id|one of two.*|extra_data|the same again|all)|GET /history\?.*|jobs: .*"
        r"|history: after it|view: .*|socket: the same again",
        r".*(\.filename|\.nodes(\[\d+\])?|content-disposition)",
        "What ComfyUI's cache holds is another matter: results are made anew where something else "
        "goes into the file, and ids that an older server takes are refused before they run.",
    ),
    Wanted(
        r"history: (one of two|all|after it)|GET /history\?.*",
        r"body\.[^.]*\.(outputs|meta)\.3",
        "The same: 0.3.64 tells outputs that it has in its cache though nobody wants them.",
    ),
    Wanted(
        r"queue: history of one that was deleted",
        r"body\.<id>",
        "What was taken out of the queue is in the history as interrupted; ComfyUI forgets it.",
    ),
    Wanted(r"jobs: .*", r"status", _JOBS),
    Wanted(r"jobs: unknown", r"body\..*|headers\..*", _JOBS),
]
