"""The tables, as SQLAlchemy sees them; the migrations build the same, and a test compares the two.

Moments are stored as whole microseconds since 1970 UTC, ids as bytes, probabilities as floats. Articles, versions,
judgements, signals and ticks are append-only, so that any day can be replayed as it was known.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)
from sqlalchemy.types import TypeEngine

from monitor.types import EPOCH

MICROSECOND = timedelta(microseconds=1)


def stored_moment(value: datetime) -> int:
    """Return an aware datetime as the database keeps it: microseconds since 1970 UTC."""
    return (value - EPOCH) // MICROSECOND


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime, kept as microseconds since 1970: the same, and as quick, in SQLite and PostgreSQL."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else stored_moment(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else EPOCH + value * MICROSECOND


class HexId(TypeDecorator[str]):
    """An id of 32 hexadecimal digits, kept as its 16 bytes."""

    impl = LargeBinary(16)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002
        return None if value is None else bytes.fromhex(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else bytes(value).hex()


class Name(TypeDecorator[str]):
    """A word that rows are found and ordered by: by its bytes in both databases, whatever language PostgreSQL sorts in.

    Comparing bytes is also several times quicker there.
    """

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        assert isinstance(self.impl_instance, String)
        collation = "C" if dialect.name == "postgresql" else None
        return dialect.type_descriptor(String(self.impl_instance.length, collation=collation))


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

articles = Table(
    "articles",
    metadata,
    Column("id", HexId, primary_key=True),
    Column("source", Name(), nullable=False),
    Column("publisher", Name(), nullable=False),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("link", Text),
    Column("language", Name(8), nullable=False),
    Column("published", Moment, nullable=False),
    Column("received", Moment, nullable=False),
    Column("timeliness", Name(8), nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("digest", Name(64), nullable=False),
    Column("topics", JSON),  # of the whole article, by the model that first judged it
    Column("unjudged", Integer, nullable=False, server_default="0"),  # companies found beyond the limit
    Column("event", HexId),  # of the story it leads; see core/events.py
    Column("gist", LargeBinary),  # by which later stories are compared with it
    Index(None, "received"),
    Index(None, "source", "received"),
)

texts_kept = (articles.c.title != "") | (articles.c.text != "")  # of an article past its retention both are empty

versions = Table(  # revised texts of a stored article: kept, counted nowhere
    "versions",
    metadata,
    Column("article", HexId, nullable=False),
    Column("version", Integer, nullable=False),  # 2 for the first revision
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("digest", Name(64), nullable=False),
    Column("received", Moment, nullable=False),
    PrimaryKeyConstraint("article", "version"),
)

bands = Table(  # of the copy signatures: where near-copies are looked for
    "bands",
    metadata,
    Column("band", BigInteger, nullable=False),
    Column("stored", Moment, nullable=False),  # so that the newest of a crowded band are found without reading it all
    Column("article", HexId, nullable=False),
    PrimaryKeyConstraint("band", "stored", "article"),
    sqlite_with_rowid=False,
)

judgements = Table(  # new is decided per (article, key, model), never per article
    "judgements",
    metadata,
    Column("key", Name(), nullable=False),
    Column("published", Moment, nullable=False),
    Column("article", HexId, nullable=False),
    Column("model", Name(16), nullable=False),
    Column("entity", Name()),
    Column("source", Name(), nullable=False),
    Column("publisher", Name(), nullable=False),
    Column("negative", Float, nullable=False),
    Column("neutral", Float, nullable=False),
    Column("positive", Float, nullable=False),
    Column("story", HexId, nullable=False),
    Column("leads", Boolean, nullable=False),
    Column("scored", Moment, nullable=False),
    PrimaryKeyConstraint("article", "key", "model"),
    Index(None, "key", "published"),
    sqlite_with_rowid=False,
)
# Most stories have one member, whose row is found by the primary key: only the further ones are indexed by story.
copies = ~judgements.c.leads
Index("ix_judgements_copies", judgements.c.story, judgements.c.key, sqlite_where=copies, postgresql_where=copies)

rollups = Table(
    "rollups",
    metadata,
    Column("bucket", Moment, nullable=False),
    Column("key", Name(), nullable=False),
    Column("model", Name(16), nullable=False),
    Column("history", Boolean, nullable=False),  # kept apart: it feeds the baseline and is in no window
    Column("stories", Integer, nullable=False),
    Column("negative", Integer, nullable=False),
    Column("weight", Float, nullable=False),
    Column("sum_negative", Float, nullable=False),
    Column("sum_neutral", Float, nullable=False),
    Column("sum_positive", Float, nullable=False),
    PrimaryKeyConstraint("bucket", "key", "model", "history"),
    Index(None, "key", "bucket"),
    sqlite_with_rowid=False,
)

rollup_origins = Table(  # rows, not sketches: publishers add up truly over windows
    "rollup_origins",
    metadata,
    Column("bucket", Moment, nullable=False),
    Column("key", Name(), nullable=False),
    Column("model", Name(16), nullable=False),
    Column("history", Boolean, nullable=False),
    Column("publisher", Name(), nullable=False),
    Column("source", Name(), nullable=False),
    Column("stories", Integer, nullable=False),
    Column("negative", Integer, nullable=False),
    PrimaryKeyConstraint("bucket", "key", "model", "history", "publisher", "source"),
    sqlite_with_rowid=False,
)

ticks = Table("ticks", metadata, Column("at", Moment, primary_key=True))

detector_state = Table(  # the checkpoint; the windows are rebuilt from the rollups
    "detector_state",
    metadata,
    Column("name", Name(), primary_key=True),
    Column("version", SmallInteger, nullable=False),
    Column("value", JSON, nullable=False),
)

signals = Table(
    "signals",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", Moment, nullable=False),
    Column("key", Name(), nullable=False),
    Column("kind", Name(8), nullable=False),
    Column("value", JSON, nullable=False),
    Index(None, "key", "at"),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", Name(32), primary_key=True),
    Column("kind", Name(8), nullable=False),
    Column("state", Name(16), nullable=False),
    Column("severity", Name(8), nullable=False),
    Column("opened", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Column("resolved", Moment),
    Column("revision", Integer, nullable=False),
    Column("value", JSON, nullable=False),  # the whole incident, as core/incidents.py writes it
    Index(None, "state"),
    Index(None, "opened"),
)

incident_keys = Table(
    "incident_keys",
    metadata,
    Column("key", Name(), nullable=False),
    Column("incident", Name(32), nullable=False),
    PrimaryKeyConstraint("key", "incident"),
    sqlite_with_rowid=False,
)

events = Table(  # what the API's stream tells, in commit order
    "events",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", Moment, nullable=False),
    Column("kind", Name(16), nullable=False),
    Column("subject", Name(), nullable=False),
    sqlite_autoincrement=True,
)

outbox = Table(
    "outbox",
    metadata,
    Column("key", Name(64), nullable=False),
    Column("target", Name(), nullable=False),
    Column("incident", Name(32), nullable=False),
    Column("revision", Integer, nullable=False, server_default="0"),  # of the incident: it orders what is told of it
    Column("state", Name(8), nullable=False),  # pending, sent, rejected
    Column("attempts", Integer, nullable=False),
    Column("due", Moment, nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("ended", Moment),
    Column("reason", Text),
    Column("value", JSON, nullable=False),  # the whole message
    PrimaryKeyConstraint("key", "target"),
    Index(None, "target", "state", "due"),
    Index(None, "target", "ended"),
    Index(None, "incident"),
)

ledger = Table(
    "ledger",
    metadata,
    Column("source", Name(), primary_key=True),
    Column("received", BigInteger, nullable=False),
    Column("stored", BigInteger, nullable=False),
    Column("duplicate", BigInteger, nullable=False),
    Column("dead", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("source", Name(), nullable=False),
    Column("received", Moment, nullable=False),
    Column("error", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Index(None, "source", "received"),
)

exports = Table(  # what is to be written to topics outside, until it is; numbers are never given twice
    "exports",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("key", String(64), nullable=False),
    Column("value", JSON, nullable=False),
    sqlite_autoincrement=True,
)

positions = Table(
    "positions",
    metadata,
    Column("source", Name(), nullable=False),
    Column("partition", Name(), nullable=False),
    Column("value", JSON, nullable=False),
    PrimaryKeyConstraint("source", "partition"),
)

owners = Table(  # the epoch that every transaction checks; who is alive is told by a lock, not by this row
    "owners",
    metadata,
    Column("partition", Name(), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", Name(), nullable=False),
    Column("taken", Moment, nullable=False),
)

models = Table(  # every model that has served, and where a promotion stands
    "models",
    metadata,
    Column("id", Name(16), primary_key=True),
    Column("reference", Text, nullable=False),
    Column("state", Name(16), nullable=False),  # types.ModelState
    Column("since", Moment, nullable=False),
    Column("manifest", JSON, nullable=False),
    Column("changeover", Moment),  # the bucket's edge at which it took, or will take, the needle over
    Column("error", Text),  # why it was refused
    Column("configured", Boolean, nullable=False, server_default=false()),  # the one that `[model] default` names
)

tokens = Table(  # of the HTTP interface: only the hash is kept
    "tokens",
    metadata,
    Column("id", Name(16), primary_key=True),
    Column("name", Name(64), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment),
    Column("revoked", Moment),
    UniqueConstraint("hash"),
)

verdicts = Table(  # what the desk says of an incident, append-only: labelled data for the next model
    "verdicts",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("incident", Name(32), nullable=False),
    Column("article", HexId),  # None: of the incident as a whole
    Column("entity", Name()),
    Column("verdict", Name(16), nullable=False),  # right, false, old_news, wrong_company, wrong_sentiment
    Column("sentiment", Name(8)),  # what it should have been, where the desk says so
    Column("note", Text),
    Column("given_by", Name(64), nullable=False),
    Column("at", Moment, nullable=False),
    Index(None, "incident"),
    Index(None, "at"),
)
