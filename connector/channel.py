"""The node's certificates in use: listeners, outgoing calls, and their renewal without a restart (ADR 0005).

Rules
- The public listener serves with the server certificate, the member listener with the member certificate once there is one. Both ask for a client
  certificate of the consortium as soon as its CA is known.
- `reload` after enrolment: live listeners use the new leaf from the next handshake on; the outgoing client drops its pool.
"""

import ssl
from pathlib import Path

from cryptography import x509

from identity.leaf import Leaf, read_leaf
from identity.tls import contexts, enrol, names


class Channel:
    """Certificates of one data directory; `directory` is its `tls` folder."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        enrol.finish(directory)
        self.public = contexts.server_context(directory / "server.pem", directory / "server.key", self._consortium())
        self.member: ssl.SSLContext | None = None
        self._leaf: Leaf | None = None
        self._der = b""
        self._load_member()

    def reload(self) -> None:
        """Use what enrolment has stored."""
        consortium = self._consortium()
        if consortium is not None:
            contexts.accept_clients(self.public, consortium)
        self._load_member()

    def client(self) -> ssl.SSLContext:
        """A context for outgoing calls, with the member certificate when there is one."""
        pair = (self._directory / enrol.MEMBER, self._directory / enrol.MEMBER_KEY) if self._leaf else (None, None)
        return contexts.client_context(self._directory / "roots.pem", self._consortium(), *pair)

    @property
    def thumbprint(self) -> str | None:
        """`x5t#S256` of the current member certificate."""
        return self._leaf.thumbprint if self._leaf else None

    def described(self) -> dict[str, str]:
        """The member certificate for people; empty without one."""
        if self._leaf is None:
            return {}
        until = x509.load_der_x509_certificate(self._der).not_valid_after_utc
        return {
            "did": self._leaf.did or "",
            "serial": names.serial(self._der),
            "thumbprint": self._leaf.thumbprint,
            "notAfter": until.isoformat(),
        }

    def _consortium(self) -> Path | None:
        path = self._directory / enrol.CONSORTIUM
        return path if path.exists() else None

    def _load_member(self) -> None:
        certificate, key = self._directory / enrol.MEMBER, self._directory / enrol.MEMBER_KEY
        if not certificate.exists():
            return
        if self.member is None:
            self.member = contexts.server_context(certificate, key, self._consortium())
        else:
            contexts.load_own(self.member, certificate, key)
        self._der = ssl.PEM_cert_to_DER_cert(
            certificate.read_text(encoding="ascii").partition("-----END")[0] + "-----END CERTIFICATE-----\n"
        )
        self._leaf = read_leaf(self._der)
