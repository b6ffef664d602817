"""Settings of a connector: `connector.toml` in its data directory, each overridable by an environment variable.

Rules
- One frozen value, read once at start. An unknown key stops the start and names the nearest known one.
- `KIZUNA_CONNECTOR_<FIELD>` overrides a plain field. Tables (`issuers`, `peers`, `accepts`, `catalogs`, `oidc`) come from the file only.
- The management API listens on 127.0.0.1; another address needs `management_certificate` and `management_key` (`identity.access.settings`).
- No setting makes the connector accept an unsigned caller.

Not done here: making the directory (`connector.cli`), loading keys and certificates (`connector.app`).
"""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from identity.access.settings import Oidc, check_listener, check_oidc
from identity.wallet.clients import Client
from kernel import settings
from kernel.errors import Misconfigured
from policies.profiles.bounds import Leeway

FILE = "connector.toml"
ENVIRONMENT = "KIZUNA_CONNECTOR_"
DSP_PATH = "/dsp/2025-1"
RESERVED = frozenset({"dsp", "cs", "data", "inbox", "sts"})


class Issuer(Struct, frozen=True, forbid_unknown_fields=True):
    """A trusted issuer of credentials."""

    did: Annotated[str, Meta(description="DID of the issuer.")]
    types: Annotated[tuple[str, ...], Meta(description="Credential types that this issuer may issue.")]


