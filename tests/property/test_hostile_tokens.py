"""Whatever stands in a token, presentation, credential or list: the door answers with `Unauthorized` and never breaks."""

import asyncio
import contextlib
import copy
import random
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identity import jose
from identity.profiles import PROFILES
from identity.vc import VC20_DI, BadCredential
from identity.vc.integrity import add_proof
from identity.verify import authenticate
from kernel import wire
from kernel.errors import Unauthorized
from kernel.http import Reply
from tests.unit.identity_core.world import StatusHost, World

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["did:web:member.example%3A8443", "0x1", "vc", "https://x.example", "2026-01-01T00:00:00Z", "JsonSchema"]),
    st.lists(st.text(max_size=3) | st.integers(-9, 9), max_size=3),
    st.dictionaries(
        st.sampled_from(["id", "type", "a"]), st.text(max_size=3) | st.lists(st.integers(0, 9), max_size=2), max_size=2
    ),
)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Every place in a document."""
    found = [path] if path else []
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in members:
        found += places(each, (*path, name))
    return found


def with_odd(document: dict, choice: random.Random, odd: Any) -> dict:
    """The document with one place replaced, or one member added."""
    changed = copy.deepcopy(document)
    *way, last = choice.choice(places(changed))
    inside: Any = changed
    for step in way:
        inside = inside[step]
    inside[last] = odd
    return changed


async def attempt(where: str, profile: str, choice: random.Random, odd: Any) -> None:
    world = World()
    member, issuer = world.member, world.issuer
    world.demand(profile=PROFILES[profile], mtls="preferred")
    host = StatusHost(issuer, "1")
    messages = [{"status": hex(value), "message": "m"} for value in range(2)]
    claims = jose.parse(
        issuer.issue(member.did, status=[host.entry(3)], schemas=[{"id": "https://x.example", "type": "JsonSchema"}])
    ).claims
    claims["credentialStatus"] |= {"statusSize": 1, "statusMessage": messages, "statusReference": ["https://x.example/"]}
    del claims["credentialSchema"]
    parts: dict[str, dict] = {"credential": claims, "list": jose.parse(host.jwt, limit=100_000).claims}
    header: dict[str, dict] = {"credential": {"cty": "vc"}, "presentation": {"cty": "vp"}, "token": {"x": 1}, "list": {"cty": "vc"}}
    if where in parts:
        parts[where] = with_odd(parts[where], choice, odd)
    if where == "header":
        header = {name: with_odd(value | {"iss": 1, "exp": 2}, choice, odd) for name, value in header.items()}
    credential = jose.sign(parts["credential"], issuer.key, typ="vc+jwt", header=header["credential"])
    body = jose.sign(parts["list"], issuer.key, typ="vc+jwt", header=header["list"]).encode()
    world.web.answers[host.url] = lambda *_: Reply(200, {}, body)
    shown = jose.parse(member.present(credentials=[credential]), limit=200_000).claims
    shown = with_odd(shown, choice, odd) if where == "presentation" else shown
    answer = {
        "type": "PresentationResponseMessage",
        "presentation": [jose.sign(shown, member.key, typ="vp+jwt", header=header["presentation"])],
    }
    answer = with_odd(answer, choice, odd) if where == "answer" else answer
    world.web.answers[f"{member.base}/cs/presentations/query"] = lambda *_: Reply(200, {}, wire.dumps(answer))
    if where == "document":
        member.document = with_odd(member.document, choice, odd)
    token = member.claims()
    token = with_odd(token, choice, odd) if where == "token" else token
    caller = member.caller(jose.sign(token, member.key, header=header["token"]))
    with contextlib.suppress(Unauthorized):
        await authenticate(world.door, caller, fresh=True)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    where=st.sampled_from(["token", "document", "answer", "presentation", "credential", "list", "header"]),
    profile=st.sampled_from(sorted(PROFILES)),
    choice=st.randoms(use_true_random=False),
    odd=ODD,
)
def test_one_odd_value_anywhere(where: str, profile: str, choice: random.Random, odd: Any) -> None:
    asyncio.run(attempt(where, profile, choice, odd))


def documents(world: World, where: str, choice: random.Random, odd: Any) -> tuple[dict, dict, str]:
    """Presentation, status list and its address: the odd value is signed over, stands in a proof, or came after the signature."""
    member, issuer, now = world.member, world.issuer, world.clock.now()
    host = StatusHost(issuer, "1")
    host.changes["format"] = VC20_DI
    host.sign()
    credential = wire.loads(issuer.issue(member.did, status=[host.entry(3)], format=VC20_DI))
    listed = wire.loads(host.jwt)
    shown = wire.loads(member.present(credentials=[], format=VC20_DI))
    options = {"purpose": "authentication", "created": now, "domain": world.verifier.did, "expires": now + timedelta(minutes=5)}
    if where == "signed credential":
        credential = add_proof(with_odd(without_proof(credential), choice, odd), issuer.key, purpose="assertionMethod", created=now)
    if where == "signed list":
        listed = add_proof(with_odd(without_proof(listed), choice, odd), issuer.key, purpose="assertionMethod", created=now)
    shown = without_proof(shown) | {
        "verifiableCredential": [with_odd(credential, choice, odd) if where == "credential" else credential]
    }
    shown = add_proof(with_odd(shown, choice, odd) if where == "signed presentation" else shown, member.key, **options)
    shown = with_odd(shown, choice, odd) if where == "presentation" else shown
    return shown, with_odd(listed, choice, odd) if where == "list" else listed, host.url


async def attempt_document(where: str, profile: str, choice: random.Random, odd: Any) -> None:
    """The same with Data Integrity."""
    world = World()
    world.demand(profile=PROFILES[profile], mtls="preferred")
    try:
        shown, listed, url = documents(world, where, choice, odd)
    except BadCredential:
        return  # a number that has no canonical form: nobody can sign it
    world.web.answers[url] = lambda *_: Reply(200, {}, wire.dumps(listed))
    world.member.shows(shown)
    with contextlib.suppress(Unauthorized):
        await authenticate(world.door, world.member.caller(), fresh=True)


def without_proof(document: dict) -> dict:
    return {name: value for name, value in document.items() if name != "proof"}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    where=st.sampled_from(["signed credential", "signed list", "signed presentation", "credential", "presentation", "list"]),
    profile=st.sampled_from(sorted(PROFILES)),
    choice=st.randoms(use_true_random=False),
    odd=ODD,
)
def test_one_odd_value_in_documents(where: str, profile: str, choice: random.Random, odd: Any) -> None:
    asyncio.run(attempt_document(where, profile, choice, odd))
