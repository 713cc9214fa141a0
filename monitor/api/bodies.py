"""Reading a request's body: as JSON, of the shape expected, within the limit, in time."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from monitor.api.problems import Problem, invalid

BODY_SECONDS = 30.0  # for the whole body: who is slower holds a connection for nothing

Model = TypeVar("Model", bound=BaseModel)


async def read(request: Request, model: type[Model], *, limit: int) -> Model:
    """Return the body as the model. Raise Problem 408, 413, 415 or 422.

    The limit holds while the body comes in, so that no more than `limit` bytes are ever kept. JSON is read by a
    parser that bounds the nesting.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise Problem(415, f"found {media or 'nothing'!r}; expected application/json", where="Content-Type")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "a compressed body is not read; send it as it is", where="Content-Encoding")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _collect(request, limit)
    except TimeoutError as error:
        raise Problem(408, f"the body did not arrive within {BODY_SECONDS:.0f} s") from error
    try:
        return model.model_validate(from_json(body, allow_inf_nan=False))
    except ValidationError as error:
        raise invalid(error) from error
    except ValueError as error:
        raise Problem(422, f"the body is not valid JSON: {error}", where="body") from error


async def _collect(request: Request, limit: int) -> bytearray:
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > limit:
            raise _too_large(limit)
        body += chunk
    return body


def _too_large(limit: int) -> Problem:
    return Problem(413, f"the body is larger than {limit} bytes (api.max_body): send less at once", where="body")
