"""The catalog: DCAT values, their description on the wire, and who sees what."""
