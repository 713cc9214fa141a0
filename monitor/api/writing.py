"""The routes that take something: articles at the push door, and a text to judge."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from monitor.api import bodies, models, views
from monitor.api.problems import Problem
from monitor.api.routes import PROBLEM, Given, Told, Word
from monitor.api.services import Services, Submit
from monitor.types import SourceId

writing = APIRouter(prefix="/api/v1", responses=PROBLEM)

# The bodies are read by hand, with limits; what they look like is told here.
BODIES = (models.Push, models.ScoreRequest)


def _body(model: type[models.Shape]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


TAKING: Told = {
    413: {"model": models.ErrorAnswer, "description": "The body is larger than `api.max_body`."},
    415: {"model": models.ErrorAnswer, "description": "The body is not sent as application/json."},
    422: {
        "model": models.ErrorAnswer,
        "description": "The body is not JSON, or not of this shape; `where` says where.",
    },
    429: {
        "model": models.ErrorAnswer,
        "description": "No room at the moment: nothing was taken.",
        "headers": {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}},
    },
    503: {
        "model": models.ErrorAnswer,
        "description": "Not now: the daemon is starting, stopping or without its store.",
    },
}


@writing.post(
    "/articles",
    tags=["articles"],
    responses={**TAKING, 404: {"model": models.ErrorAnswer, "description": "There is no such push source."}},
    openapi_extra=_body(models.Push),
    response_model_exclude_unset=True,
)
async def push(
    request: Request,
    services: Given,
    source: Annotated[Word, Query(description="The push source, where there are several.")] = None,
) -> models.PushResults:
    """Hand articles over. The answer comes after the commit: what it names is stored and will not be lost.

    An article handed over again is a `duplicate`, so a request that failed or was never answered can be repeated.
    """
    body = await bodies.read(request, models.PushBody, limit=request.app.state.max_body)
    settled = await _door(services, source)(body.articles)
    return models.PushResults(
        results=[
            models.PushResult(article_id=each.article, outcome=each.outcome)
            if each.error is None
            else models.PushResult(article_id=each.article, outcome=each.outcome, error=each.error)
            for each in settled
        ]
    )


def _door(services: Services, source: str | None) -> Submit:
    doors = services.doors
    if not doors:
        raise Problem(404, 'no source takes pushed articles; add a [[source]] with kind = "push"')
    if source is None and len(doors) > 1:
        raise Problem(422, f"source: missing; expected one of {', '.join(sorted(doors))}", where="source")
    name = next(iter(doors)) if source is None else SourceId(source)
    if name not in doors:
        raise Problem(404, f"source: found {name!r}; expected one of {', '.join(sorted(doors))}", where="source")
    return doors[name]


@writing.post("/score", tags=["score"], responses=TAKING, openapi_extra=_body(models.ScoreRequest))
async def score(request: Request, services: Given) -> models.ScoreAnswer:
    """Judge a text with the model that serves. Nothing is stored."""
    body = await bodies.read(request, models.ScoreRequest, limit=request.app.state.max_body)
    return views.assessment(await services.score(body.text, body.entity))
