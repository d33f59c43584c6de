"""pycomfy: results from `executed`, its socket is at the root of the host."""

import io

from job import Json, graph_file, main
from pycomfy import ComfyAPI


def run(job: Json) -> bytes:
    with ComfyAPI(job["url"]) as api:
        (found,) = api.load_workflow(str(graph_file(job))).execute()
    picture = io.BytesIO()
    found.save(picture, "PNG")
    return picture.getvalue()


if __name__ == "__main__":
    main(run)
