"""Settings of the identity service: `identity.toml` in its data directory, each overridable by an environment variable.

Rules
- One frozen value, read once at start. An unknown key stops the start and names the nearest known one.
- `KIZUNA_IDENTITY_<FIELD>` overrides a field.
- The management API listens on 127.0.0.1; another address needs `management_certificate` and `management_key` (`identity.access.settings`).
- Host and port are part of the DID, so they cannot change once members trust it: a new port is a new identity.

Not done here: making the directory (`setup`), reading keys (`app`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, structs

from identity.access.settings import Oidc, check_listener, check_oidc
from kernel import settings
from kernel.errors import Misconfigured

FILE: Final = "identity.toml"
Role = Literal["authority", "issuer", "ca"]
ROLES: Final[tuple[Role, ...]] = ("authority", "issuer", "ca")
KEYS: Final[Mapping[Role, tuple[str, ...]]] = {
    "authority": ("trust",),
    "issuer": ("si", "vc"),
    "ca": (),
}  # purposes in keys/; the CA's are in ca/
ENVIRONMENT: Final = "KIZUNA_IDENTITY_"


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of one identity service."""

    name: Annotated[str, Meta(description="Name of the operator, shown in logs.")]
    data_space: Annotated[str, Meta(description="Name of the data space; the claim memberOf.", min_length=1)]
    host: Annotated[str, Meta(description="Host name of the public listener; part of the DID.")] = "localhost"
    bind: Annotated[str, Meta(description="Address that the public listener binds to.")] = "127.0.0.1"
    port: Annotated[int, Meta(description="HTTPS port of the public listener; part of the DID.", gt=0, lt=65536)]
    management_port: Annotated[int, Meta(description="Port of the management API.", gt=0, lt=65536)]
    management_bind: Annotated[str, Meta(description="Address of the management API.")] = "127.0.0.1"
    management_certificate: Annotated[str, Meta(description="PEM file; needed unless management_bind is a loopback.")] = ""
    management_key: Annotated[str, Meta(description="PEM file; needed unless management_bind is a loopback.")] = ""
    oidc: Annotated[Oidc | None, Meta(description="Identity provider whose tokens the management API takes; a table.")] = None
    roots: Annotated[str, Meta(description="PEM file with the roots trusted for outgoing HTTPS; empty = the system's.")] = ""
    allow_private: Annotated[
        tuple[str, ...],
        Meta(description="Host names or networks with private addresses that members may have; none by default."),
    ] = ()
    invitation_days: Annotated[int, Meta(description="Life of an invitation in days.", ge=1, le=366)] = 30
    certificate_hours: Annotated[int, Meta(description="Life of a member certificate in hours (24 to 168).", ge=24, le=168)] = 72
    certificates_per_hour: Annotated[
        int, Meta(description="Member certificates that one member may get within an hour.", ge=1, le=1000)
    ] = 20
    delivery_days: Annotated[int, Meta(description="Days after which an undeliverable credential is given up.", ge=1, le=90)] = 7
    status_max_age: Annotated[int, Meta(description="Seconds that a status list may be cached (Cache-Control).", ge=0, le=30)] = 5
    roles: Annotated[
        tuple[Role, ...],
        Meta(
            description="What this process does: authority, issuer, ca. Fewer than all need `database`, and a process for each of the others.",
            min_length=1,
        ),
    ] = ROLES
    listen_port: Annotated[
        int, Meta(description="Port of this process's public listener where it is not `port`; 0 = `port`.", ge=0, lt=65536)
    ] = 0
    issuer_url: Annotated[
        str, Meta(description="Public address of the issuer where it is not the authority's: `https://host:port`.")
    ] = ""
    ca_url: Annotated[str, Meta(description="Public address of the CA where it is not the authority's: `https://host:port`.")] = ""
    database: Annotated[
        str,
        Meta(
            description="PostgreSQL URL (`postgresql://user@host/name`) of a database of its own, which the processes of all roles share; empty = SQLite in the"
            " data directory. Keep the password out of it: `?passfile=...`, or set this by its environment variable."
        ),
    ] = ""
    events_url: Annotated[
        str, Meta(description="Address under which members find the event feed, where it is not the public listener's own.")
    ] = ""
    passphrase_file: Annotated[
        str, Meta(description="File with the passphrase of the encrypted keys; empty = the systemd credential, if there is one.")
    ] = ""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Lowest level logged.")] = "info"

    @property
    def did(self) -> str:
        """DID of the service: authority, issuer and CA."""
        return f"did:web:{self.host}%3A{self.port}"

    @property
    def url(self) -> str:
        """Base URL of the public listener, without a trailing slash."""
        return f"https://{self.host}:{self.port}"

    def address(self, role: Role) -> str:
        """Public base URL of a role, without a trailing slash."""
        apart = {"issuer": self.issuer_url, "ca": self.ca_url}.get(role, "")
        return (apart or self.url).removesuffix("/")


def load(directory: Path, roles: tuple[Role, ...] = ()) -> Settings:
    """Read and check the settings of the data directory, with these roles if any are given; raises `Misconfigured`."""
    found = settings.load(Settings, directory / FILE, env_prefix=ENVIRONMENT)
    if roles:
        found = structs.replace(found, roles=roles)
    check(found)
    return found


def check(found: Settings) -> None:
    """Refuse what would be unsafe or cannot work; raises `Misconfigured` with the next step."""
    if found.port == found.management_port:
        raise Misconfigured("port and management_port are the same", next_step="give each listener a port of its own")
    for name in ("events_url", "issuer_url", "ca_url"):
        url = getattr(found, name)
        if url and not url.startswith("https://"):
            raise Misconfigured(f"{name} = {url} is not https", next_step="members call it over HTTPS only")
    if set(found.roles) != set(ROLES) and not found.database:
        raise Misconfigured(
            f"roles = {', '.join(found.roles)}: a process with fewer than all roles shares a PostgreSQL database with the others",
            next_step="set `database`, or run all roles here",
        )
    check_listener(found.management_bind, found.management_certificate, found.management_key)
    check_oidc(found.oidc)
