"""The read routes. Each asks the services, and shows what they say; `writing.py` has those that take something."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from prometheus_client.exposition import choose_encoder

from monitor.api import models, views
from monitor.api.auth import needs
from monitor.api.paging import (
    LARGEST_PAGE,
    PAGE,
    Moment,
    Step,
    cursor_of,
    cursor_of_place,
    mark_of,
    place_of,
)
from monitor.api.problems import Problem
from monitor.api.services import Check, Services
from monitor.core.keys import group_of
from monitor.reading import ArticleFilter, IncidentFilter, Scope
from monitor.types import (
    BUCKET,
    EPOCH,
    ArticleId,
    IncidentId,
    IncidentKind,
    IncidentState,
    Key,
    Language,
    ModelId,
    Severity,
    SourceId,
)

DAY = timedelta(days=1)
MAX_POINTS = 3000

Told = dict[int | str, dict[str, Any]]
PROBLEM: Told = {"default": {"model": models.ErrorAnswer, "description": "An error, in the one shape all errors have."}}
CLOSED: Told = {
    401: {
        "model": models.ErrorAnswer,
        "description": "No good token.",
        "headers": {"WWW-Authenticate": {"description": "`Bearer`.", "schema": {"type": "string"}}},
    },
    403: {"model": models.ErrorAnswer, "description": "The token lacks the scope, or another site is calling."},
}


def services_of(request: Request) -> Services:
    """Return what `create_app` was given."""
    services: Services = request.app.state.services
    return services


Given = Annotated[Services, Depends(services_of)]
SOME = r"^[^\x00]+$"  # no database searches for NUL
Word = Annotated[str | None, Query(max_length=200, pattern=SOME)]
SourceQuery = Annotated[Word, Query(description="The id of a source.")]
KeyQuery = Annotated[Word, Query(description="A key, such as `entity:acme`.")]
Since = Annotated[Moment | None, Query(description="From this moment on (ISO 8601 with an offset).")]
Until = Annotated[Moment | None, Query(description="Up to this moment, which itself does not belong to it.")]
Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="Rows on one page.")]
Cursor = Annotated[str | None, Query(max_length=400, description="What the last page gave as `next`.")]
IncidentPath = Annotated[str, Path(pattern=SOME, max_length=64, description="The incident's id.")]
KeyPath = Annotated[str, Path(description="The key, such as `entity:acme`; it may hold slashes.", pattern=SOME)]

health = APIRouter(tags=["health"])
reading = APIRouter(prefix="/api/v1", responses={**PROBLEM, **CLOSED}, dependencies=[needs(Scope.READ)])


@health.head("/healthz", include_in_schema=False)
@health.get("/healthz", responses={503: {"model": models.Health, "description": "The process should be restarted."}})
async def healthz(services: Given, response: Response) -> models.Health:
    """Say whether the process is alive: if not, restarting it is what helps."""
    return _health(services.alive(), response)


@health.head("/readyz", include_in_schema=False)
@health.get("/readyz", responses={503: {"model": models.Health, "description": "Not ready; the checks say why."}})
async def readyz(services: Given, response: Response) -> models.Health:
    """Say whether the daemon does its work: model, store and sources as their last real use found them."""
    return _health(services.ready(), response)


def _health(checks: Sequence[Check], response: Response) -> models.Health:
    well = all(check.ok for check in checks)
    response.status_code = 200 if well else 503
    return models.Health(
        status="ok" if well else "unavailable",
        checks=[models.CheckResult(name=each.name, ok=each.ok, detail=each.detail) for each in checks],
    )


@health.get(
    "/metrics",
    response_class=Response,
    dependencies=[needs(Scope.READ)],
    responses={**CLOSED, 200: {"description": "Prometheus or OpenMetrics text.", "content": {"text/plain": {}}}},
)
async def metrics(request: Request, services: Given) -> Response:
    """Return the metrics, as docs/metrics.md lists them."""
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(services.telemetry.registry), headers={"content-type": content_type})


@reading.get("/articles", tags=["articles"])
async def articles(
    *,
    services: Given,
    source: SourceQuery = None,
    key: KeyQuery = None,
    language: Annotated[Word, Query(description="ISO 639-1, such as `en` or `zh`.")] = None,
    q: Annotated[Word, Query(description="A part of the title.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> models.ArticlePage:
    """Return the stored articles, the last received first; `since` and `until` bound the time of receipt."""
    wanted = ArticleFilter(
        source=None if source is None else SourceId(source),
        key=None if key is None else Key(key),
        language=None if language is None else Language(language),
        title=q,
        since=since,
        until=until,
    )
    rows = await services.reader.articles(wanted, before=mark_of(cursor), limit=limit + 1)
    more = cursor_of((rows[limit - 1].received, rows[limit - 1].id)) if len(rows) > limit else None
    return models.ArticlePage(articles=[views.summary(row) for row in rows[:limit]], next=more)


@reading.get("/articles/{article_id}", tags=["articles"])
async def article(
    services: Given,
    article_id: Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="32 hexadecimal digits.")],
) -> models.ArticleDetail:
    """Return one article in full, with what it means for each key."""
    row = await services.reader.article(ArticleId(article_id))
    if row is None:
        raise Problem(404, f"there is no article {article_id}", where="article_id")
    return views.detail(row, await services.reader.judgements(row.id))


@reading.get("/keys", tags=["keys"])
async def keys(
    *,
    services: Given,
    state: Annotated[models.KeyState | None, Query(description="Where its needle stands.")] = None,
    group: Annotated[str | None, Query(description="`entity`, `topic`, `source`, `all` or a combination.")] = None,
    q: Annotated[Word, Query(description="A part of the key, or of a name of its company.")] = None,
    order: Annotated[
        models.KeyOrder,
        Query(description="`mood`: what surges, is blind or still learns comes first, then the most negative."),
    ] = "name",
    limit: Limit = LARGEST_PAGE,
    cursor: Cursor = None,
) -> models.KeyPage:
    """Return every key that is watched or had news in the last 24 hours, with where its needle stands."""
    now = services.clock.now()
    live = services.live()
    day = await services.reader.sums(_floor(now - DAY, BUCKET), now + BUCKET, step=DAY, key=None)
    found = [
        each
        for each in views.standings(live, day)
        if state in (None, each.state)
        and group in (None, group_of(each.key))
        and (q is None or _named(q, each.key, services))
    ]
    if order == "mood":
        mark = None if cursor is None else place_of(cursor)
        found = sorted(found, key=lambda each: each.place)
        found = [each for each in found if mark is None or each.place > mark]
    else:
        found = [each for each in found if cursor is None or each.key > cursor]
    last = found[limit - 1] if len(found) > limit else None
    return models.KeyPage(
        keys=[views.key_level(each, live, services.names(each.key)) for each in found[:limit]],
        next=None if last is None else cursor_of_place(last.place) if order == "mood" else last.key,
    )


@reading.get("/keys/{key:path}/series", tags=["keys"])
async def series(
    *,
    services: Given,
    key: KeyPath,
    since: Since = None,
    until: Until = None,
    step: Annotated[Step | None, Query(description="A multiple of five minutes, which is the default.")] = None,
    model: Annotated[str | None, Query(description="The model to show; the serving one where it has news.")] = None,
) -> models.Series:
    """Return a key's stories over time, step by step, beside what is normal. The last 24 hours by default."""
    step = step or BUCKET
    end = until or services.clock.now()
    begin = _floor(since or end - DAY, step)
    if end <= begin:
        raise Problem(422, f"since: {begin.isoformat()} does not lie before {end.isoformat()}", where="since")
    if (end - begin) / step > MAX_POINTS:
        raise Problem(
            422, f"step: more than {MAX_POINTS} points; expected a longer step or a shorter span", where="step"
        )
    starts = [begin]
    while starts[-1] + step < end:
        starts.append(starts[-1] + step)
    rollups = await services.reader.sums(begin, starts[-1] + step, step=step, key=Key(key))
    chosen = ModelId(model) if model else views.one_model(rollups, services.live().model)
    return views.series(Key(key), rollups, starts=starts, step=step, model=chosen, normal=services.normal)


