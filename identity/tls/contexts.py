"""TLS contexts, and the files behind them (identity.md 4.4).

Rules
- TLS 1.2 or newer. Servers ask for a client certificate of the consortium and do not require it: routes decide and can say why. A client
  certificate that does not verify ends the handshake.
- `load_cert_chain` on a live server context changes the certificate of the next handshakes: rotation without a restart. Clients make a new
  context (`kernel.http.GuardedClient.reload`).
- Verification is never switched off.
- Where several participants share a port, the host name that the client asks for (SNI, RFC 6066 3) chooses whose certificate it is shown. A client that names
  none, or one without a certificate, ends in the handshake. Sessions are not resumed there: each handshake is one participant's.
"""

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

from kernel.errors import Misconfigured


def server_context(certificate: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """A server's context; raises `Misconfigured` naming the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_own(context, certificate, key)
    if client_ca is not None:
        accept_clients(context, client_ca)
    return context


def by_name(named: Callable[[str], ssl.SSLContext | None]) -> ssl.SSLContext:
    """A server's context that hands every connection to the one that `named` gives for its host name, which is the connection's `context` from then on.

    Whether clients are asked for a certificate is decided before that, by this context's `verify_mode`; whose certificates count, by the chosen one.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        found = named(name.lower()) if name else None
        if found is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = found
        return None

    context.sni_callback = choose
    return context


def load_own(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Use this certificate from the next handshake on; one that cannot be used changes nothing."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)  # a failure leaves half of the pair in a context
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(f"{certificate} and {key} cannot be used: {error}", next_step="check both files") from error


def accept_clients(context: ssl.SSLContext, client_ca: Path) -> None:
    """Ask clients for a certificate of these CAs, from the next handshake on."""
    try:
        context.load_verify_locations(client_ca)
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(f"{client_ca} cannot be used: {error}", next_step="enrol again to get the bundle") from error
    context.verify_mode = ssl.CERT_OPTIONAL


def client_context(
    roots: Path | None,
    consortium: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    bridges: Sequence[Path] = (),
) -> ssl.SSLContext:
    """A client's context: the system's roots, or those in `roots`; the consortium's CA, and those of recognised ones; our member certificate when there is one."""
    try:
        context = ssl.create_default_context(cafile=str(roots) if roots else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        for each in (*([consortium] if consortium else []), *bridges):
            context.load_verify_locations(each)
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(f"trusted certificates cannot be read: {error}", next_step="check the files in tls/") from error
    if certificate is not None and key is not None:
        load_own(context, certificate, key)
    return context
