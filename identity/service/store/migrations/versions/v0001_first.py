"""First tables.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

from identity.access.sql import APPEND_ONLY

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _text(name: str, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=null)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def upgrade() -> None:
    _members()
    _issuance()
    _status_lists()
    _certificates()
    _journal()
    _access()


def _members() -> None:
    op.create_table(
        "member",
        _text("participant"),
        _text("id"),
        _text("did"),
        _text("name"),
        _text("corporate_number"),
        _text("roles"),
        _text("hosts"),
        _text("state"),
        _text("number", null=True),
        _text("since", null=True),
        _text("changed"),
        sa.PrimaryKeyConstraint("participant", "id"),
        sa.UniqueConstraint("participant", "did"),
        sa.UniqueConstraint("participant", "number"),
    )
    op.create_table(
        "invitation",
        _text("participant"),
        _text("id"),
        _text("member"),
        _text("code_digest"),
        _text("created"),
        _text("expires"),
        _text("application", null=True),
        sa.PrimaryKeyConstraint("participant", "id"),
        sa.UniqueConstraint("participant", "code_digest"),
    )
    op.create_table(
        "application",
        _text("participant"),
        _text("id"),
        _text("member"),
        _text("did"),
        _text("hosts"),
        _text("submitted"),
        sa.PrimaryKeyConstraint("participant", "id"),
    )


def _issuance() -> None:
    op.create_table(
        "attestation",
        _text("participant"),
        _text("member"),
        _text("name"),
        _text("value"),
        _text("at"),
        sa.PrimaryKeyConstraint("participant", "member", "name"),
    )
    op.create_table(
        "issuance",
        _text("participant"),
        _text("id"),
        _text("member"),
        _text("holder"),
        _text("holder_pid"),
        _text("definitions"),
        _text("state"),
        _text("reason", null=True),
        _text("grant_token", null=True),
        _text("created"),
        _text("changed"),
        sa.PrimaryKeyConstraint("participant", "id"),
        sa.UniqueConstraint("participant", "holder", "holder_pid"),
    )
    op.create_table(
        "credential",
        _text("participant"),
        _text("id"),
        _text("issuance"),
        _text("member"),
        _text("holder"),
        _text("definition"),
        _text("type"),
        _text("format"),
        _text("subject"),
        _text("valid_from"),
        _text("valid_until"),
        _text("jwt", null=True),
        _text("state"),
        sa.PrimaryKeyConstraint("participant", "id"),
        sa.UniqueConstraint("participant", "issuance", "definition"),
    )
    op.create_index("credential_of_member", "credential", ["participant", "member"])
    op.create_index("credential_by_type", "credential", ["participant", "type"])
    op.create_table(
        "outbox",
        _text("participant"),
        _text("issuance"),
        _text("due"),
        _count("attempts"),
        _text("created"),
        _text("error", null=True),
        sa.PrimaryKeyConstraint("participant", "issuance"),
    )
    op.create_index("outbox_due", "outbox", ["participant", "due"])


def _status_lists() -> None:
    op.create_table(
        "status_list",
        _text("participant"),
        _text("id"),
        _text("format"),
        _text("purpose"),
        _count("length"),
        _count("taken"),
        _count("version"),
        _count("signed_version"),
        _text("jwt", null=True),
        _text("signed", null=True),
        _text("expires", null=True),
        sa.PrimaryKeyConstraint("participant", "id"),
    )
    op.create_table(
        "status_entry",
        _text("participant"),
        _text("list"),
        _count("position"),
        _text("credential"),
        _count("value"),
        sa.PrimaryKeyConstraint("participant", "list", "position"),
    )
    op.create_index("status_entry_of_credential", "status_entry", ["participant", "credential"])


def _certificates() -> None:
    op.create_table(
        "certificate",
        _text("participant"),
        _text("serial"),
        _text("member"),
        _text("did"),
        _text("thumbprint"),
        _text("key_digest"),
        _text("issued"),
        _text("expires"),
        _text("revoked", null=True),
        _text("reason", null=True),
        sa.PrimaryKeyConstraint("participant", "serial"),
    )
    op.create_index("certificate_of_member", "certificate", ["participant", "member"])
    op.create_index("certificate_of_key", "certificate", ["participant", "key_digest"])
    op.create_table(
        "crl",
        _text("participant"),
        _text("name"),
        _count("number"),
        _count("version"),
        _count("signed_version"),
        _text("this_update", null=True),
        _text("next_update", null=True),
        sa.Column("der", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("participant", "name"),
    )


def _journal() -> None:
    op.create_table(
        "trust_list",
        _text("participant"),
        _count("sequence"),
        _text("content"),
        _text("jwt"),
        _text("since"),
        _text("until"),
        sa.PrimaryKeyConstraint("participant", "sequence"),
    )
    op.create_table(
        "used_token",
        _text("participant"),
        _text("issuer"),
        _text("jti"),
        _text("expires"),
        sa.PrimaryKeyConstraint("participant", "issuer", "jti"),
    )
    op.create_index("used_token_expires", "used_token", ["participant", "expires"])
    op.create_table(
        "event",
        _text("participant"),
        _count("seq"),
        _text("kind"),
        _text("member"),
        _text("did"),
        _text("subject"),
        _text("at"),
        sa.PrimaryKeyConstraint("participant", "seq"),
    )


def _access() -> None:
    op.create_table(
        "access_key",
        _text("participant"),
        _text("id"),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        _text("revoked"),
        _text("used"),
        sa.PrimaryKeyConstraint("participant", "id"),
    )
    names = ("at", "who", "name", "role", "action", "object", "outcome", "previous", "hash")
    op.create_table("audit", _text("participant"), _count("seq"), *map(_text, names), sa.PrimaryKeyConstraint("participant", "seq"))
    op.create_table("audit_head", _text("participant"), _count("seq"), _text("hash"), sa.PrimaryKeyConstraint("participant"))
    for statement in APPEND_ONLY["sqlite"]:
        op.execute(statement)
