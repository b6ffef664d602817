"""The node's certificates in use: listeners, outgoing calls, and their renewal without a restart (ADR 0005).

Rules
- The public listener serves with the server certificate, the member listener with the member certificate once there is one. Both ask for a client
  certificate of the consortium as soon as its CA is known.
- `reload` after enrolment: live listeners use the new leaf from the next handshake on; the outgoing client drops its pool.
- The member certificate is shown where a token is: a server that does not know its CA, such as another consortium's, ends the handshake.
- The CAs of recognised consortia (`connector.worker.bundles`) count for clients, and for servers that must name the DID that is called: they vouch for no other host. A
  live listener keeps a CA that is gone until the next start; its certificates are refused at the request (`identity.tls.revoked`).
"""

import ssl
from pathlib import Path
from typing import Final

from cryptography import x509

from identity.leaf import Leaf, read_leaf
from identity.tls import contexts, enrol, names
from kernel.clock import iso

BRIDGES: Final = "bridges"  # folder with a CA bundle for each recognised consortium


class Channel:
    """Certificates of one data directory; `directory` is its `tls` folder."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        enrol.finish(directory)
        self.public = contexts.server_context(directory / "server.pem", directory / "server.key")
        self._accept(self.public)
        self.member: ssl.SSLContext | None = None
        self._leaf: Leaf | None = None
        self._der = b""
        self._load_member()

    def reload(self) -> None:
        """Use what enrolment has stored."""
        self._accept(self.public)
        self._load_member()

    def client(self) -> ssl.SSLContext:
        """A context for outgoing calls, with the member certificate when there is one."""
        return contexts.client_context(self._directory / "roots.pem", self._consortium(), *self._pair())

    def anonymous(self) -> ssl.SSLContext:
        """A context for what everybody may read: our certificate is shown to nobody, least of all to a server that would end the handshake over it."""
        return contexts.client_context(self._directory / "roots.pem", self._consortium())

    def members(self) -> ssl.SSLContext:
        """A context for outgoing calls to members, whose servers must name their DID: also those of recognised consortia."""
        certificate, key = self._pair()
        roots = self._directory / "roots.pem"
        return contexts.client_context(roots, self._consortium(), certificate, key, bridges=self._bridges())

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
            "notAfter": iso(until),
        }

    def _pair(self) -> tuple[Path, Path] | tuple[None, None]:
        return (self._directory / enrol.MEMBER, self._directory / enrol.MEMBER_KEY) if self._leaf else (None, None)

    def _accept(self, context: ssl.SSLContext) -> None:
        """Ask clients for a certificate of our consortium, or of one that it recognises."""
        consortium = self._consortium()
        for each in (consortium, *self._bridges()) if consortium is not None else ():
            contexts.accept_clients(context, each)

    def _bridges(self) -> list[Path]:
        return sorted((self._directory / BRIDGES).glob("*.pem"))

    def _consortium(self) -> Path | None:
        path = self._directory / enrol.CONSORTIUM
        return path if path.exists() else None

    def _load_member(self) -> None:
        certificate, key = self._directory / enrol.MEMBER, self._directory / enrol.MEMBER_KEY
        if not certificate.exists():
            return
        if self.member is None:
            self.member = contexts.server_context(certificate, key)
        else:
            contexts.load_own(self.member, certificate, key)
        self._accept(self.member)
        self._der = ssl.PEM_cert_to_DER_cert(
            certificate.read_text(encoding="ascii").partition("-----END")[0] + "-----END CERTIFICATE-----\n"
        )
        self._leaf = read_leaf(self._der)
