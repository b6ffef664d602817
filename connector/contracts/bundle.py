"""A contract in a file: everything that proves an agreement, and its verification by somebody who knows neither party.

    agreement, hash        the ODRL agreement as it went over the wire, and the hash of its canonical form (RFC 8785)
    parties, signatures    DIDs by role, and each party's signature (`processes.evidence`); null where a party gave none
    shown                  what the other party showed: its document, credentials, and the status lists that were relied on, by digest
    inherited              by role, the policies that the terms were written from as that party has stated them: name and digest (RFC 8785)
    journal                the steps of the negotiation on the exporter's side
    documents              DID documents, credentials, lists and inherited policies as text, by the digest of their bytes; policies as far as the exporter has them
    seal                   the exporter's signature over the hash of all this

Verification needs no network. Its steps:
    1  the documents are what their digests say                    5  the journal is a walk through the transition table to FINALIZED
    2  the hash is that of the agreement, which names the parties  6  the credentials are their issuers', about the party, in force at that time
    3  each signature that is there                                7  their status lists are the issuers' and deny nothing
    4  both signatures are there                                   8  what the terms were written from is what the parties signed; how much of it stands in them
                                                                   9  the seal is one of the parties'

What it rests on: that the DID documents in the file were the parties' at that time. Whoever has them from elsewhere gives them (`trusted`): then every key
that counts must stand in those, too. Texts of inherited policies that the file lacks may be given, too (`texts`); that terms were agreed otherwise than a policy
has them is said, and is no fault.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from connector.processes import tables
from connector.processes.evidence import SignatureWrong, check
from connector.processes.model import Role
from identity import jose
from identity.did import ASSERTION
from identity.did.document import DidDocument, parse_document
from identity.jose import thumbprint
from identity.status import DENYING, read_list, value_of
from identity.vc import Credential, check_proof, check_signature_of, read_vc
from kernel import wire
from kernel.clock import parse_iso
from kernel.errors import BadInput, KizunaError
from policies.profiles import origin

KIND: Final = "ContractEvidence"
SEAL: Final = "evidence+jwt"
ROLES: Final[tuple[Role, Role]] = ("provider", "consumer")
LARGEST: Final = 64 * 1024 * 1024
_DEEPEST: Final = 64


class Check(Struct, frozen=True):
    """One thing that was verified. `ok` is None for what is not there to be verified."""

    what: str
    ok: bool | None
    detail: str = ""


def digest(data: bytes) -> str:
    """Name of a document in a bundle."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def sealed(bundle: Mapping[str, Any], sign: Callable[[Mapping[str, Any]], str], *, party: str, at: str) -> dict[str, Any]:
    """The bundle with the exporter's signature."""
    return {**bundle, "seal": sign({"iss": party, "bundle": wire.digest(dict(bundle)), "at": at})}


def read(data: bytes) -> dict[str, Any]:
    """A bundle from a file; raises `BadInput`."""
    found = wire.loads(data, limit=LARGEST, depth=_DEEPEST)
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise BadInput("this is no evidence of a contract", next_step="make one: kizuna agreement export ID")
    return found


def verify(
    bundle: Mapping[str, Any], trusted: Mapping[str, DidDocument] | None = None, texts: Mapping[str, str] | None = None
) -> list[Check]:
    """All checks, in the order of the steps; what cannot be read fails its check. `texts`: inherited policies that one has, by digest."""
    found = _Bundle(bundle, trusted or {}, texts or {})
    steps: list[Callable[[], list[Check]]] = [
        found.contents,
        found.agreement,
        found.signatures,
        found.journal,
        found.credentials,
        found.inherited,
        found.seal,
    ]
    return [each for step in steps for each in _tried(step)]


def _tried(step: Callable[[], list[Check]]) -> list[Check]:
    try:
        return step()
    except (KizunaError, LookupError, TypeError, ValueError, AttributeError) as error:
        return [Check(step.__name__, False, getattr(error, "detail", "") or f"cannot be read: {error!r}"[:200])]