@reading.get("/incidents", tags=["incidents"])
async def incidents(
    *,
    services: Given,
    state: Annotated[IncidentState | None, Query(description="Where in its life it is.")] = None,
    kind: Annotated[IncidentKind | None, Query(description="Bad news, or no news where some should be.")] = None,
    key: KeyQuery = None,
    severity: Annotated[Severity | None, Query(description="Just this severity.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> models.IncidentPage:
    """Return the incidents, the last opened first; `since` and `until` bound the time of opening."""
    wanted = IncidentFilter(
        state=state,
        kind=kind,
        key=None if key is None else Key(key),
        severity=severity,
        since=since,
        until=until,
    )
    rows = await services.reader.incidents(wanted, before=mark_of(cursor), limit=limit + 1)
    more = cursor_of((rows[limit - 1].opened, rows[limit - 1].id)) if len(rows) > limit else None
    return models.IncidentPage(incidents=[views.incident(row) for row in rows[:limit]], next=more)


@reading.get("/incidents/{incident_id}", tags=["incidents"])
async def incident(services: Given, incident_id: IncidentPath) -> models.IncidentDetail:
    """Return one incident with its evidence, how telling the targets of it went, and what the desk says of it."""
    reader = services.reader
    found = await reader.incident(IncidentId(incident_id))
    if found is None:
        raise Problem(404, f"there is no incident {incident_id}", where="incident_id")
    return views.incident_detail(found, await reader.dispatches(found.id), await reader.verdicts(found.id))


@reading.get("/sources", tags=["sources"])
async def sources(services: Given) -> models.SourceList:
    """Return every source: what became of its items, how far it has been read, and how it fares now."""
    reader = services.reader
    shown = views.sources(
        services.live(),
        ledgers=await reader.ledgers(),
        dead=await reader.dead_letters(),
        positions=await reader.positions(),
    )
    return models.SourceList(sources=shown)


def _named(part: str, key: Key, services: Services) -> bool:
    return any(part.casefold() in name.casefold() for name in (key, *services.names(key).values()))


def _floor(moment: datetime, step: timedelta) -> datetime:
    return moment - (moment - EPOCH) % step
