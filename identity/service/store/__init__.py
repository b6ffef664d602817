"""Storage of the identity service: one SQLite file, plain SQL, every table filtered by participant in this folder only."""
