"""The worker is tested over every backend of the store."""

from tests.support.stores import backend, migrated, reopen, store, tables

__all__ = ["backend", "migrated", "reopen", "store", "tables"]
