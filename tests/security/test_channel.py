"""The TLS binding of callers: identity.md 4.2 and the parts of group 47 that concern the verifier (step 10)."""

import pytest

from identity.leaf import read_leaf
from identity.trust import IssuerRule, TrustPolicy
from identity.verify import Caller, VerifierProfile, authenticate, verify_token
from kernel.errors import Unauthorized
from tests.unit.identity_core.world import Party, World, certificate


async def refused(world: World, caller: Caller, reason: str, mtls: str = "required") -> None:
    with pytest.raises(Unauthorized) as caught:
        await verify_token(world.door, caller, mtls=mtls)
    assert (caught.value.facts["reason"], caught.value.facts["step"]) == (reason, 10)


def bearer(token: str, leaf: bytes | None) -> Caller:
    return Caller((f"Bearer {token}",), leaf)


@pytest.mark.parametrize("mtls", ["required", "preferred", "off"])
async def test_certificate_of_another_did(world: World, member: Party, mtls: str) -> None:
    thief = certificate("did:web:thief.example")
    token = member.token(cnf={"x5t#S256": read_leaf(thief).thumbprint})
    await refused(world, bearer(token, thief), "tls-did", mtls)


@pytest.mark.parametrize("mtls", ["required", "preferred", "off"])
async def test_token_bound_to_another_certificate_of_the_same_did(world: World, member: Party, mtls: str) -> None:
    await refused(world, bearer(member.token(), certificate(member.did)), "cnf", mtls)


@pytest.mark.parametrize("mtls", ["required", "preferred", "off"])
async def test_bound_token_without_the_certificate(world: World, member: Party, mtls: str) -> None:
    await refused(world, bearer(member.token(), None), "cnf", mtls)


async def test_required_without_a_certificate(world: World, member: Party) -> None:
    await refused(world, bearer(member.token(cnf=None), None), "tls-missing")


async def test_required_with_an_unbound_token(world: World, member: Party) -> None:
    await refused(world, bearer(member.token(cnf=None), member.leaf), "cnf-missing")


async def test_certificate_with_two_dids(world: World, member: Party) -> None:
    leaf = certificate(member.did, "did:web:thief.example")
    token = member.token(cnf={"x5t#S256": read_leaf(leaf).thumbprint})
    await refused(world, bearer(token, leaf), "tls-did")


async def test_certificate_that_names_no_did(world: World, member: Party) -> None:
    leaf = certificate(None)
    token = member.token(cnf={"x5t#S256": read_leaf(leaf).thumbprint})
    await refused(world, bearer(token, leaf), "tls-did")


@pytest.mark.parametrize("cnf", [{}, {"jkt": "x"}, "x", {"x5t#S256": 7}, {"x5t#S256": ""}, []])
async def test_confirmation_of_another_kind(world: World, member: Party, cnf: object) -> None:
    await refused(world, bearer(member.token(cnf=cnf), member.leaf), "cnf", "off")


async def test_confirmation_of_null_is_refused(world: World, member: Party) -> None:
    from identity import jose

    token = jose.sign(member.claims() | {"cnf": None}, member.key)
    await refused(world, bearer(token, member.leaf), "cnf", "off")


@pytest.mark.parametrize("mtls", ["preferred", "off"])
async def test_no_certificate_where_none_is_required(world: World, member: Party, mtls: str) -> None:
    found = await verify_token(world.door, bearer(member.token(cnf=None), None), mtls=mtls)
    assert (found.member_channel, found.thumbprint) == (False, None)


async def test_unbound_token_on_a_member_channel_where_preferred(world: World, member: Party) -> None:
    found = await verify_token(world.door, bearer(member.token(cnf=None), member.leaf), mtls="preferred")
    assert (found.member_channel, found.thumbprint) == (True, read_leaf(member.leaf).thumbprint)


async def test_rule_of_the_peer_decides(world: World, member: Party) -> None:
    caller = bearer(member.token(cnf=None), None)
    with pytest.raises(Unauthorized) as caught:
        await authenticate(world.door, caller, fresh=True)
    assert caught.value.facts["reason"] == "tls-missing"
    assert not world.web.count("/cs/")
    world.demand(mtls="off")
    assert not (await authenticate(world.door, bearer(member.token(cnf=None), None), fresh=True)).member_channel


