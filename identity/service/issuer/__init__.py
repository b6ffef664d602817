"""DCP 1.0 issuer: definitions, metadata, requests, delivery, status lists."""
