"""What the story needs before it begins: a certificate authority that everybody trusts, ports, and data directories.

Outside the demonstration the server certificates come from a public CA. Here `WebCa` plays that part, for host `localhost` only.
"""

from pathlib import Path

from deploy.demo.ports import reserve
from deploy.demo.processes import Node, command
from deploy.demo.topology import PILOTS, Company, DataSpace, Part
from identity.tls import web
from kernel import wire

HOST = "localhost"


class World:
    """The nodes of one story under one directory."""

    def __init__(self, directory: Path, story: str, space: DataSpace) -> None:
        self.directory = directory
        self.space = space
        self.samples = PILOTS / story
        self.base = reserve()
        self._ca = web.WebCa.create()
        directory.mkdir(parents=True, exist_ok=True)
        self.roots = directory / "roots.pem"
        self.roots.write_bytes(self._ca.certificate_pem)
        self._ca_key = directory / "web-ca.key"
        self._ca.save(self._ca_key)
        self.authority_key = ""
        self.authority_did = f"did:web:{HOST}%3A{self.base}"
        self.identity = Node("identity service", directory / "identity", ("identity", "run"), f"http://127.0.0.1:{self.base + 1}")
        self.connectors = {
            company.part: Node(
                company.name, directory / company.key, ("connector", "run"), f"http://127.0.0.1:{self.port(index) + 2}"
            )
            for index, company in enumerate(space.company)
        }
        self.other_roles: list[Node] = []  # processes of the identity service beside the authority's, where its roles run apart
        self.outsider_port, self.relay_port = self.base + 18, self.base + 19
        self.outsider_did = f"did:web:{HOST}%3A{self.outsider_port}"

    @property
    def nodes(self) -> list[Node]:
        return [self.identity, *self.other_roles, *self.connectors.values()]

    def port(self, index: int) -> int:
        """First of the three ports of the company at `index`: public, member, management."""
        return self.base + 4 + 4 * index

    def did(self, part: Part) -> str:
        index = [company.part for company in self.space.company].index(part)
        return f"did:web:{HOST}%3A{self.port(index)}"

    def company(self, part: Part) -> Company:
        return next(company for company in self.space.company if company.part == part)

    def server_certificate(self, name: str) -> tuple[Path, Path]:
        """A server certificate for `localhost`: (certificate, key) files."""
        return write_certificate(self.directory / name, self._ca.issue([HOST, "127.0.0.1"]))

    def make_identity(self, *, relayed: bool = False, database: str = "") -> None:
        """`kizuna identity init`; `relayed`: members find the event feed at the relay's port. With a PostgreSQL database, its roles run apart."""
        ports = {"authority": self.base, "issuer": self.base + 2, "ca": self.base + 16}
        certificate, key = self.server_certificate("identity-server")
        consortium = self.space.consortium
        made = command(
            "identity", "init", "--json", "--dir", str(self.identity.directory), "--host", HOST, "--port", str(self.base),
            "--management-port", str(self.base + 1), "--tls-cert", str(certificate), "--tls-key", str(key),
            "--roots", str(self.roots), "--definitions", str(PILOTS / "definitions.toml"), "--name", consortium.name,
            "--data-space", consortium.data_space, "--allow-private", HOST,
            *(("--events-url", f"https://{HOST}:{self.relay_port}/authority/v1/events") if relayed else ()),
            *(("--database", database, "--issuer-url", f"https://{HOST}:{ports['issuer']}", "--ca-url", f"https://{HOST}:{ports['ca']}")
              if database else ()),
        )  # fmt: skip
        self.authority_key = str(wire.loads(made)["key"])
        if database:
            self.identity, *self.other_roles = [self._split(role, port) for role, port in ports.items()]

    def _split(self, role: str, port: int) -> Node:
        """`kizuna identity split`: the process of one role."""
        directory = self.directory / role
        command(
            "identity",
            "split",
            "--dir",
            str(self.directory / "identity"),
            "--to",
            str(directory),
            "--role",
            role,
            "--port",
            str(port),
        )
        return Node(role, directory, ("identity", "run"), f"http://127.0.0.1:{port + 1}")

    def make_connector(self, part: Part, issuer: str = "") -> None:
        """`kizuna connector init`; `issuer` is the DID of the recognised issuer of outsiders, if there are any."""
        company, node = self.company(part), self.connectors[part]
        certificate, key = self.server_certificate(f"{company.key}-server")
        port = self.port(self.space.company.index(company))
        command(
            "connector", "init", "--dir", str(node.directory), "--name", company.name, "--profile", self.space.profile,
            "--authority", self.authority_did, "--authority-key", self.authority_key, "--host", HOST, "--public-port", str(port), "--member-port", str(port + 1),
            "--management-port", str(port + 2), "--tls-cert", str(certificate), "--tls-key", str(key),
            "--roots", str(self.roots), "--allow-private", HOST,
            *(("--issuer", f"{issuer}=PartnerCredential", "--open-peer", f"{self.outsider_did}=PartnerCredential") if issuer else ()),
        )  # fmt: skip


def write_certificate(name: Path, made: tuple[bytes, bytes]) -> tuple[Path, Path]:
    """Write (certificate, key) as `name`.pem and `name`.key, the key for its owner only."""
    paths = name.with_name(f"{name.name}.pem"), name.with_name(f"{name.name}.key")
    for path, data in zip(paths, made, strict=True):
        path.touch(mode=0o600)
        path.write_bytes(data)
    return paths
