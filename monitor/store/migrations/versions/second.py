"""Tokens, verdicts, articles' events, where a promotion stands, the outbox by revision and end, PostgreSQL's words by
their bytes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # counted up by the database


def upgrade() -> None:
    """Add them."""
    op.add_column("models", sa.Column("changeover", sa.BigInteger()))
    op.add_column("models", sa.Column("error", sa.Text()))
    op.add_column("models", sa.Column("configured", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("articles", sa.Column("event", sa.LargeBinary(16)))
    op.add_column("articles", sa.Column("gist", sa.LargeBinary()))
    op.create_index(op.f("ix_outbox_target_ended"), "outbox", ["target", "ended"])
    op.add_column("outbox", sa.Column("revision", sa.Integer(), nullable=False, server_default="0"))
    # PostgreSQL gives no part of a JSON document that holds an escaped NUL; its text can be searched all the same.
    found = "substring(value::text from '\"revision\":\\s*(\\d+)')::int"
    told = "json_extract(value, '$.incident.revision')" if _on_sqlite() else found
    op.execute(f"UPDATE outbox SET revision = coalesce({told}, 0)")  # noqa: S608 - no value of anybody's
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger()),
        sa.Column("revoked", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("hash", name=op.f("uq_tokens_hash")),
    )
    op.create_table(
        "verdicts",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("incident", sa.String(length=32), nullable=False),
        sa.Column("article", sa.LargeBinary(16)),
        sa.Column("entity", sa.String()),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("sentiment", sa.String(length=8)),
        sa.Column("note", sa.Text()),
        sa.Column("given_by", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdicts")),
    )
    op.create_index(op.f("ix_verdicts_incident"), "verdicts", ["incident"])
    op.create_index(op.f("ix_verdicts_at"), "verdicts", ["at"])
    op.create_table(
        "exports",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exports")),
        sqlite_autoincrement=True,
    )
    _collate("C")


def downgrade() -> None:
    """Take them back; what they hold is lost."""
    _collate("default")
    op.drop_table("exports")
    op.drop_table("verdicts")
    op.drop_table("tokens")
    op.drop_index(op.f("ix_outbox_target_ended"), "outbox")
    with op.batch_alter_table("articles") as articles:
        articles.drop_column("gist")
        articles.drop_column("event")
    with op.batch_alter_table("outbox") as outbox:
        outbox.drop_column("revision")
    with op.batch_alter_table("models") as models:
        models.drop_column("configured")
        models.drop_column("error")
        models.drop_column("changeover")


def _on_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _collate(collation: str) -> None:
    """Let PostgreSQL compare every word of a limited or unlimited length by this collation; SQLite compares bytes."""
    if _on_sqlite():
        return
    words: dict[str, list[str]] = {}
    inspector = sa.inspect(op.get_bind())
    for table in inspector.get_table_names():
        for column in inspector.get_columns(table):
            if isinstance(column["type"], sa.VARCHAR):
                kind = sa.VARCHAR(column["type"].length).compile(op.get_bind().dialect)
                words.setdefault(table, []).append(f'ALTER COLUMN "{column["name"]}" TYPE {kind} COLLATE "{collation}"')
    for table, changes in words.items():
        if table != "alembic_version":
            op.execute(f'ALTER TABLE "{table}" {", ".join(changes)}')
