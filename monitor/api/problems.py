"""Every error answer has one shape, and says what was found, where, and what is expected."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from monitor.api.services import Conflict, Missing, Unusable
from monitor.errors import Busy, NewsquakeError

EXPECTED: Mapping[type[Exception], int] = {Missing: 404, Conflict: 409, Unusable: 422}
SHOWN = 80  # characters of a wrong value that a message repeats


class Problem(HTTPException):
    """An error to answer with; `where` is the place in the request that is wrong."""

    def __init__(
        self, status: int, message: str, *, where: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, message, dict(headers) if headers else None)
        self.where = where


def answer(
    status: int, message: str, where: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the error as the response all errors are: `{"error": {"status", "message", "where"?}}`."""
    error: dict[str, Any] = {"status": status, "message": message}
    if where is not None:
        error["where"] = where
    return JSONResponse({"error": error}, status_code=status, headers=headers)


def invalid(error: ValidationError | RequestValidationError) -> Problem:
    """Return what is wrong with a request, by the first place that is."""
    errors: Sequence[Any] = error.errors()
    first = errors[0]
    steps = first["loc"][1:] if isinstance(error, RequestValidationError) else first["loc"]
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".") or "body"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return Problem(422, f"{where}: missing", where=where)
    found = _shown(first["input"])
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Problem(422, f"{where}: found {found}; {message[0].lower()}{message[1:]}{more}", where=where)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "an array"
    text = json.dumps(value[: SHOWN + 1] if isinstance(value, str) else value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def install(app: FastAPI) -> None:
    """Let the app answer every expected error in the one shape. The unexpected are the guard's."""

    async def on_http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        message = error.detail or HTTPStatus(error.status_code).phrase
        return answer(error.status_code, message, getattr(error, "where", None), error.headers)

    async def on_invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return await on_http(request, invalid(error))

    async def on_expected(_: Request, error: Exception) -> JSONResponse:
        if isinstance(error, Busy):
            return answer(429, str(error), headers={"Retry-After": str(max(1, math.ceil(error.retry_after)))})
        return answer(EXPECTED.get(type(error), 503), str(error))

    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(NewsquakeError, on_expected)
