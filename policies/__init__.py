"""Usage policies: the ODRL engine (`odrl`) and data-space profiles as data (`profiles`)."""
