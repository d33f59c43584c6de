"""Every error this program raises on purpose.

GatewayError
├── InvalidRequest            400  the request cannot be read at all
│   ├── InvalidJson           400
│   ├── PayloadTooLarge       413
│   └── HeadTooLarge 431  RequestTimeout 408
├── InvalidWorkflow           422  node_errors
│   ├── WorkflowFormatUnsupported  422
│   ├── InvalidParameter      422
│   └── NotRunnable           422  no server has all that it needs
├── InvalidInput              422  a field has a value we cannot use
├── UrlNotAllowed             422  a URL that we will not ask
├── UrlFailed                 422  a URL that does not answer with its content
├── NotFound                  404
│   ├── TaskNotFound WorkflowNotFound VersionNotFound FileNotFound ServerNotFound BatchNotFound
│   ├── DeliveryNotFound
├── Conflict                  409
│   ├── WorkflowExists  TaskNotFinished  ServerExists  ServerBusy
├── PreconditionFailed        412  If-Match names another version than the present one
├── KeyReused                 422  the Idempotency-Key came with another body
├── QueueFull                 429  Retry-After
├── TooManyConnections 503  TooManyBodies 503  LiveUpdatesUnavailable 503  Stopping 503
├── NoServer                  503  no ComfyUI server can be asked now
├── StorageFull               507
├── NoRoom                    503  the same, told by /api/ready
├── DatabaseUnavailable       503
├── StorageUnavailable        503  the bucket does not answer, or refuses us
├── FileExpired               410  it was removed after its time
├── NotInstalled              501  an optional package is missing
├── Unauthorized 401  Forbidden 403  HostNotAllowed 403  OriginNotAllowed 403
├── RateLimited 429  QuotaExceeded 429  KeyQueueFull 429  ApiKeyGone
├── InvalidCursor 400  InvalidMetadataFilter 400  MetadataInvalid 422    of Comfy API v2
├── MissingAsset 422  AssetNotFound 404  BlobNotFound 404  HashMismatch 409  AssetInUse 409
└── ComfyError                502  ComfyUI's side; raised by app/comfyui only
    ├── ComfyUnreachable      503  no answer: it may or may not have got the request
    │   └── ComfySilent            not in time
    ├── ComfyMissing          404  it answered that it has no such thing
    └── PromptRejected        422  it refused the prompt; node_errors

Each class carries the HTTP `status` and the machine-readable `code`; the first line of its
docstring is the problem's `title` (RFC 9457). app/api/problems.py turns them into responses.
"""

from pathlib import Path
from typing import Any, ClassVar


class BadSettings(ValueError):
    """Settings that cannot be used: one line each, with the setting's name and the remedy."""


class CannotStart(RuntimeError):
    """Why this process cannot start, in one line for its operator; no client is told."""


