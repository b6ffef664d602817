"""Catalogs: datasets, their self-descriptions, and what a participant may see of them."""
