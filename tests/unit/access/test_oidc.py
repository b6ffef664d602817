"""identity.access.oidc: tokens of a provider that runs beside the test, over TLS; and what attackers send instead of them."""

import asyncio
import base64
import hashlib
import hmac
import json
import shutil
import ssl
from datetime import UTC, datetime, timedelta

import jwt
import msgspec
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from identity.access.oidc import provider
from identity.access.settings import Oidc, OidcGrant, check_listener, check_oidc
from kernel import telemetry
from kernel.errors import Misconfigured
from kernel.http import GuardedClient
from tests.unit.access.conftest import World

HOST = "login.acme.example"


def certificate(directory):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    own, secret = directory / "idp.pem", directory / "idp.key"
    own.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return own, secret


class Login:
    """An identity provider: metadata, a key set that can be rotated, tokens. It counts what it is asked."""

    def __init__(self, directory, clock):
        self.own, self.secret = certificate(directory)
        self.clock, self.asked, self.runner, self.port = clock, [], None, 0
        self.keys, self.shown, self.overrides, self.answers = {}, [], {}, {}
        self.rotate("k1")

    def rotate(self, kid, kind="RSA", *, publish=True):
        self.kid = kid
        self.keys[kid] = rsa.generate_private_key(65537, 2048) if kind == "RSA" else ec.generate_private_key(ec.SECP256R1())
        if publish:
            self.shown = [kid]

    @property
    def issuer(self):
        return f"https://{HOST}:{self.port}/realms/main"

    def jwk(self, kid):
        algorithm = jwt.algorithms.RSAAlgorithm if isinstance(self.keys[kid], rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
        return {**algorithm.to_jwk(self.keys[kid].public_key(), as_dict=True), "kid": kid, "use": "sig"}

    async def _answer(self, request):
        self.asked.append(request.path)
        if request.path in self.answers:
            status, body, headers = self.answers[request.path]
            return web.Response(status=status, body=body, headers=headers)
        if request.path.endswith("/.well-known/openid-configuration"):
            return web.json_response({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"} | self.overrides)
        encryption = self.jwk(self.shown[0]) | {"kid": "enc", "use": "enc"}
        return web.json_response({"keys": [encryption, {"kty": "oct", "k": "c2VjcmV0"}, *map(self.jwk, self.shown)]})

    async def start(self):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.own, self.secret)
        self.runner = web.ServerRunner(web.Server(self._answer))
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", self.port, ssl_context=context)
        await site.start()
        self.port = self.runner.addresses[0][1]

    async def stop(self):
        await self.runner.cleanup()

    def claims(self, **changed):
        now = int(self.clock.now().timestamp())
        found = {
            "iss": self.issuer, "sub": "0b6c", "aud": ["account", "kizuna"], "exp": now + 300, "iat": now, "nbf": now,
            "preferred_username": "hanako", "realm_access": {"roles": ["offline", "kizuna-operators"]},
        }  # fmt: skip
        return {name: value for name, value in (found | changed).items() if value is not None}

    def token(self, *, kid=..., header=None, alg=None, key=None, **changed):
        kid = self.kid if kid is ... else kid
        signer = key or self.keys[self.kid]
        alg = alg or ("RS256" if isinstance(signer, rsa.RSAPrivateKey) else "ES256")
        return jwt.encode(self.claims(**changed), signer, alg, headers={**({"kid": kid} if kid else {}), **(header or {})})


GRANTS = (
    OidcGrant("kizuna-operators", "operate", ("things",)),
    OidcGrant("kizuna-auditors", "read", ("audit",)),
    OidcGrant("kizuna-admins", "admin"),
)


class Names:
    def __init__(self):
        self.found = {HOST: "127.0.0.1"}

    async def __call__(self, host, port):
        return [self.found.get(host, "192.0.2.1")]


async def start(tmp_path, empty, **settings):
    telemetry.configure("error")
    shutil.copy(empty, tmp_path / "data.sqlite")
    world = World(tmp_path / "data.sqlite")
    world.login = Login(tmp_path, world.clock)
    await world.login.start()
    found = Oidc(issuer=world.login.issuer, audience="kizuna", claim=("realm_access", "roles"), grants=GRANTS)
    tls = ssl.create_default_context(cafile=str(world.login.own))
    world.names = Names()
    world.database.close()
    world = connected(world, tmp_path, msgspec.structs.replace(found, **settings), tls)
    return await world.start()


def connected(old, tmp_path, settings, tls):
    tmp_path.mkdir(exist_ok=True)
    clock, names = old.clock, old.names
    verifier = provider(settings, lambda rules: GuardedClient(rules, tls=lambda: tls, lookup=names), clock)
    made = World(tmp_path / "data.sqlite", verifier, clock)
    made.login, made.names = old.login, names
    return made


@pytest.fixture
async def world(tmp_path, empty):
    found = await start(tmp_path, empty)
    yield found
    await found.client.close()
    await found.access.close()
    await found.login.stop()
    found.database.close()


async def status(world, token, method="GET", path="/v1/things"):
    return (await world.call(method, path, token)).status


# what is right --------------------------------------------------------------------------------------------------------


async def test_a_token_opens_what_its_roles_are_worth(world):
    token = world.login.token()
    assert await status(world, token) == 200
    assert await status(world, token, "POST") == 201
    assert await status(world, token, "POST", "/v1/others") == 403
    assert await status(world, token, "GET", "/v1/audit") == 403
    assert [(r["who"], r["name"], r["role"], r["outcome"]) for r in await world.log()] == [
        ("oidc:0b6c", "hanako", "operate", "done"),
        ("oidc:0b6c", "hanako", "operate", "forbidden"),
        ("oidc:0b6c", "hanako", "operate", "forbidden"),
    ]


async def test_several_roles_add_up_and_none_is_403(world):
    both = world.login.token(realm_access={"roles": ["kizuna-auditors", "kizuna-operators"]})
    assert [await status(world, both), await status(world, both, "GET", "/v1/audit")] == [200, 200]
    admin = world.login.token(realm_access={"roles": ["kizuna-admins"]})
    assert await status(world, admin, "POST", "/v1/others") == 200
    for value in (
        {"roles": []},
        {"roles": ["kizuna"]},
        {},
        None,
        "kizuna-admins",
        {"roles": {"kizuna-admins": 1}},
        {"roles": [["kizuna-admins"]]},
    ):
        assert await status(world, world.login.token(realm_access=value)) == 403, value


async def test_a_subject_gives_no_more_than_it_has(world):
    token = world.login.token(realm_access={"roles": ["kizuna-operators"]})
    reply = await world.call("POST", "/v1/keys", token, json={"name": "x", "role": "admin"})
    assert reply.status == 403


@pytest.mark.parametrize("kind", ["RSA", "EC"])
async def test_both_kinds_of_keys(world, kind):
    world.login.rotate("k2", kind)
    assert await status(world, world.login.token()) == 200


async def test_a_token_without_a_kid_is_taken_when_the_provider_has_one_key(world):
    assert await status(world, world.login.token(kid=None)) == 200


async def test_a_token_without_a_kid_is_refused_when_there_are_several(world):
    world.login.rotate("k2", publish=False)
    world.login.shown = ["k1", "k2"]
    assert await status(world, world.login.token(kid=None)) == 401
    assert await status(world, world.login.token()) == 200


async def test_key_set_and_metadata_are_read_once_for_many_tokens(world):
    replies = await asyncio.gather(*(status(world, world.login.token()) for _ in range(20)))
    assert set(replies) == {200}
    assert world.login.asked == ["/realms/main/.well-known/openid-configuration", "/realms/main/keys"]


# attacks --------------------------------------------------------------------------------------------------------------


def b64(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).rstrip(b"=").decode()


def handmade(world, header, signature=b"", **changed):
    head = f"{b64(header)}.{b64(world.login.claims(**changed))}"
    return f"{head}.{b64(signature(head.encode()) if callable(signature) else signature)}"


def with_public_key(world):
    """RFC 8725 2.1: HMAC with the public key, which everybody has, as the secret."""
    pem = (
        world.login.keys["k1"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return handmade(world, {"alg": "HS256", "kid": "k1"}, lambda data: hmac.new(pem, data, hashlib.sha256).digest())


def own_key_in_header(world, name):
    thief = rsa.generate_private_key(65537, 2048)
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(thief.public_key(), as_dict=True)
    value = {"jwk": jwk, "jku": "https://evil.example/keys", "x5u": "https://evil.example/x", "x5c": ["MIIB"]}[name]
    return world.login.token(key=thief, header={name: value})


def tampered(world):
    head, _, signature = world.login.token().split(".")
    return f"{head}.{b64(world.login.claims(realm_access={'roles': ['kizuna-admins']}))}.{signature}"


FAR = 10**10
ATTACKS = {
    "alg none": lambda w: handmade(w, {"alg": "none", "kid": "k1"}),
    "alg NONE": lambda w: handmade(w, {"alg": "NONE", "kid": "k1"}),
    "alg none with a signature": lambda w: handmade(w, {"alg": "none", "kid": "k1"}, b"x" * 256),
    "HS256 with the public key": with_public_key,
    "no signature": lambda w: handmade(w, {"alg": "RS256", "kid": "k1"}),
    "claims changed": tampered,
    "key in the header (jwk)": lambda w: own_key_in_header(w, "jwk"),
    "key in the header (jku)": lambda w: own_key_in_header(w, "jku"),
    "key in the header (x5u)": lambda w: own_key_in_header(w, "x5u"),
    "key in the header (x5c)": lambda w: own_key_in_header(w, "x5c"),
    "key of somebody else under the kid": lambda w: w.login.token(key=rsa.generate_private_key(65537, 2048)),
    "EC key for an RSA kid": lambda w: w.login.token(key=ec.generate_private_key(ec.SECP256R1())),
    "encryption key of the set": lambda w: w.login.token(kid="enc"),
    "another audience": lambda w: w.login.token(aud="account"),
    "audience as part": lambda w: w.login.token(aud="kizuna-test"),
    "audience as a list of lists": lambda w: w.login.token(aud=["account", "kizun"]),
    "no audience": lambda w: w.login.token(aud=None),
    "another issuer": lambda w: w.login.token(iss="https://evil.example"),
    "issuer with a slash": lambda w: w.login.token(iss=w.login.issuer + "/"),
    "no issuer": lambda w: w.login.token(iss=None),
    "expired": lambda w: w.login.token(exp=int(w.clock.now().timestamp()) - 60),
    "no end": lambda w: w.login.token(exp=None),
    "end as a text": lambda w: handmade(w, {"alg": "RS256", "kid": "k1"}, lambda d: signed(w, d), exp="9999999999"),
    "end is true": lambda w: handmade(w, {"alg": "RS256", "kid": "k1"}, lambda d: signed(w, d), exp=True),
    "not valid yet": lambda w: w.login.token(nbf=FAR),
    "issued in the future": lambda w: w.login.token(iat=FAR),
    "no subject": lambda w: w.login.token(sub=None),
    "subject with a line break": lambda w: w.login.token(sub="a\nb"),
    "a logout token": lambda w: w.login.token(header={"typ": "logout+jwt"}),
    "crit": lambda w: w.login.token(header={"crit": ["exp"]}),
    "encrypted": lambda _: "a.b.c.d.e",
    "too long": lambda w: w.login.token(filling="x" * 20_000),
    "kid with a path": lambda w: w.login.token(kid="../../k1"),
}


def signed(world, data):
    return jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(data, world.login.keys["k1"])


@pytest.mark.parametrize("name", ATTACKS)
async def test_attack(world, name):
    assert await status(world, world.login.token()) == 200, "the right token is taken"
    reply = await world.call("GET", "/v1/things", ATTACKS[name](world))
    assert (reply.status, reply.body["detail"]) == (401, "no or wrong management key")
    assert len(world.ran) == 1


async def test_only_the_algorithms_of_the_settings(tmp_path, empty):
    found = await start(tmp_path, empty, algorithms=("ES256",))
    try:
        assert await status(found, found.login.token()) == 401
        found.login.rotate("k2", "EC")
        assert await status(found, found.login.token()) == 200
    finally:
        await found.client.close()
        await found.access.close()
        await found.login.stop()
        found.database.close()


async def test_leeway_is_a_minute_and_no_more(world):
    now = int(world.clock.now().timestamp())
    assert await status(world, world.login.token(exp=now - 59, nbf=now + 60, iat=now + 60)) == 200
    assert await status(world, world.login.token(exp=now - 60)) == 401
    assert await status(world, world.login.token(nbf=now + 61)) == 401


# keys that change, a provider that does not answer ------------------------------------------------------------------------


async def test_a_rotated_key_is_found_and_the_old_one_is_dead(world):
    old = world.login.token()
    assert await status(world, old) == 200
    world.clock.forward(seconds=31)
    world.login.rotate("k2")
    assert await status(world, world.login.token()) == 200
    assert await status(world, old) == 401


async def test_a_withdrawn_key_is_dead_after_ten_minutes(world):
    thief = world.login.token(exp=FAR)
    assert await status(world, thief) == 200
    world.login.rotate("k2")
    world.clock.forward(minutes=10)
    assert await status(world, thief) == 401


async def test_a_flood_of_unknown_kids_asks_the_provider_once_in_30_seconds(world):
    assert await status(world, world.login.token()) == 200
    world.clock.forward(seconds=31)
    world.login.asked.clear()
    replies = await asyncio.gather(*(status(world, world.login.token(kid=f"invented-{n}")) for n in range(50)))
    assert set(replies) == {401}
    assert len(world.login.asked) == 2
    world.clock.forward(seconds=29)
    assert await status(world, world.login.token(kid="invented")) == 401
    assert len(world.login.asked) == 2
    assert await status(world, world.login.token()) == 200


async def test_while_the_provider_is_away_its_last_keys_count_for_an_hour(world):
    token = world.login.token(exp=FAR)
    assert await status(world, token) == 200
    await world.login.stop()
    world.clock.forward(minutes=59)
    assert await status(world, token) == 200
    world.clock.forward(minutes=1)
    reply = await world.call("GET", "/v1/things", token)
    assert (reply.status, reply.body["code"]) == (503, "unavailable")
    assert "management key" in reply.body["nextStep"]
    assert await status(world, "f" * 43) == 200
    world.clock.forward(seconds=31)
    await world.login.start()
    assert await status(world, token) == 200


async def test_a_provider_that_was_never_reached_is_503_and_keys_go_on_working(world):
    await world.login.stop()
    assert await status(world, world.login.token()) == 503
    assert await status(world, "f" * 43) == 200
    await world.login.start()


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (".well-known/openid-configuration", (200, b"<html>", {})),
        (".well-known/openid-configuration", (500, b"{}", {})),
        (".well-known/openid-configuration", (200, b"[]", {})),
        (".well-known/openid-configuration", (302, b"", {"Location": "https://evil.example/"})),
        ("keys", (200, b"{}", {})),
        ("keys", (200, b'{"keys": 1}', {})),
        ("keys", (200, b'{"keys": []}', {})),
        ("keys", (200, b'{"keys": [1, "x", null, {"kty": "RSA"}, {"kty": "oct", "k": "eA"}]}', {})),
        ("keys", (200, b" " * 300_000, {})),
        ("keys", (404, b"", {})),
    ],
)
async def test_nonsense_of_the_provider_lets_nobody_in_and_nothing_fall(world, path, answer):
    world.login.answers[f"/realms/main/{path}"] = answer
    assert await status(world, world.login.token()) in (401, 503)
    assert not world.ran
    world.login.answers.clear()
    world.clock.forward(seconds=31)
    assert await status(world, world.login.token()) == 200


@pytest.mark.parametrize(
    "overrides",
    [
        {"issuer": "https://evil.example"},
        {"jwks_uri": "http://login.acme.example/keys"},
        {"jwks_uri": "https://10.0.0.1/keys"},
        {"jwks_uri": "https://elsewhere.example/keys"},
        {"jwks_uri": None},
        {"jwks_uri": "file:///etc/passwd"},
    ],
)
async def test_metadata_cannot_lead_elsewhere(world, overrides):
    """Another issuer's metadata are none of ours; the guarded client follows no address inside the company's network."""
    world.login.overrides = overrides
    assert await status(world, world.login.token()) == 503
    assert world.login.asked == ["/realms/main/.well-known/openid-configuration"]


async def test_without_a_provider_a_token_opens_nothing(tmp_path, empty):
    shutil.copy(empty, tmp_path / "data.sqlite")
    found = await World(tmp_path / "data.sqlite").start()
    found.login = Login(tmp_path, found.clock)
    assert await status(found, found.login.token()) == 401
    await found.client.close()
    found.database.close()


# settings -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "issuer", ["http://login.example", "login.example", "https://", "https://a.example?x=1", "https://u@a.example", ""]
)
def test_an_issuer_that_could_be_spoofed_stops_the_start(issuer):
    with pytest.raises(Misconfigured):
        check_oidc(Oidc(issuer=issuer, audience="a", claim=("roles",), grants=GRANTS))


def test_a_scope_that_no_route_has_stops_the_start(world):
    grants = (OidcGrant("x", "read", ("thing",)),)
    made = connected(
        world,
        world.database.path.parent / "other",
        Oidc(issuer=world.login.issuer, audience="a", claim=("r",), grants=grants),
        None,
    )
    with pytest.raises(Misconfigured, match="no scope thing"):
        made.access.guard(made.routes())
    made.database.close()


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.0.2.1", "management.example", ""])
def test_an_address_that_others_reach_needs_a_certificate(bind):
    for pair in (("", ""), ("cert.pem", ""), ("", "key.pem")):
        with pytest.raises(Misconfigured, match="in the clear"):
            check_listener(bind, *pair)
    check_listener(bind, "cert.pem", "key.pem")


@pytest.mark.parametrize("bind", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_a_loopback_needs_none(bind):
    check_listener(bind, "", "")