class GatewayError(Exception):
    """Something went wrong in the gateway."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(self, detail: str, *, hint: str | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.extra = extra  # further members of the problem document, such as node_errors

    @classmethod
    def title(cls) -> str:
        return (cls.__doc__ or cls.__name__).splitlines()[0].rstrip(".")


class InvalidRequest(GatewayError):
    """The request cannot be read."""

    status = 400
    code = "invalid_request"


class InvalidJson(InvalidRequest):
    """The body is not valid JSON."""

    code = "invalid_json"


class PayloadTooLarge(InvalidRequest):
    """The body is too large."""

    status = 413
    code = "payload_too_large"


class InvalidInput(GatewayError):
    """A field has a value that cannot be used."""

    status = 422
    code = "invalid_input"


class UrlNotAllowed(GatewayError):
    """The URL leads to where the gateway does not go."""

    status = 422
    code = "url_not_allowed"


class UrlFailed(GatewayError):
    """The URL cannot be fetched."""

    status = 422
    code = "url_failed"


class InvalidWorkflow(GatewayError):
    """The workflow cannot be run."""

    status = 422
    code = "invalid_workflow"


class WorkflowFormatUnsupported(InvalidWorkflow):
    """The file is not in a workflow format that can be used here."""

    code = "workflow_format"


class InvalidParameter(InvalidWorkflow):
    """A parameter is unknown or has a value that cannot be used."""

    code = "invalid_parameter"


class NotRunnable(InvalidWorkflow):
    """No server has everything that the workflow needs."""

    code = "not_runnable"


class KeyReused(GatewayError):
    """The Idempotency-Key belongs to another request."""

    status = 422
    code = "idempotency_key_reused"


class QueueFull(GatewayError):
    """The queue is full."""

    status = 429
    code = "queue_full"


class NotFound(GatewayError):
    """There is no such thing."""

    status = 404
    code = "not_found"


class TaskNotFound(NotFound):
    """There is no such task."""

    code = "task_not_found"


class WorkflowNotFound(NotFound):
    """There is no such workflow."""

    code = "workflow_not_found"


class VersionNotFound(NotFound):
    """The workflow has no such version."""

    code = "version_not_found"


class FileNotFound(NotFound):
    """There is no such file."""

    code = "file_not_found"


class ServerNotFound(NotFound):
    """There is no such server."""

    code = "server_not_found"


class DeliveryNotFound(NotFound):
    """There is no such delivery."""

    code = "delivery_not_found"


class Conflict(GatewayError):
    """The request does not fit the present state."""

    status = 409
    code = "conflict"


class WorkflowExists(Conflict):
    """A workflow of that name exists already."""

    code = "workflow_exists"


class TaskNotFinished(Conflict):
    """The task is not finished yet."""

    code = "task_not_finished"


class ServerExists(Conflict):
    """The server is in use already."""

    code = "server_exists"


class ServerBusy(Conflict):
    """Tasks run on the server."""

    code = "server_busy"


class BatchNotFound(NotFound):
    """There is no such batch."""

    code = "batch_not_found"


class PreconditionFailed(GatewayError):
    """The workflow has changed meanwhile."""

    status = 412
    code = "workflow_changed"


class NoServer(GatewayError):
    """No ComfyUI server can be asked at the moment."""

    status = 503
    code = "no_server"


class StorageFull(GatewayError):
    """There is no room left to store the file."""

    status = 507
    code = "storage_full"


class NoRoom(GatewayError):
    """Files cannot be stored at the moment."""

    status = 503
    code = "storage_full"


class DatabaseUnavailable(GatewayError):
    """The database cannot be used at the moment."""

    status = 503
    code = "database_unavailable"


class StorageUnavailable(GatewayError):
    """The place where files are kept cannot be used."""

    status = 503
    code = "storage_unavailable"


class FileExpired(GatewayError):
    """The file was removed after its time."""

    status = 410
    code = "expired"


class NotInstalled(GatewayError):
    """This needs an optional package that is not installed."""

    status = 501
    code = "not_installed"


class ComfyError(GatewayError):
    """ComfyUI answered with an error."""

    status = 502
    code = "comfyui_error"
    answered: int | None = None  # the status of a response that was not ComfyUI's own
    retry_after: float | None = None  # seconds; from its Retry-After header


class ComfyUnreachable(ComfyError):
    """ComfyUI does not answer."""

    status = 503
    code = "comfyui_unreachable"


class ComfySilent(ComfyUnreachable):
    """ComfyUI does not answer in time."""


class ComfyMissing(ComfyError):
    """ComfyUI has no such thing."""

    status = 404
    code = "comfyui_not_found"


class PromptRejected(ComfyError):
    """ComfyUI refused the prompt."""

    status = 422
    code = "invalid_workflow"
    class_type: str | None = None  # a node type that ComfyUI reports as missing


class HeadTooLarge(InvalidRequest):
    """The URL and the headers are too large."""

    status = 431
    code = "headers_too_large"


class RequestTimeout(InvalidRequest):
    """The request did not come in time."""

    status = 408
    code = "request_timeout"


class TooManyConnections(GatewayError):
    """There are too many connections."""

    status = 503
    code = "too_many_connections"


class TooManyBodies(GatewayError):
    """Too many large bodies are being worked on."""

    status = 503
    code = "too_many_bodies"


class LiveUpdatesUnavailable(GatewayError):
    """There are no live updates at the moment."""

    status = 503
    code = "live_updates_unavailable"


class Stopping(GatewayError):
    """The gateway is stopping."""

    status = 503
    code = "stopping"


class ApiKeyGone(GatewayError):
    """The API key that the task came with is gone."""

    status = 422
    code = "api_key_gone"


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


class Unauthorized(GatewayError):
    """An API key is needed."""

    status = 401
    code = "unauthorized"


class Forbidden(GatewayError):
    """The API key does not allow this."""

    status = 403
    code = "forbidden"


class HostNotAllowed(Forbidden):
    """The gateway is not known under this name."""

    code = "host_not_allowed"


class OriginNotAllowed(Forbidden):
    """Pages of this origin may not use the gateway."""

    code = "origin_not_allowed"


class RateLimited(GatewayError):
    """The API key was used too often."""

    status = 429
    code = "rate_limited"


class QuotaExceeded(RateLimited):
    """The API key has made as many tasks today as it may."""

    code = "quota_exceeded"


class KeyQueueFull(QueueFull):
    """The API key has as many tasks waiting as it may."""

    code = "key_queue_full"


def reason_for_operators(error: Exception) -> str:
    """Return what is wrong with a setting, without its value, which may be secret."""
    if isinstance(error, UrlNotAllowed):
        return error.detail  # its hint is addressed to API clients
    if isinstance(error, InvalidInput):
        return " ".join(filter(None, [error.detail, error.hint]))
    why = "it is not well-formed"
    if isinstance(error, OSError):
        why = str(error.strerror)
        if isinstance(error, IsADirectoryError | PermissionError):  # there is one, so no secret
            why = f"{why}: {str(Path(error.filename).absolute())!r}"
    return f"This cannot be used: {why}. docs/settings.md tells what it should be."
