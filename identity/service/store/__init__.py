"""Storage of the identity service: plain SQL that SQLite and PostgreSQL share (`port`), every table filtered by participant in this folder only."""
