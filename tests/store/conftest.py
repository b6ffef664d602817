"""The suite of `tests.support.stores`: every test runs on every backend."""

from tests.support.stores import backend, migrated, reopen, store, tables

__all__ = ["backend", "migrated", "reopen", "store", "tables"]
