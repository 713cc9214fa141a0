"""The routes that take something: articles at the push door, a text to judge, and what the desk says of an incident."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from monitor.api import bodies, models, views
from monitor.api.auth import caller, needs
from monitor.api.problems import Problem
from monitor.api.routes import CLOSED, PROBLEM, Given, IncidentPath, Told, Word
from monitor.api.services import Services, Submit
from monitor.reading import Scope
from monitor.types import Acknowledgement, ArticleId, EntityId, IncidentId, SourceId, Verdict

writing = APIRouter(prefix="/api/v1", responses={**PROBLEM, **CLOSED}, dependencies=[needs(Scope.WRITE)])

# The bodies are read by hand, with limits; what they look like is told here.
BODIES = (models.Push, models.ScoreRequest, models.AckRequest, models.VerdictRequest)
LOCAL = "local"  # who speaks, where nobody says who he is


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


NO_INCIDENT: Told = {404: {"model": models.ErrorAnswer, "description": "There is no such incident."}}
OVER: Told = {409: {"model": models.ErrorAnswer, "description": "The incident is resolved."}}


@writing.post(
    "/incidents/{incident_id}/ack",
    tags=["incidents"],
    responses={**TAKING, **NO_INCIDENT, **OVER},
    openapi_extra=_body(models.AckRequest),
)
async def acknowledge(request: Request, services: Given, incident_id: IncidentPath) -> models.Incident:
    """Say that somebody looks into an open incident. Said again, it changes nothing: the first who said so stays.

    The incident stays open, is told again only if its severity rises, and is resolved as any other.
    """
    body = await bodies.read(request, models.AckRequest, limit=request.app.state.max_body)
    note = Acknowledgement(at=services.clock.now(), by=body.by or caller(request) or LOCAL, note=body.note)
    return views.incident(await services.acknowledge(IncidentId(incident_id), note))


@writing.post(
    "/incidents/{incident_id}/verdict",
    tags=["incidents"],
    responses={**TAKING, **NO_INCIDENT},
    openapi_extra=_body(models.VerdictRequest),
)
async def judge(request: Request, services: Given, incident_id: IncidentPath) -> models.Verdict:
    """Say whether an incident, open or resolved, or one article in it was right. Kept beside what was said before.

    Verdicts are labelled data: `newsquake trainer retrain` learns from them.
    """
    body = await bodies.read(request, models.VerdictRequest, limit=request.app.state.max_body)
    verdict = Verdict(
        incident=IncidentId(incident_id),
        ruling=body.verdict,
        article=None if body.article is None else ArticleId(body.article),
        entity=None if body.entity is None else EntityId(body.entity),
        sentiment=body.sentiment,
        note=body.note,
        by=body.by or caller(request) or LOCAL,
        at=services.clock.now(),
    )
    await services.judge(verdict)
    return views.verdict(verdict)
