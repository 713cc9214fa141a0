"""The statements of a transaction, built once for each store.

SQLite and PostgreSQL share them, but for what `INSERT … ON CONFLICT` is imported from and how much is handed over at
once. Those that a batch of articles runs over hundreds of rows (`Bulk`) are handed to the driver as text with values in
stored form: SQLAlchemy's conversion of each value of each row would cost more than the database's own work. SQLite
takes them row by row. PostgreSQL takes them as one array for each column: a message to the server for each row would
cost more than the row.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, TypeAlias

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    ColumnElement,
    Delete,
    Dialect,
    FromClause,
    Insert,
    Select,
    String,
    Table,
    TableValuedAlias,
    TextClause,
    Update,
    any_,
    bindparam,
    case,
    cast,
    delete,
    distinct,
    func,
    insert,
    literal,
    null,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

from monitor.core.counting import NEGATIVE
from monitor.store import schema
from monitor.store.schema import HexId, Moment
from monitor.types import EPOCH, Timeliness

CROWD = 64  # so many of the newest articles of one band are looked at; a template may have tens of thousands

# The columns of the bulk statements, in the order of their rows.
ARTICLE = (
    *("id", "source", "publisher", "title", "text", "link", "language", "published", "received", "timeliness"),
    *("signature", "digest", "unjudged", "event", "gist"),
)
BAND = ("band", "stored", "article")
JUDGEMENT = (
    *("key", "published", "article", "model", "entity", "source", "publisher", "negative", "neutral", "positive"),
    *("story", "leads", "scored"),
)
ROLLUP = ("bucket", "key", "model", "history")
ORIGIN = ("publisher", "source")
SUMS = ("stories", "negative", "weight", "sum_negative", "sum_neutral", "sum_positive")
COUNTED = ("received", "stored", "duplicate", "dead", "dropped")


Upsert: TypeAlias = postgresql.Insert | sqlite.Insert


@dataclass(frozen=True, slots=True)
class Bulk:
    """A compiled statement over rows, which are tuples in stored form, in the order of its columns."""

    text: str
    by_column: bool  # it takes them as one list for each column

    def shaped(self, rows: Sequence[tuple[Any, ...]]) -> Any:
        """Return the rows, of which there must be some, as the driver takes them."""
        return tuple(map(list, zip(*rows, strict=True))) if self.by_column else list(rows)


class Statements:
    """Each is built at its first use and then only executed; the parameters bear the names of the columns."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._sqlite = dialect.name == "sqlite"

    def numbers(self, values: Collection[int]) -> Any:
        """Return a list of numbers as the parameter `numbers` takes it."""
        return json.dumps(list(values)) if self._sqlite else list(values)

    @cached_property
    def epochs(self) -> Select[str, int, str | None]:
        # On PostgreSQL the rows stay locked until our commit: nobody takes the partition over in between. The ticket
        # is the transaction's number there; SQLite needs none, because its commits never go unanswered.
        ticket = null() if self._sqlite else cast(func.pg_current_xact_id(), String)
        owners = schema.owners
        return select(owners.c.partition, owners.c.epoch, ticket.label("ticket")).with_for_update(read=True)

    @cached_property
    def own(self) -> Any:
        owners = schema.owners
        taken = self._insert(owners).values(epoch=1)
        changed = {"epoch": owners.c.epoch + 1, "holder": taken.excluded.holder, "taken": taken.excluded.taken}
        return taken.on_conflict_do_update(index_elements=["partition"], set_=changed).returning(owners.c.epoch)

    @cached_property
    def known(self) -> Select[str, str]:
        articles, versions = schema.articles, schema.versions
        newest = (
            select(versions.c.digest)
            .where(versions.c.article == articles.c.id)
            .order_by(versions.c.version.desc())
            .limit(1)
            .scalar_subquery()
        )
        if self._sqlite:
            wanted: ColumnElement[bool] = articles.c.id.in_(bindparam("ids", expanding=True, type_=HexId()))
        else:  # one statement, prepared once, however many there are
            wanted = articles.c.id == any_(bindparam("ids", type_=ARRAY(HexId())))
        return select(articles.c.id, func.coalesce(newest, articles.c.digest)).where(wanted)

    @cached_property
    def add_version(self) -> Insert:
        versions = schema.versions
        article = bindparam("article", type_=HexId())
        following = func.coalesce(func.max(versions.c.version), 1) + 1
        names = ["article", "title", "text", "digest", "received"]
        values = [bindparam(name, type_=versions.c[name].type) for name in names]
        row = select(*values, following).where(versions.c.article == article)
        return insert(versions).from_select([*names, "version"], row)

    @cached_property
    def told(self) -> Select[str, bytes, datetime, str, str]:
        bands, articles, judgements = schema.bands, schema.articles, schema.judgements
        asked = self._asked()
        crowd = bands.alias("crowd")
        last = (
            select(crowd.c.stored)
            .where(crowd.c.band == asked.c.value)
            .order_by(crowd.c.stored.desc())
            .limit(1)
            .offset(CROWD - 1)
            .scalar_subquery()
        )
        cuts = select(asked.c.value.label("band"), func.coalesce(last, literal(EPOCH, Moment)).label("cut")).cte("cuts")
        near = (
            select(bands.c.article)
            .distinct()
            .select_from(cuts.join(bands, (bands.c.band == cuts.c.band) & (bands.c.stored >= cuts.c.cut)))
            .cte("near")
        )
        return (
            select(articles.c.id, articles.c.signature, articles.c.published, judgements.c.key, judgements.c.story)
            .select_from(
                near.join(articles, articles.c.id == near.c.article).join(
                    judgements, judgements.c.article == near.c.article
                )
            )
            .order_by(articles.c.published, articles.c.id, judgements.c.scored)
        )

    @cached_property
    def gathered(self) -> Select[str, datetime, bytes, str, str | None]:
        articles, judgements = schema.articles, schema.judgements
        companies = (judgements.c.article == articles.c.id) & judgements.c.entity.is_not(None)
        asked = select(articles.c.id, articles.c.received, articles.c.gist, articles.c.event, judgements.c.entity)
        return (
            asked.distinct()
            .join_from(articles, judgements, companies, isouter=True)
            .where(articles.c.received >= bindparam("since"), articles.c.event.is_not(None), articles.c.gist != b"")
            .order_by(articles.c.received, articles.c.id)
        )

    @cached_property
    def add_articles(self) -> Bulk:
        return self._bulk(self._filled(schema.articles, ARTICLE), ARTICLE)

    @cached_property
    def add_bands(self) -> Bulk:
        return self._bulk(self._filled(schema.bands, BAND), BAND)

    @cached_property
    def add_judgements(self) -> Bulk:
        return self._bulk(self._filled(schema.judgements, JUDGEMENT).on_conflict_do_nothing(), JUDGEMENT)

    @cached_property
    def set_topics(self) -> Bulk:
        articles, columns = schema.articles, ("topics", "article")
        if self._sqlite:
            return self._bulk(update(articles).where(articles.c.id == bindparam("article", type_=HexId())), columns)
        rows = _unnested(columns, (JSON(), HexId()))
        return self._bulk(update(articles).where(articles.c.id == rows.c.article).values(topics=rows.c.topics), columns)

    @cached_property
    def add_rollups(self) -> Bulk:
        return self._bulk(self._adding(schema.rollups, SUMS, ROLLUP), (*ROLLUP, *SUMS))

    @cached_property
    def add_origins(self) -> Bulk:
        names = (*ROLLUP, *ORIGIN)
        return self._bulk(self._adding(schema.rollup_origins, SUMS[:2], names), (*names, *SUMS[:2]))

    @cached_property
    def evidence(self) -> Select[*tuple[Any, ...]]:
        judgements, articles = schema.judgements, schema.articles
        stories = (  # few, so that only theirs are the members that are counted
            select(judgements, articles.c.title, articles.c.link, articles.c.language, articles.c.event)
            .join_from(judgements, articles, articles.c.id == judgements.c.article)
            .where(
                judgements.c.key == bindparam("key"),
                judgements.c.model == bindparam("model"),
                judgements.c.published > bindparam("since"),
                judgements.c.published <= bindparam("until"),
                judgements.c.leads,
                judgements.c.negative >= NEGATIVE,
                articles.c.timeliness != Timeliness.HISTORY.value,
            )
            .order_by(*_most_negative(judgements))
            .limit(bindparam("limit"))
            .subquery("stories")
        )
        more = judgements.alias("more")
        same = (more.c.story == stories.c.story) & (more.c.key == stories.c.key) & (more.c.model == stories.c.model)
        others = same & ~more.c.leads
        copies = select(1 + func.count()).where(others).scalar_subquery()
        elsewhere = others & (more.c.publisher != stories.c.publisher)
        publishers = select(1 + func.count(distinct(more.c.publisher))).where(elsewhere).scalar_subquery()
        return select(stories, copies.label("copies"), publishers.label("publishers")).order_by(
            *_most_negative(stories)
        )

    @cached_property
    def parts(self) -> Select[str, str | None, int, float]:
        judgements, articles = schema.judgements, schema.articles
        return (
            select(judgements.c.publisher, articles.c.event, func.count(), func.sum(judgements.c.negative))
            .join_from(judgements, articles, articles.c.id == judgements.c.article)
            .where(
                judgements.c.key == bindparam("key"),
                judgements.c.model == bindparam("model"),
                judgements.c.published >= bindparam("first"),
                judgements.c.published < bindparam("end"),
                judgements.c.leads,
                judgements.c.negative >= NEGATIVE,
                articles.c.timeliness.in_(bindparam("timeliness", expanding=True)),
            )
            .group_by(judgements.c.publisher, articles.c.event)
            .order_by(judgements.c.publisher, articles.c.event.nulls_first())
        )

    @cached_property
    def compared(self) -> Select[float, float]:
        ours, theirs = schema.judgements.alias("ours"), schema.judgements.alias("theirs")
        both = (theirs.c.article == ours.c.article) & (theirs.c.key == ours.c.key)
        return (
            select(
                *(
                    func.coalesce(func.sum(case((each.c.negative >= NEGATIVE, each.c.negative))), 0.0)
                    for each in (ours, theirs)
                )
            )
            .join_from(ours, theirs, both & (theirs.c.model == bindparam("other")))
            .where(
                ours.c.key == bindparam("key"),
                ours.c.model == bindparam("model"),
                ours.c.published >= bindparam("since"),
                ours.c.leads,
            )
        )

    @cached_property
    def save_incidents(self) -> Upsert:
        return self._replacing(schema.incidents)

    @cached_property
    def add_incident_keys(self) -> Upsert:
        return self._insert(schema.incident_keys).on_conflict_do_nothing()

    @property
    def lock_events(self) -> TextClause | None:
        # A PostgreSQL sequence gives ids in the order of the inserts; held until the commit, this lock makes that the
        # order of the commits too, so that a reader who has seen an id has missed none below it. SQLite has one writer.
        return None if self._sqlite else text("LOCK TABLE events IN EXCLUSIVE MODE")

    @cached_property
    def post(self) -> Upsert:
        return self._insert(schema.outbox).on_conflict_do_nothing()

    @cached_property
    def save_state(self) -> Upsert:
        return self._replacing(schema.detector_state)

    @cached_property
    def drop_other_state(self) -> Delete:
        return delete(schema.detector_state).where(schema.detector_state.c.version != bindparam("kept"))

    @cached_property
    def tick(self) -> Upsert:
        return self._insert(schema.ticks).on_conflict_do_nothing()

    @cached_property
    def settle(self) -> Upsert:
        return self._adding(schema.ledger, COUNTED)

    @cached_property
    def advance(self) -> Upsert:
        return self._replacing(schema.positions)

    @cached_property
    def count_attempt(self) -> Update:
        return self._pending_row().values(attempts=schema.outbox.c.attempts + 1)

    @cached_property
    def put_off(self) -> Update:
        return self._pending_row().values(due=bindparam("new_due"), reason=bindparam("why"))

    @cached_property
    def end_message(self) -> Update:
        return self._pending_row().values(state=bindparam("new_state"), ended=bindparam("at"), reason=bindparam("why"))

    @staticmethod
    def _pending_row() -> Update:
        row = schema.outbox.c
        mine = (row.key == bindparam("message")) & (row.target == bindparam("receiver"))
        return update(schema.outbox).where(mine, row.state == "pending")

    def _asked(self) -> TableValuedAlias:
        if self._sqlite:
            return func.json_each(bindparam("numbers", type_=String)).table_valued("value", name="asked")
        array = bindparam("numbers", type_=ARRAY(BigInteger))
        return func.unnest(array).table_valued("value", name="asked").render_derived()

    def _bulk(self, statement: Upsert | Update, columns: Sequence[str]) -> Bulk:
        compiled = statement.compile(dialect=self._dialect, column_keys=list(columns))
        assert isinstance(compiled, SQLCompiler)
        assert compiled.positiontup == list(columns), compiled.positiontup
        return Bulk(compiled.string, by_column=not self._sqlite)

    def _filled(self, table: Table, columns: Sequence[str], added: Sequence[str] = ()) -> Upsert:
        """An insert of many rows; of those that agree in all but the columns to be added, PostgreSQL takes one."""
        if self._sqlite:
            return self._insert(table)
        rows = _unnested(columns, [table.c[name].type for name in columns])
        values = [func.sum(rows.c[name]) if name in added else rows.c[name] for name in columns]
        kept = [rows.c[name] for name in columns if name not in added]
        chosen = select(*values).group_by(*kept) if added else select(*values)
        return self._insert(table).from_select(list(columns), chosen)

    def _insert(self, table: Table) -> Upsert:
        return sqlite.insert(table) if self._sqlite else postgresql.insert(table)

    def _adding(self, table: Table, columns: tuple[str, ...], bulk: Sequence[str] = ()) -> Upsert:
        """An insert that adds to the row that is there already: of one row, or of many with these names."""
        added = self._filled(table, (*bulk, *columns), columns) if bulk else self._insert(table)
        return added.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={name: table.c[name] + added.excluded[name] for name in columns},
        )

    def _replacing(self, table: Table) -> Upsert:
        """An insert that replaces the row that is there already."""
        new = self._insert(table)
        rest = [column.name for column in table.columns if not column.primary_key]
        return new.on_conflict_do_update(
            index_elements=list(table.primary_key.columns), set_={name: new.excluded[name] for name in rest}
        )


def _most_negative(stories: FromClause) -> tuple[ColumnElement[Any], ...]:
    return stories.c.negative.desc(), stories.c.published, stories.c.article


def _unnested(columns: Sequence[str], types: Sequence[TypeEngine[Any]]) -> TableValuedAlias:
    """Rows out of one array for each column."""
    arrays = [bindparam(name, type_=ARRAY(type_)) for name, type_ in zip(columns, types, strict=True)]
    return func.unnest(*arrays).table_valued(*columns, name="rows").render_derived()
