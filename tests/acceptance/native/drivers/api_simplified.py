"""comfy_api_simplified: it opens its socket after it has posted, and knows Basic."""

from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper
from job import Json, main


def run(job: Json) -> bytes:
    account = ("any", job["key"]) if job["key"] else ()
    api = ComfyApiWrapper(job["url"], *account)
    found = api.queue_and_wait_images(ComfyWorkflowWrapper(job["graph"]), "Save Image")
    (picture,) = found.values()
    return bytes(picture)


if __name__ == "__main__":
    main(run)
