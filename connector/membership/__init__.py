"""Membership of a data space: joining it (`joining`), the authority that we know (`authority`), and who it keeps out (`standing`)."""
