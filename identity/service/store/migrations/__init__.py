"""Alembic history of the identity service: one line of revisions."""
