"""The first tables (version 0.1.0)."""

from alembic import op
from sqlmodel import SQLModel

from connector.store import schema
from identity.access.sql import APPEND_ONLY

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    *[
        "process",
        "journal",
        "outbox",
        "spent",
        "agreement",
        "document",
        "duty",
        "counter",
        "payment",
        "allotment",
        "decision",
        "asset",
        "offer",
        "credential",
        "credential_request",
        "received",
        "relation",
        "membership",
        "followed",
    ],
    *["access_key", "audit", "audit_head", "event"],
)


def upgrade() -> None:
    """Make all tables as `connector.store.schema` declared them at this version."""
    assert schema  # noqa: S101  the import declares the tables
    SQLModel.metadata.create_all(op.get_bind(), tables=[SQLModel.metadata.tables[name] for name in TABLES])
    for statement in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)
    if op.get_bind().dialect.name == "postgresql":  # numbers of a sequence become visible in another order than they are given out
        op.execute("ALTER TABLE event ALTER COLUMN turn SET DEFAULT pg_current_xact_id()::text::bigint")
        op.create_index("event_order", "event", ["participant", "turn", "seq"])
        op.create_index("agreement_order", "agreement", ["participant", "seq"])


def downgrade() -> None:
    """Drop them."""
    SQLModel.metadata.drop_all(op.get_bind(), tables=[SQLModel.metadata.tables[name] for name in TABLES])
