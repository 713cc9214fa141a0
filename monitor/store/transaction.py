"""One atomic change of the database: what `ports.Transaction` promises, as few statements over many rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import islice
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.codec import from_json, to_json
from monitor.ports import Export, Gathered, Judgement, Ledger, Part, Told
from monitor.store import history, models, schema
from monitor.store.rows import evidence_of, gathered_of, told_of
from monitor.store.schema import stored_moment
from monitor.store.server import dumps
from monitor.store.statements import Bulk, Statements
from monitor.types import (
    Article,
    ArticleId,
    DeadLetter,
    EventId,
    Evidence,
    Incident,
    IncidentState,
    Json,
    Key,
    Message,
    ModelId,
    ModelState,
    Position,
    Rollup,
    Signal,
    SourceId,
    StoryId,
    TargetId,
    Timeliness,
    Verdict,
)

CHUNK = 500  # parameters in one statement

Row: TypeAlias = tuple[Any, ...]
Item = TypeVar("Item")


class SqlTransaction:
    """Made by `SqlStore.transaction`; `now` is when it began, by the store's clock."""

    def __init__(self, connection: AsyncConnection, statements: Statements, now: datetime) -> None:
        self._connection = connection
        self._sql = statements
        self._now = now

    async def known(self, ids: Collection[ArticleId]) -> Mapping[ArticleId, str]:
        return await known(self._connection, self._sql, ids)

    async def add_articles(
        self,
        articles: Sequence[Article],
        bands: Sequence[Sequence[int]],
        unjudged: Mapping[ArticleId, int] | None = None,
        gathered: Sequence[Gathered] = (),
    ) -> None:
        left = unjudged or {}
        events = {each.article: (bytes.fromhex(each.event), each.gist) for each in gathered}
        rows: list[Row] = []
        signed: list[Row] = []
        stored = stored_moment(self._now)
        for place, (article, own) in enumerate(zip(articles, bands, strict=True)):
            id_ = bytes.fromhex(article.id)
            rows.append((*_article_row(article, id_, left.get(article.id, 0)), *events.get(article.id, (None, None))))
            # Each article a microsecond after the other: the newest of a crowded band are told from the rest by it.
            signed += [(band, stored + place, id_) for band in set(own)]
        await self._bulk(self._sql.add_articles, rows)
        await self._bulk(self._sql.add_bands, signed)

    async def add_versions(self, articles: Sequence[Article]) -> None:
        rows = [
            {
                "article": article.id,
                "title": article.title,
                "text": article.text,
                "digest": article.digest,
                "received": article.received,
            }
            for article in articles
        ]
        await self._many(self._sql.add_version, rows)

    async def told(self, bands: Collection[int]) -> Sequence[Told]:
        if not bands:
            return []
        rows = await self._connection.execute(self._sql.told, {"numbers": self._sql.numbers(bands)})
        return told_of(rows)

    async def gathered(self, since: datetime) -> Sequence[Gathered]:
        return gathered_of(await self._connection.execute(self._sql.gathered, {"since": since}))

    async def add_judgements(
        self, judgements: Sequence[Judgement], topics: Mapping[ArticleId, Mapping[str, float]]
    ) -> None:
        await self._bulk(self._sql.add_judgements, [_judgement_row(one) for one in judgements])
        found = [(dumps(dict(names)), bytes.fromhex(article)) for article, names in topics.items()]
        await self._bulk(self._sql.set_topics, found)

    async def add_rollups(self, rollups: Sequence[Rollup]) -> None:
        sums: list[Row] = []
        origins: list[Row] = []
        for one in rollups:
            name = (stored_moment(one.bucket), one.key, one.model, one.timeliness is Timeliness.HISTORY)
            sums.append(
                (
                    *name,
                    *(one.stories, one.negative, one.weight, one.sum_negative, one.sum_neutral, one.sum_positive),
                )
            )
            origins += [
                (*name, origin.publisher, origin.source, origin.stories, origin.negative) for origin in one.origins
            ]
        await self._bulk(self._sql.add_rollups, sums)
        await self._bulk(self._sql.add_origins, origins)

    async def evidence(
        self, key: Key, model: ModelId, since: datetime, until: datetime, limit: int
    ) -> Sequence[Evidence]:
        asked = {"key": key, "model": model, "since": since, "until": until, "limit": limit}
        return [evidence_of(row) for row in await self._connection.execute(self._sql.evidence, asked)]

    async def parts(
        self, key: Key, model: ModelId, first: datetime, end: datetime, timeliness: Collection[Timeliness]
    ) -> Sequence[Part]:
        asked = {"key": key, "model": model, "first": first, "end": end, "timeliness": [*timeliness]}
        rows = await self._connection.execute(self._sql.parts, asked)
        return [
            Part(publisher=publisher, event=EventId(event) if event else None, stories=stories, weight=weight)
            for publisher, event, stories, weight in rows
        ]

    async def compared(self, key: Key, model: ModelId, other: ModelId, since: datetime) -> tuple[float, float]:
        asked = {"key": key, "model": model, "other": other, "since": since}
        ours, theirs = (await self._connection.execute(self._sql.compared, asked)).one()
        return ours, theirs

    async def open_incidents(self) -> Sequence[Incident]:
        incidents = schema.incidents.c
        is_open = incidents.state != IncidentState.RESOLVED.value
        rows = await self._connection.scalars(
            select(incidents.value).where(is_open).order_by(incidents.opened, incidents.id)
        )
        return [from_json(Incident, row) for row in rows]

    async def save_signals(self, signals: Sequence[Signal]) -> None:
        rows = [
            {"at": signal.at, "key": signal.key, "kind": signal.kind.value, "value": to_json(signal)}
            for signal in signals
        ]
        await self._many(insert(schema.signals), rows)

    async def save_incidents(self, incidents: Sequence[Incident]) -> None:
        rows = [
            {
                "id": incident.id,
                "kind": incident.kind.value,
                "state": incident.state.value,
                "severity": incident.severity.value,
                "opened": incident.opened,
                "updated": incident.updated,
                "resolved": incident.resolved,
                "revision": incident.revision,
                "value": to_json(incident),
            }
            for incident in incidents
        ]
        keys = [{"key": key, "incident": incident.id} for incident in incidents for key in incident.keys]
        await self._many(self._sql.save_incidents, rows)
        await self._many(self._sql.add_incident_keys, keys)
        await self._tell("incident", [incident.id for incident in incidents])

    async def add_verdict(self, verdict: Verdict) -> None:
        row = {
            "incident": verdict.incident,
            "article": verdict.article,
            "entity": verdict.entity,
            "verdict": verdict.ruling.value,
            "sentiment": verdict.sentiment,
            "note": verdict.note,
            "given_by": verdict.by,
            "at": verdict.at,
        }
        await self._many(insert(schema.verdicts), [row])
        await self._many(insert(schema.events), [{"at": self._now, "kind": "verdict", "subject": verdict.incident}])

    async def post(self, messages: Sequence[Message]) -> None:
        rows = [
            {
                "key": message.key,
                "target": message.target,
                "incident": message.incident.id,
                "revision": message.incident.revision,
                "state": "pending",
                "attempts": 0,
                "due": message.created,
                "created": message.created,
                "expires": message.expires,
                "value": to_json(message),
            }
            for message in messages
        ]
        await self._many(self._sql.post, rows)

    async def save_state(self, rows: Mapping[str, Json], version: int) -> None:
        # A format is never mixed with another: what an older or newer newsquake left is dropped with the first save.
        await self._connection.execute(self._sql.drop_other_state, {"kept": version})
        states = [{"name": name, "version": version, "value": value} for name, value in rows.items()]
        await self._many(self._sql.save_state, states)

    async def tick(self, at: datetime) -> None:
        await self._many(self._sql.tick, [{"at": at}])

    async def settle(self, source: SourceId, delta: Ledger) -> None:
        await self._many(self._sql.settle, [{"source": source, **asdict(delta)}])

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        await self._many(insert(schema.dead_letters), [asdict(letter) for letter in letters])

    async def advance(self, position: Position) -> None:
        row = {"source": position.source, "partition": position.partition, "value": dict(position.value)}
        await self._many(self._sql.advance, [row])

    async def export(self, exports: Sequence[Export]) -> None:
        rows = [{"kind": each.kind, "key": each.key, "value": dict(each.value)} for each in exports]
        await self._many(insert(schema.exports), rows)

    async def exported(self, number: int) -> None:
        await self._connection.execute(delete(schema.exports).where(schema.exports.c.id <= number))

    async def attempt(self, key: str, target: TargetId) -> None:
        await self._connection.execute(self._sql.count_attempt, {"message": key, "receiver": target})

    async def delivered(self, key: str, target: TargetId, at: datetime) -> None:
        await self._end(key, target, at, state="sent", reason=None)

    async def retry(self, key: str, target: TargetId, due: datetime, reason: str) -> None:
        row = {"message": key, "receiver": target, "new_due": due, "why": reason}
        await self._connection.execute(self._sql.put_off, row)

    async def reject(self, key: str, target: TargetId, at: datetime, reason: str) -> None:
        await self._end(key, target, at, state="rejected", reason=reason)

    async def expire(self, kept: Collection[TargetId], at: datetime) -> Mapping[TargetId, int]:
        rows = schema.outbox.c
        past = (rows.state == "pending") & rows.target.not_in(kept) & (rows.expires <= at)
        given_up = update(schema.outbox).where(past).values(state="rejected", ended=at, reason="expired")
        return Counter((await self._connection.scalars(given_up.returning(rows.target))).all())

    async def judged(self, model: ModelId, ids: Collection[ArticleId]) -> set[ArticleId]:
        """As `history.judged`."""
        return await history.judged(self._connection, model, ids)

    async def stories(self, ids: Collection[ArticleId]) -> Mapping[ArticleId, Mapping[Key, StoryId]]:
        """As `history.stories`."""
        return await history.stories(self._connection, ids)

    async def stage_model(self, reference: str, id_: ModelId, manifest: Mapping[str, Json]) -> None:
        """As `models.stage`, now."""
        await models.stage(self._connection, reference, id_, manifest, self._now)

    async def move_model(self, id_: ModelId, state: ModelState, *, of: ModelState, error: str | None = None) -> bool:
        """As `models.move`, now."""
        return await models.move(self._connection, id_, state, self._now, of=of, error=error)

    async def serve_model(self, id_: ModelId, at: datetime, *, of: ModelState) -> bool:
        """As `models.serve`."""
        return await models.serve(self._connection, id_, at, of=of)

    async def install_model(self, reference: str, id_: ModelId, manifest: Mapping[str, Json]) -> None:
        """As `models.install`, now."""
        await models.install(self._connection, reference, id_, manifest, self._now)

    async def configure_model(self, id_: ModelId) -> None:
        """As `models.configure`."""
        await models.configure(self._connection, id_)

    async def blank(self, ids: Collection[ArticleId]) -> None:
        """Empty the titles and texts of these articles and of their versions."""
        for chunk in chunks(ids):
            for table, column in (
                (schema.articles, schema.articles.c.id),
                (schema.versions, schema.versions.c.article),
            ):
                await self._connection.execute(update(table).where(column.in_(chunk)).values(title="", text=""))

    async def drop_letters(self, before: datetime) -> None:
        """Delete the dead letters received before a moment."""
        letters = schema.dead_letters
        await self._connection.execute(delete(letters).where(letters.c.received < before))

    async def _tell(self, kind: str, subjects: Sequence[str]) -> None:
        """Append to what the API's stream tells."""
        if subjects:
            if self._sql.lock_events is not None:
                await self._connection.execute(self._sql.lock_events)
            await self._many(
                insert(schema.events), [{"at": self._now, "kind": kind, "subject": subject} for subject in subjects]
            )

    async def _end(self, key: str, target: TargetId, at: datetime, *, state: str, reason: str | None) -> None:
        row = {"message": key, "receiver": target, "at": at, "new_state": state, "why": reason}
        await self._connection.execute(self._sql.end_message, row)

    async def _bulk(self, statement: Bulk, rows: Sequence[Row]) -> None:
        if rows:
            await self._connection.exec_driver_sql(statement.text, statement.shaped(rows))

    async def _many(self, statement: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            await self._connection.execute(statement, list(rows))


def _article_row(article: Article, id_: bytes, unjudged: int) -> Row:
    """In the order of `statements.ARTICLE`, but for event and gist."""
    return (
        id_,
        article.source,
        article.publisher,
        article.title,
        article.text,
        article.link,
        article.language,
        stored_moment(article.published),
        stored_moment(article.received),
        article.timeliness.value,
        article.signature,
        article.digest,
        unjudged,
    )


def _judgement_row(one: Judgement) -> Row:
    """In the order of `statements.JUDGEMENT`."""
    return (
        one.key,
        stored_moment(one.published),
        bytes.fromhex(one.article),
        one.model,
        one.entity,
        one.source,
        one.publisher,
        one.sentiment.negative,
        one.sentiment.neutral,
        one.sentiment.positive,
        bytes.fromhex(one.story),
        one.leads,
        stored_moment(one.scored),
    )


async def known(
    connection: AsyncConnection, statements: Statements, ids: Collection[ArticleId]
) -> Mapping[ArticleId, str]:
    """Return the digest of the newest version of each of these articles that is stored."""
    digests: dict[ArticleId, str] = {}
    for chunk in chunks(ids):
        rows = await connection.execute(statements.known, {"ids": chunk})
        digests.update((ArticleId(article), digest) for article, digest in rows)
    return digests


def chunks(items: Collection[Item]) -> Iterator[list[Item]]:
    """Yield the items, as many at once as one statement takes."""
    rest = iter(items)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