async def test_access_token_is_demanded_by_the_profile(world: World, member: Party) -> None:
    with pytest.raises(Unauthorized) as caught:
        await authenticate(world.door, bearer(member.token(token=None), member.leaf), fresh=True)
    assert caught.value.facts["reason"] == "access-token"
    world.demand(profile=VerifierProfile(access_token=False))
    without = bearer(member.token(token=None), member.leaf)
    assert (await authenticate(world.door, without, fresh=True)).did == member.did
    assert "token" not in member.queries[-1][0]


@pytest.mark.parametrize("uri", ["https://member.example", "spiffe://member.example", "urn:x"])
async def test_certificate_whose_uri_is_no_did(world: World, member: Party, uri: str) -> None:
    leaf = certificate(uri)
    token = member.token(cnf={"x5t#S256": read_leaf(leaf).thumbprint})
    await refused(world, bearer(token, leaf), "tls-did")


def test_what_is_no_certificate_names_nobody() -> None:
    assert read_leaf(b"not a certificate").did is None


class Kept:
    """What the authority says: everybody in `dids` is out, every certificate in `leaves` is revoked."""

    def __init__(self, dids=(), leaves=()):
        self.dids, self.leaves = dict(dids), set(leaves)

    def barred(self, did: str) -> str | None:
        return self.dids.get(did)

    def revoked(self, certificate: bytes) -> bool:
        return certificate in self.leaves


@pytest.mark.parametrize("mtls", ["required", "preferred", "off"])
async def test_revoked_certificate_on_a_connection_that_is_kept_alive(world: World, member: Party, mtls: str) -> None:
    await verify_token(world.door, member.caller(), mtls=mtls)
    world.door.standing = Kept(leaves={member.leaf})
    await refused(world, member.caller(), "tls-revoked", mtls)


@pytest.mark.parametrize("why", ["suspension", "revocation"])
async def test_a_participant_that_the_authority_keeps_out(world: World, member: Party, why: str) -> None:
    await authenticate(world.door, member.caller(), fresh=True)
    world.door.standing = Kept({member.did: why})
    with pytest.raises(Unauthorized) as caught:
        await authenticate(world.door, member.caller(), fresh=False)
    assert (caught.value.facts["reason"], caught.value.facts["step"]) == (why, 9)
    world.door.standing = Kept()
    assert (await authenticate(world.door, member.caller(), fresh=True)).did == member.did


@pytest.mark.parametrize("mtls", ["required", "preferred", "off"])
@pytest.mark.parametrize("whose", ["did:web:other.example", None])
async def test_certificate_of_a_recognised_consortium_with_credentials_of_ours(
    world: World, member: Party, mtls: str, whose: str | None
) -> None:
    """The CA behind a trust bridge cannot speak for a member of ours: its certificates go with the credentials of the same bridge."""
    world.demand(mtls=mtls)
    world.door.consortium = lambda _: whose
    with pytest.raises(Unauthorized) as caught:
        await authenticate(world.door, member.caller(), fresh=True)
    assert (caught.value.facts["reason"], caught.value.facts["step"]) == ("bridge", 10)


@pytest.mark.parametrize(("bridge", "types", "let_in"), [
    ("did:web:other.example", {"MembershipCredential"}, True),
    ("did:web:other.example", {"RoleCredential"}, False),
    ("did:web:third.example", {"MembershipCredential"}, False),
])  # fmt: skip
async def test_certificate_of_a_recognised_consortium_counts_as_far_as_its_bridge(
    world: World, member: Party, bridge: str, types: set[str], let_in: bool
) -> None:
    rules = [
        IssuerRule(world.issuer.did, frozenset(types), bridge=bridge),
        IssuerRule(world.issuer.did, frozenset({"MembershipCredential"})),
    ]
    world.door.trust = TrustPolicy(rules)
    world.door.consortium = lambda _: "did:web:other.example"
    if let_in:
        assert (await authenticate(world.door, member.caller(), fresh=True)).member_channel
        return
    with pytest.raises(Unauthorized) as caught:
        await authenticate(world.door, member.caller(), fresh=True)
    assert caught.value.facts["reason"] == "bridge"
