"""Tokens, verdicts, where a promotion stands, and the outbox by when a message ended."""

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
    op.create_index(op.f("ix_outbox_target_ended"), "outbox", ["target", "ended"])
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


def downgrade() -> None:
    """Take them back; what they hold is lost."""
    op.drop_table("verdicts")
    op.drop_table("tokens")
    op.drop_index(op.f("ix_outbox_target_ended"), "outbox")
    with op.batch_alter_table("models") as models:
        models.drop_column("configured")
        models.drop_column("error")
        models.drop_column("changeover")
