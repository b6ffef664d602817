"""The trust framework: DIDs, keys, tokens, credentials, status lists, certificates, the holder's wallet, and the identity service."""
