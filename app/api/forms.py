"""A submit as multipart/form-data: the workflow, its params, and the files for them."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from app.api.bodies import (
    BodySchema,
    as_envelope,
    by_size,
    chunks_of,
    file_content,
    model_of,
    read_body,
    read_model,
    submission,
    submission_of,
)
from app.api.requests import RunRequest, SubmitRequest
from app.errors import InvalidInput
from app.gateway import Gateway
from app.limits.json_types import Json
from app.limits.quoting import SHORT, cut
from app.services.input_files import FilePart
from app.services.submission_request import Submission
from app.workflows.embedded import extract, is_image
from app.workflows.json_text import is_blank, parse_json

M = TypeVar("M", bound=RunRequest)
Otherwise = Callable[[FormData, int], Json]

# Byte order marks, decoded as Latin-1.
MARKS = ("\xef\xbb\xbf", "\xff\xfe", "\xfe\xff", "\0\0\xfe\xff")
JSON_PARTS = ("request", "workflow", "params")


async def submission_or_form(request: Request) -> Submission:
    """Return a submit in any format; its route closes the files of a form after its answer."""
    if not is_form(request):
        return await submission(request)
    form = await parsed_form(request)
    body = await _read(request, form, SubmitRequest, _workflow)
    return _with_files(await submission_of(body, request), form)


async def run_or_form(request: Request, filename: str) -> Submission:
    """Return a run of a saved workflow; the body may be empty, and a form has no workflow."""
    if not is_form(request):
        return await submission_of(await _run_request(request), request, filename=filename)
    form = await parsed_form(request)
    if "workflow" in form:
        raise InvalidInput("workflow: the saved workflow is run; this part cannot be.")
    body = await _read(request, form, RunRequest, _params)
    return _with_files(await submission_of(body, request, filename=filename), form)


async def _run_request(request: Request) -> RunRequest:
    """Return the body's model; an empty body is a run without changes."""
    body = await read_body(request)
    if is_blank(body):
        return RunRequest()
    return await by_size(request, partial(read_model, RunRequest), body)


def is_form(request: Request) -> bool:
    """Return whether the body is multipart/form-data."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


async def parsed_form(request: Request) -> FormData:
    """Return the form, which is parsed once and cached (see FormRequest)."""
    return await request.form()


async def _read(request: Request, form: FormData, model: type[M], otherwise: Otherwise) -> M:
    """Return the model for the parts `request`, `workflow` and `params`."""
    gateway: Gateway = request.state.gateway
    limit = gateway.settings.max_body_bytes
    return await gateway.workers.run(lambda: model_of(model, _envelope(form, limit, otherwise)))


def _with_files(found: Submission, form: FormData) -> Submission:
    files = {name: _part(name, value) for name, value in _others(form)}
    if clash := next((name for name in files if name in found.params), None):
        raise InvalidInput(
            f"{cut(clash, SHORT)}: it stands in params, and there is a file of that name."
        )
    return replace(found, params={**found.params, **files})


def _envelope(form: FormData, limit: int, otherwise: Otherwise) -> Any:
    """Return the envelope in the part `request`, or what `otherwise` returns for the form."""
    if "request" not in form:
        return otherwise(form, limit)
    if "workflow" in form or "params" in form:
        raise InvalidInput('Send either "request", or "workflow" and "params".')
    return as_envelope(parse_json(_content(form["request"], limit)))


def _workflow(form: FormData, limit: int) -> Json:
    """Return the envelope for the parts `workflow` and `params`."""
    if "workflow" not in form:
        raise InvalidInput(
            "The form has no workflow.",
            hint='Add a part "workflow" (a file), or a part "request" (the JSON of a submit).',
        )
    content = _content(form["workflow"], limit)
    workflow = extract(content) if is_image(content) else parse_json(content)
    return {"workflow": workflow, **_params(form, limit)}


def _params(form: FormData, limit: int) -> Json:
    if "params" not in form:
        return {}
    return {"params": parse_json(_content(form["params"], limit))}


def _others(form: FormData) -> list[tuple[str, UploadFile | str]]:
    return [(name, value) for name, value in form.multi_items() if name not in JSON_PARTS]


def _part(name: str, value: UploadFile | str) -> FilePart:
    if isinstance(value, str):
        raise InvalidInput(
            f"{cut(name, SHORT)}: this part is no file.",
            hint='Values that are no files go into the part "params", as JSON.',
        )
    return FilePart(value.filename or "", chunks_of(value))


def _content(value: UploadFile | str, limit: int) -> bytes:
    return _bytes(value) if isinstance(value, str) else file_content(value, limit)


def _bytes(text: str) -> bytes:
    """Encode a field as it was received: text not in the form's charset was decoded as Latin-1."""
    other = text.startswith(MARKS) or "\0" in text[:4]
    return text.encode("latin-1" if other else "utf-8", "replace")


# What these two read from the body, for OpenAPI.
FORM_OR_BODY = BodySchema(SubmitRequest, or_workflow=True, or_form=True)
FORM_OR_RUN = BodySchema(RunRequest, required=False, or_form=True)
