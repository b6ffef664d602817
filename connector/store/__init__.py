"""The connector's memory: one schema, one suite of tests, a backend per database (DESIGN 4)."""
