"""The first tables.

Types are written out, not imported from the schema: a migration says what was true when it was written.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # counted up by the database


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "articles",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("publisher", sa.String(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("link", sa.Text()),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("published", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("timeliness", sa.String(length=8), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("topics", sa.JSON()),
        sa.Column("unjudged", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_articles")),
    )
    op.create_index(op.f("ix_articles_received"), "articles", ["received"])
    op.create_index(op.f("ix_articles_source_received"), "articles", ["source", "received"])
    op.create_table(
        "bands",
        sa.Column("band", sa.BigInteger(), nullable=False),
        sa.Column("stored", sa.BigInteger(), nullable=False),
        sa.Column("article", sa.LargeBinary(16), nullable=False),
        sa.PrimaryKeyConstraint("band", "stored", "article", name=op.f("pk_bands")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
    )
    op.create_index(op.f("ix_dead_letters_source_received"), "dead_letters", ["source", "received"])
    op.create_table(
        "detector_state",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.SmallInteger(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_detector_state")),
    )
    op.create_table(
        "events",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "incident_keys",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("incident", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("key", "incident", name=op.f("pk_incident_keys")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "incidents",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("severity", sa.String(length=8), nullable=False),
        sa.Column("opened", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.Column("resolved", sa.BigInteger()),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
    )
    op.create_index(op.f("ix_incidents_opened"), "incidents", ["opened"])
    op.create_index(op.f("ix_incidents_state"), "incidents", ["state"])
    op.create_table(
        "judgements",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("published", sa.BigInteger(), nullable=False),
        sa.Column("article", sa.LargeBinary(16), nullable=False),
        sa.Column("model", sa.String(length=16), nullable=False),
        sa.Column("entity", sa.String()),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("publisher", sa.String(), nullable=False),
        sa.Column("negative", sa.Float(), nullable=False),
        sa.Column("neutral", sa.Float(), nullable=False),
        sa.Column("positive", sa.Float(), nullable=False),
        sa.Column("story", sa.LargeBinary(16), nullable=False),
        sa.Column("leads", sa.Boolean(), nullable=False),
        sa.Column("scored", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("article", "key", "model", name=op.f("pk_judgements")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_judgements_copies",
        "judgements",
        ["story", "key"],
        sqlite_where=sa.text("leads = 0"),
        postgresql_where=sa.text("NOT leads"),
    )
    op.create_index(op.f("ix_judgements_key_published"), "judgements", ["key", "published"])
    op.create_table(
        "ledger",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("stored", sa.BigInteger(), nullable=False),
        sa.Column("duplicate", sa.BigInteger(), nullable=False),
        sa.Column("dead", sa.BigInteger(), nullable=False),
        sa.Column("dropped", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_ledger")),
    )
    op.create_table(
        "models",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
    )
    op.create_table(
        "outbox",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("incident", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger()),
        sa.Column("reason", sa.Text()),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("key", "target", name=op.f("pk_outbox")),
    )
    op.create_index(op.f("ix_outbox_incident"), "outbox", ["incident"])
    op.create_index(op.f("ix_outbox_target_state_due"), "outbox", ["target", "state", "due"])
    op.create_table(
        "owners",
        sa.Column("partition", sa.String(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("taken", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partition", name=op.f("pk_owners")),
    )
    op.create_table(
        "positions",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("partition", sa.String(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("source", "partition", name=op.f("pk_positions")),
    )
    op.create_table(
        "rollup_origins",
        sa.Column("bucket", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("model", sa.String(length=16), nullable=False),
        sa.Column("history", sa.Boolean(), nullable=False),
        sa.Column("publisher", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("stories", sa.Integer(), nullable=False),
        sa.Column("negative", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint(
            "bucket", "key", "model", "history", "publisher", "source", name=op.f("pk_rollup_origins")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rollups",
        sa.Column("bucket", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("model", sa.String(length=16), nullable=False),
        sa.Column("history", sa.Boolean(), nullable=False),
        sa.Column("stories", sa.Integer(), nullable=False),
        sa.Column("negative", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("sum_negative", sa.Float(), nullable=False),
        sa.Column("sum_neutral", sa.Float(), nullable=False),
        sa.Column("sum_positive", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("bucket", "key", "model", "history", name=op.f("pk_rollups")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_rollups_key_bucket"), "rollups", ["key", "bucket"])
    op.create_table(
        "signals",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signals")),
    )
    op.create_index(op.f("ix_signals_key_at"), "signals", ["key", "at"])
    op.create_table(
        "ticks", sa.Column("at", sa.BigInteger(), nullable=False), sa.PrimaryKeyConstraint("at", name=op.f("pk_ticks"))
    )
    op.create_table(
        "versions",
        sa.Column("article", sa.LargeBinary(16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("article", "version", name=op.f("pk_versions")),
    )


def downgrade() -> None:
    """Drop them, with all they hold."""
    op.drop_table("versions")
    op.drop_table("ticks")
    op.drop_table("signals")
    op.drop_table("rollups")
    op.drop_table("rollup_origins")
    op.drop_table("positions")
    op.drop_table("owners")
    op.drop_table("outbox")
    op.drop_table("models")
    op.drop_table("ledger")
    op.drop_table("judgements")
    op.drop_table("incidents")
    op.drop_table("incident_keys")
    op.drop_table("events")
    op.drop_table("detector_state")
    op.drop_table("dead_letters")
    op.drop_table("bands")
    op.drop_table("articles")
