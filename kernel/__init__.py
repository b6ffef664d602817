"""Shared plumbing: errors, clock, JSON, settings, web, database, outgoing calls, logs, command line. No domain knowledge."""
