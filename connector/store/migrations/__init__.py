"""Migrations of the connector's database: one linear history."""
