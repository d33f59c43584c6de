"""Routes with strict parsing of bodies: JSON by `parse_json` into `Strict` models, and forms.

FastAPI reads a body before it calls dependencies, and converts unknown exceptions to a 400 of its
own. So the gateway's errors are passed through it as the cause of an HTTPException.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, get_args, get_type_hints

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.params import Form
from fastapi.routing import APIRoute
from fastapi.utils import create_model_field
from starlette.requests import ClientDisconnect
from starlette.types import Scope
from typing_extensions import is_typeddict

from app.api.bodies import by_size, read_body, read_model
from app.api.multipart import FormRequest
from app.api.plain_requests import reading_plainly
from app.api.requests import Strict
from app.errors import GatewayError
from app.limits.json_types import Json
from app.workflows.json_text import is_blank

_OURS = (GatewayError, RequestValidationError, ClientDisconnect)
_WITHOUT_BODY = {"GET", "HEAD", "DELETE"}
_JSON = (b"content-type", b"application/json")


class StrictRoute(APIRoute):
    """A route with a form, a `Strict` model, or no body.

    JSON is accepted with any Content-Type, as `curl -d` sends that of a form.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        status_code: int | None = None,
        responses: dict[int | str, dict[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        answer = get_type_hints(endpoint).get("return")
        self._shown = next(filter(is_typeddict, get_args(answer) or (answer,)), None)
        if self._shown is not None:
            # mypy checks the type; FastAPI would validate and copy each answer.
            options["response_model"] = Json
            responses = {status_code or 200: {}, **(responses or {})}
        super().__init__(path, endpoint, status_code=status_code, responses=responses, **options)
        self.app = reading_plainly(endpoint, self.app)

    def show_answer(self) -> None:
        """Add the type of the answer to what OpenAPI tells of the route.

        Nothing else needs it, and to make it ready for all routes takes a tenth of a start.
        """
        code = self.status_code or 200
        if self._shown is not None and code not in self.response_fields:
            self.response_fields[code] = create_model_field(
                f"Response_{code}_{self.unique_id}", self._shown, mode="serialization"
            )

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle, model = super().get_route_handler(), self._model()
        if not self.methods or self.methods <= _WITHOUT_BODY:
            return handle
        is_optional = self.body_field is not None and not self.body_field.field_info.is_required()

        async def handler(request: Request) -> Response:
            if model is None:
                strict: Request = FormRequest(request.scope, request.receive)
            else:
                strict = JsonRequest(request, model, is_optional)
            try:
                return await handle(strict)
            except HTTPException as error:
                if isinstance(error.__cause__, _OURS):
                    raise error.__cause__ from None
                raise
            finally:
                await strict.close()  # the files of a form

        return handler

    def _model(self) -> type[Strict] | None:
        """Return the model of a JSON body. Raises TypeError unless it is a subclass of Strict."""
        if self.body_field is None or isinstance(self.body_field.field_info, Form):
            return None
        model = self.body_field.field_info.annotation
        if not isinstance(model, type) or not issubclass(model, Strict):
            raise TypeError(f"{self.path}: {model} as a body is no subclass of Strict")
        return model


class JsonRequest(Request):
    """A request with a JSON body of `model`; if it is optional a blank body counts as none."""

    def __init__(self, request: Request, model: type[Strict], is_optional: bool) -> None:
        super().__init__(_as_json(request.scope), request.receive)
        self._model = model
        self._is_optional = is_optional

    async def body(self) -> bytes:
        """Read the body. Raises HTTPException, caused by PayloadTooLarge or TooManyBodies."""
        with _through_fastapi():
            body = await read_body(self)
            if self._is_optional:
                return b"" if is_blank(body) else body
            return body or b" "  # FastAPI treats b"" as a missing body

    async def json(self) -> Any:
        """Return the validated model. Raises HTTPException, caused by the parser's error."""
        with _through_fastapi():
            return await by_size(self, partial(read_model, self._model), await read_body(self))


def _as_json(scope: Scope) -> Scope:
    headers = [pair for pair in scope["headers"] if pair[0] != b"content-type"]
    return {**scope, "headers": [*headers, _JSON]}


@contextmanager
def _through_fastapi() -> Iterator[None]:
    try:
        yield
    except _OURS as error:
        raise HTTPException(400) from error
