"""What the CA and its callers read from a certificate: DID and thumbprint (`identity.leaf`), serial number."""

from cryptography import x509

from identity.leaf import read_leaf


def did_of(der: bytes) -> str | None:
    """The DID that the certificate names, if it names exactly one."""
    return read_leaf(der).did


def thumbprint(der: bytes) -> str:
    """base64url of SHA-256 over the DER form: `x5t#S256`."""
    return read_leaf(der).thumbprint


def serial(der: bytes) -> str:
    """The serial number in lower-case hexadecimal."""
    return f"{x509.load_der_x509_certificate(der).serial_number:x}"
