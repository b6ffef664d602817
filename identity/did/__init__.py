"""Decentralised identifiers: did:web, did:key and did:jwk, their documents read and written.

Pure: fetching is `identity.resolve`.
"""

from identity.did.document import (
    ASSERTION,
    AUTHENTICATION,
    INVOCATION,
    DidDocument,
    Key,
    Method,
    Service,
    document,
    parse_document,
)
from identity.did.embedded import embedded_document
from identity.did.errors import BadDid
from identity.did.syntax import Did, did_of_url, parse, web_did, web_url

__all__ = [
    "ASSERTION",
    "AUTHENTICATION",
    "INVOCATION",
    "BadDid",
    "Did",
    "DidDocument",
    "Key",
    "Method",
    "Service",
    "did_of_url",
    "document",
    "embedded_document",
    "parse",
    "parse_document",
    "web_did",
    "web_url",
]
