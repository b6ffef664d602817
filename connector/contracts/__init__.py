"""Contracts around the protocol: what persons decide (`persons`), evidence kept while they are made (`evidence`), and its form for others (`bundle`)."""
