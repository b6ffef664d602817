"""The first tables (version 0.1.0)."""

from alembic import op

from identity.access.sql import APPEND_ONLY
from identity.service.store.schema import Table

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    *["member", "invitation", "application", "attestation"],
    *["issuance", "credential", "outbox", "status_list", "status_entry"],
    *["certificate", "crl", "trust_list", "used_token", "event"],
    *["access_key", "audit", "audit_head"],
)


def upgrade() -> None:
    """Make all tables as `identity.service.store.schema` declared them at this version."""
    Table.metadata.create_all(op.get_bind(), tables=[Table.metadata.tables[name] for name in TABLES])
    for statement in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    Table.metadata.drop_all(op.get_bind(), tables=[Table.metadata.tables[name] for name in TABLES])