class Peer(Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for one counterparty and not for all."""

    did: Annotated[str, Meta(description="DID of the counterparty.")]
    mtls: Annotated[
        Literal["required", "preferred", "off"],
        Meta(description="Whether its member certificate must be there: required, preferred or off."),
    ] = "required"
    scopes: Annotated[
        tuple[str, ...], Meta(description="DCP scopes to ask of it instead of the profile's; empty = the profile's.")
    ] = ()
    verifier: Annotated[
        Literal["strict", "dcp-tck", "edc", "gaia-x-loire"],
        Meta(description="How strictly its token and credentials are verified; see identity/profiles.py."),
    ] = "strict"
    dialect: Annotated[
        Literal["dsp", "edc"],
        Meta(
            description="How it speaks: as the protocol is written, or as Eclipse EDC does (data addresses, policies without profile)."
        ),
    ] = "dsp"
    unknown_contexts: Annotated[
        Literal["refuse", "skip"],
        Meta(
            description="What its messages get for a JSON-LD context that we do not know: refused, or read without it. Its names then mean nothing,"
            " and policies that need them permit nothing."
        ),
    ] = "refuse"
    ready_within: Annotated[
        int,
        Meta(
            description="Seconds for which a first message that it answers by 404 is sent again, for peers that are not ready at once;"
            " 0 = the negotiation or transfer ends.",
            ge=0,
            le=86_400,
        ),
    ] = 0


class Acceptable(Leeway, frozen=True, forbid_unknown_fields=True):
    """What offers of providers are accepted without a person, also those that nobody has asked for."""

    providers: Annotated[tuple[str, ...], Meta(description="DIDs of the providers; empty = every provider.")] = ()


class Nested(Struct, frozen=True, forbid_unknown_fields=True):
    """A catalog of another participant that stands in ours."""

    did: Annotated[str, Meta(description="DID of the participant.")]
    endpoint: Annotated[str, Meta(description="Base URL of its DSP endpoints.")]
    title: Annotated[str, Meta(description="Title, in English.")]


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of one connector. `scheme` is none: a test of a peer without TLS derives a class from this one."""

    scheme: ClassVar[str] = "https"
    name: Annotated[str, Meta(description="Name of the company, shown in catalogs.")]
    host: Annotated[str, Meta(description="Host name of both listeners; part of the DID.")] = "localhost"
    base_path: Annotated[
        str,
        Meta(
            description="Path of this participant below the host, where several share it; part of the DID. Empty: directly below it.",
            pattern=r"^([a-z0-9][a-z0-9-]{0,62})?$",
        ),
    ] = ""
    bind: Annotated[str, Meta(description="Address that the public and the member listener bind to.")] = "127.0.0.1"
    public_port: Annotated[int, Meta(description="HTTPS port of the public listener; part of the DID.", gt=0, lt=65536)]
    member_port: Annotated[int, Meta(description="HTTPS port of the member listener.", gt=0, lt=65536)]
    management_port: Annotated[int, Meta(description="Port of the management API.", gt=0, lt=65536)]
    management_bind: Annotated[str, Meta(description="Address of the management API.")] = "127.0.0.1"
    management_certificate: Annotated[str, Meta(description="PEM file; needed unless management_bind is a loopback.")] = ""
    management_key: Annotated[str, Meta(description="PEM file; needed unless management_bind is a loopback.")] = ""
    profile: Annotated[str, Meta(description="Data-space profile: the name of a shipped one, or a folder.")]
    authority: Annotated[str, Meta(description="DID of the consortium's identity service, pinned at installation.")]
    authority_key: Annotated[
        str,
        Meta(
            description="Thumbprint (RFC 7638) of the authority's key for event feed and trust list; empty = the first one seen is pinned."
        ),
    ] = ""
    feed_silence: Annotated[
        int,
        Meta(description="Seconds without the authority's event feed after which every decision reads status anew.", ge=30, le=60),
    ] = 50
    on_overdue: Annotated[
        Literal["notice", "terminate"],
        Meta(
            description="What a provider does when a duty is overdue and its policy names no consequence: a warning, or the end of the agreement."
        ),
    ] = "notice"
    on_suspension: Annotated[
        Literal["suspend", "terminate"], Meta(description="What happens to the running transfers of a member that is suspended.")
    ] = "suspend"
    issuers: Annotated[
        tuple[Issuer, ...], Meta(description="Trusted issuers beside the authority, with their credential types.")
    ] = ()
    schema_hosts: Annotated[
        tuple[str, ...],
        Meta(description="Hosts (`host` or `host:port`) whose credential schemas are fetched, beside the issuers' own."),
    ] = ()
    peers: Annotated[tuple[Peer, ...], Meta(description="Rules for single counterparties.")] = ()
    accepts: Annotated[
        tuple[Acceptable, ...],
        Meta(
            description="Offers of providers that are accepted without a person; a request may say its own (`kizuna negotiate --open`)."
        ),
    ] = ()
    catalogs: Annotated[tuple[Nested, ...], Meta(description="Catalogs of others that stand in ours.")] = ()
    oidc: Annotated[Oidc | None, Meta(description="Identity provider whose tokens the management API takes; a table.")] = None
    auto_negotiation: Annotated[
        bool,
        Meta(description="Whether contracts are agreed to and offers accepted without a person where policy and offer allow it."),
    ] = True
    allow_private: Annotated[
        tuple[str, ...],
        Meta(description="Host names or networks with private addresses that peers may name; none by default."),
    ] = ()
    database: Annotated[
        str,
        Meta(
            description="PostgreSQL URL (`postgresql://user@host/name`), shared by replicas and by other participants; empty = SQLite in the"
            " data directory. Keep the password out of it: `?passfile=...`, or set this by its environment variable."
        ),
    ] = ""
    lease: Annotated[
        float,
        Meta(description="Seconds for which a replica keeps a message to itself before another one may send it.", ge=1, le=3600),
    ] = 30.0
    payload_folder: Annotated[
        str,
        Meta(description="Folder of published and received datasets, shared by replicas; empty = the data directory."),
    ] = ""
    page_size: Annotated[int, Meta(description="Datasets in one catalog page.", ge=1, le=1000)] = 50
    max_payload: Annotated[int, Meta(description="Largest dataset taken in or pulled, in bytes.", ge=1)] = 10_737_418_240
    parallel_sends: Annotated[
        int, Meta(description="Messages sent at the same time; three quarters of them to one peer at most.", ge=1, le=1024)
    ] = 64
    keep_events: Annotated[
        int,
        Meta(
            description="Days for which what has happened can be followed (`GET /v1/events`); older events are removed.",
            ge=1,
            le=36_500,
        ),
    ] = 90
    passphrase_file: Annotated[
        str, Meta(description="File with the passphrase of the encrypted keys; empty = the systemd credential, if there is one.")
    ] = ""
    sts_clients: Annotated[
        tuple[Client, ...], Meta(description="Programs that may draw tokens at /sts/token (management API).")
    ] = ()
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Lowest level logged.")] = "info"

    @property
    def did(self) -> str:
        """The participant's DID: `did:web` over the public listener."""
        return f"did:web:{self.host}%3A{self.public_port}" + (f":{self.base_path}" if self.base_path else "")

    @property
    def below(self) -> str:
        """What our addresses have between host and path: `/<base_path>`, or nothing."""
        return f"/{self.base_path}" if self.base_path else ""

    @property
    def public_url(self) -> str:
        """Base URL of the public listener, without a trailing slash."""
        return f"{self.scheme}://{self.host}:{self.public_port}{self.below}"

    @property
    def member_url(self) -> str:
        """Base URL of the member listener, without a trailing slash."""
        return f"{self.scheme}://{self.host}:{self.member_port}{self.below}"

    @property
    def dsp_url(self) -> str:
        """Base URL of DSP 2025-1 for members: the callback address of our messages."""
        return self.member_url + DSP_PATH


def load(directory: Path) -> Settings:
    """Read and check the settings of the data directory; raises `Misconfigured`."""
    found = settings.load(Settings, directory / FILE, env_prefix=ENVIRONMENT)
    check(found)
    return found


def check(found: Settings) -> None:
    """Refuse what would be unsafe or cannot work; raises `Misconfigured` with the next step."""
    ports = (found.public_port, found.member_port, found.management_port)
    if len(set(ports)) != len(ports):
        raise Misconfigured("two listeners have the same port", next_step="give each listener a port of its own")
    if found.base_path in RESERVED:
        raise Misconfigured(
            f"base_path = {found.base_path} is a path of ours", next_step="choose another one, such as the company's name"
        )
    check_listener(found.management_bind, found.management_certificate, found.management_key)
    check_oidc(found.oidc)