class _Bundle:
    """The steps over one bundle."""

    def __init__(self, bundle: Mapping[str, Any], trusted: Mapping[str, DidDocument], texts: Mapping[str, str]) -> None:
        self._bundle, self._trusted, self._policies = bundle, trusted, texts

    def contents(self) -> list[Check]:
        """Step 1."""
        wrong = [name for name, text in self._bundle["documents"].items() if digest(text.encode()) != name]
        return [
            Check(
                "documents",
                not wrong,
                f"changed: {', '.join(wrong)}" if wrong else f"{len(self._bundle['documents'])} as their digests say",
            )
        ]

    def agreement(self) -> list[Check]:
        """Step 2."""
        agreement, parties = self._bundle["agreement"], self._bundle["parties"]
        said = wire.digest(agreement)
        named = (agreement["assigner"], agreement["assignee"]) == (parties["provider"], parties["consumer"])
        return [
            Check("hash", said == self._bundle["hash"], said),
            Check("parties", named, f"{agreement['assigner']} to {agreement['assignee']}"),
        ]

    def signatures(self) -> list[Check]:
        """Steps 3 and 4."""
        found = [self._signature(role) for role in ROLES]
        both = all(each.ok for each in found)
        given = [role for role, each in zip(ROLES, found, strict=True) if each.ok is not None]
        return [
            *found,
            Check(
                "signed by both",
                True if both else None if len(given) < len(ROLES) else False,
                f"signed: {', '.join(given) or 'nobody'}",
            ),
        ]

    def _signature(self, role: Role) -> Check:
        token, party, what = self._bundle["signatures"].get(role), self._bundle["parties"][role], f"signature of the {role}"
        if not token:
            return Check(what, None, f"{party} gave none")
        document = self._document(party)
        try:
            stated = check(token, document, self._bundle["agreement"], self._bundle["hash"], party=party, role=role)
        except SignatureWrong as error:
            return Check(what, False, error.detail)
        return Check(what, True, f"{party} at {stated.at}, key {self._key(token, document)}")

    def journal(self) -> list[Check]:
        """Step 5."""
        state = tables.NEGOTIATION.initial
        for row in self._bundle["journal"]:
            step = tables.NEGOTIATION.find(row["before"], row["message"], row["sender"])
            if row["before"] != state or step is None or step.to != row["after"]:
                return [Check("journal", False, f"{row['message']} does not lead from {state or 'none'} to {row['after']}")]
            state = row["after"]
        return [Check("journal", state == "FINALIZED", f"{len(self._bundle['journal'])} steps to {state}")]

    def credentials(self) -> list[Check]:
        """Steps 6 and 7."""
        shown = self._bundle["shown"]
        if not shown:
            return [Check("credentials", None, "nothing was kept of what the other party showed")]
        return [each for entry in shown["credentials"] for each in self._credential(entry, shown["holder"], shown["at"])]

    def _credential(self, entry: Mapping[str, Any], holder: str, at: str) -> list[Check]:
        credential = _parsed(self._text(entry["credential"]))
        what, moment = f"credential {'+'.join(sorted(credential.kinds))}", parse_iso(at)
        self._proven(credential)
        if any(each.get("id") != holder for each in credential.subjects):
            return [Check(what, False, f"it is not about {holder}")]
        if (credential.valid_from and credential.valid_from > moment) or (
            credential.valid_until and credential.valid_until < moment
        ):
            return [Check(what, False, f"not in force at {at}")]
        statuses = [self._status(credential, each, what) for each in entry["status"]]
        if len(statuses) != len(credential.status):
            return [Check(what, False, "a status list is missing")]
        return [Check(what, True, f"by {credential.issuer}, about {holder}, in force at {at}"), *statuses]

    def _status(self, credential: Credential, kept: Mapping[str, Any], what: str) -> Check:
        entry = next(
            each
            for each in credential.status
            if (each.url, each.index, each.purpose) == (kept["url"], kept["index"], kept["purpose"])
        )
        found = _parsed(self._text(kept["list"]))
        if found.issuer != credential.issuer:
            return Check(f"status of {what}", False, "the list is of another issuer")
        self._proven(found)
        value = value_of(entry, read_list(found, entry.url), minimum_bits=0)
        return Check(
            f"status of {what}",
            not (value.value and entry.purpose in DENYING),
            f"{entry.purpose} {value.value}, read at {kept['at']}",
        )

    def _proven(self, credential: Credential) -> None:
        check_signature_of(credential.proof, credential.issuer)
        check_proof(credential.proof, self._document(credential.issuer), ASSERTION)

    def inherited(self) -> list[Check]:
        """Step 8."""
        said = {role: self._bundle.get("inherited", {}).get(role, {}) for role in ROLES}
        named = sorted({(name, digest_) for each in said.values() for name, digest_ in each.items()})
        twice = sorted({name for name, _ in named if sum(other == name for other, _ in named) > 1})
        agreed = [Check("inherited by both alike", False, f"each party states another {', '.join(twice)}")] if twice else []
        return [
            *(one for role in ROLES for one in self._stated(role, said[role])),
            *agreed,
            *(self._origin(*each) for each in named),
        ]

    def _stated(self, role: Role, said: Mapping[str, str]) -> list[Check]:
        what, token = f"inherited, as the {role} states it", self._bundle["signatures"].get(role)
        signed = jose.parse(token).claims.get("inherited", {}) if token else None
        if signed is None:
            return [Check(what, None, "the exporter says so, without a signature of that party")] if said else []
        if signed != said:
            return [Check(what, False, "the signature says otherwise")]
        return [Check(what, True, f"{len(said)} in the signature")] if said else []

    def _origin(self, name: str, digest_: str) -> Check:
        what, text = f"inherited {name}", self._bundle["documents"].get(digest_) or self._policies.get(digest_)
        if text is None:
            return Check(what, None, f"its text is not in the file, nor given: {digest_}")
        if digest(text.encode()) != digest_:
            return Check(what, False, f"the text is not {digest_}")
        rules, missing = origin.otherwise(wire.loads(text.encode()), self._bundle["agreement"])
        if missing:
            return Check(what, None, f"{digest_}; {missing} of its {rules} rules were agreed otherwise")
        return Check(what, True, f"{digest_}; all of its {rules} rules stand in the agreement")

    def seal(self) -> list[Check]:
        """Step 9."""
        token = jose.parse(self._bundle["seal"])
        party = str(token.claims.get("iss"))
        if party not in self._bundle["parties"].values() or token.typ != SEAL:
            return [Check("seal", False, "it is of none of the parties")]
        jose.verify(token, self._document(party).key(token.kid, ASSERTION))
        rest = {name: each for name, each in self._bundle.items() if name != "seal"}
        return [Check("seal", token.claims.get("bundle") == wire.digest(rest), f"{party} at {token.claims.get('at')}")]

    def _document(self, did: str) -> DidDocument:
        kept = parse_document(self._text(self._bundle["identities"][did]), did)
        other = self._trusted.get(did)
        if other is not None:
            known = {thumbprint(each.jwk) for each in other.methods.values() if each.jwk}
            foreign = [name for name in kept.assertion_method if (key := kept.methods[name].jwk) and thumbprint(key) not in known]
            if foreign:
                raise BadInput(f"{', '.join(foreign)} is not in the DID document that you trust")
        return kept

    def _text(self, name: str) -> str:
        return str(self._bundle["documents"][name])

    def _key(self, token: str, document: DidDocument) -> str:
        return thumbprint(document.methods[str(jose.parse(token).kid)].jwk or {})


def _parsed(text: str) -> Credential:
    return read_vc(text, limit=LARGEST)
