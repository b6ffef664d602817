"""A peer that plays the other parts of DCP 1.0 against one of ours, as the official kit does: holder, issuer, verifier and a third party, on one port.

It signs and reads tokens with PyJWT alone, so that nothing of the product judges itself. What it sends is right unless a case changes it, and a case changes one thing.
"""

import gzip
import time
import uuid
from base64 import urlsafe_b64encode
from datetime import UTC, datetime

import jwt
from aiohttp import ClientSession, web
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

DCP = "https://w3id.org/dspace-dcp/v1.0/dcp.jsonld"
TYPE_SCOPE = "org.eclipse.dspace.dcp.vc.type"
MEMBERSHIP, SENSITIVE = "MembershipCredential", "SensitiveDataCredential"
FORMAT = "vc11-sl2021/jwt"
PARTS = ("holder", "issuer", "verifier", "thirdparty")
SERVICES = {
    "holder": "CredentialService",
    "verifier": "CredentialService",
    "thirdparty": "CredentialService",
    "issuer": "IssuerService",
}
BITS = 131_072


def scope(kind):
    return f"{TYPE_SCOPE}:{kind}:read"


def message(type_, **members):
    return {"@context": [DCP], "type": type_, **members}


def instant(seconds):
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")


class DcpPeer:
    """One running peer. `shown` is what its credential service answers, `delivered` what came to it, `queries` what it was asked."""

    def __init__(self):
        self.keys = {each: ec.generate_private_key(ec.SECP256R1()) for each in PARTS}
        self.delivered, self.queries, self.granted, self.revoked = [], [], {}, set()
        self.shown = self.membership_vp
        self.schema = {"type": "object"}

    async def __aenter__(self):
        app = web.Application()
        app.add_routes([
            web.get("/{part}/did.json", self._did),
            web.post("/presentations/query", self._query),
            web.post("/credentials", self._delivery),
            web.get("/statuslist/1", self._status_list),
            web.get("/schema/membership-schema.json", self._schema),
        ])  # fmt: skip
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.url = f"http://localhost:{self.port}"
        self.http = ClientSession()
        return self

    async def __aexit__(self, *_):
        await self.http.close()
        await self._runner.cleanup()

    def did(self, part):
        return f"did:web:localhost%3A{self.port}:{part}"

    # tokens, credentials, presentations

    def signed(self, part, claims, *, key=None, typ="JWT", kid=None):
        headers = {"kid": kid or f"{self.did(part)}#key-1", "typ": typ}
        return jwt.encode(claims, key or self.keys[part], "ES256", headers=headers)

    def token(self, part, audience, *, key=None, **changes):
        """A Self-Issued ID token; a change to None takes a claim away."""
        now = int(time.time())
        claims = {
            "iss": self.did(part),
            "sub": self.did(part),
            "aud": audience,
            "jti": str(uuid.uuid4()),
            "iat": now,
            "exp": now + 600,
        }
        return self.signed(part, {name: value for name, value in (claims | changes).items() if value is not None}, key=key)

    def credential(self, kind=MEMBERSHIP, *, holder=None, subject=None, since=-60, until=600, **members):
        """A VC 1.1 of our issuer; `since` and `until` are seconds from now."""
        now = int(time.time())
        subject = {"id": holder or self.did("holder"), "foo": "bar"} if subject is None else subject
        body = {
            "@context": ["https://www.w3.org/2018/credentials/v1"],
            "id": f"urn:uuid:{uuid.uuid4()}",
            "type": ["VerifiableCredential", kind],
            "issuer": self.did("issuer"),
            "issuanceDate": instant(now + since),
            "expirationDate": instant(now + until),
            "credentialSubject": subject,
        } | members
        claims = {
            "iss": body["issuer"],
            "sub": subject["id"],
            "jti": body["id"],
            "nbf": now + since,
            "exp": now + until,
            "iat": now,
            "vc": body,
        }
        return self.signed("issuer", claims)

    def vp(self, *credentials, audience):
        now = int(time.time())
        body = {
            "@context": ["https://www.w3.org/2018/credentials/v1"],
            "type": ["VerifiablePresentation"],
            "verifiableCredential": list(credentials),
        }
        claims = {
            "iss": self.did("holder"),
            "sub": self.did("holder"),
            "aud": audience,
            "jti": str(uuid.uuid4()),
            "nbf": now,
            "iat": now,
            "exp": now + 300,
        }
        return self.signed("holder", claims | {"vp": body})

    def membership_vp(self, asker):
        return [self.vp(self.credential(), audience=asker)]

    def status(self, index):
        """A status entry in our list."""
        return {
            "id": f"{self.url}/statuslist/1#{index}", "type": "BitstringStatusListEntry", "statusPurpose": "revocation", "statusListIndex": str(index),
            "statusListCredential": f"{self.url}/statuslist/1",
        }  # fmt: skip

    # what it serves

    async def _did(self, request):
        part = request.match_info["part"]
        did = self.did(part)
        kid = f"{did}#key-1"
        jwk = ECAlgorithm.to_jwk(self.keys[part].public_key(), as_dict=True)
        method = {"id": kid, "type": "JsonWebKey2020", "controller": did, "publicKeyJwk": jwk}
        service = {"id": f"{did}#service", "type": SERVICES[part], "serviceEndpoint": self.url}
        found = {"@context": ["https://www.w3.org/ns/did/v1"], "id": did, "verificationMethod": [method], "service": [service]}
        return web.json_response(found | {name: [kid] for name in ("authentication", "assertionMethod", "capabilityInvocation")})

    def grant(self, asker):
        """An access token for our credential service; it works once, for one asker."""
        token = str(uuid.uuid4())
        self.granted[token] = asker
        return token

    async def _query(self, request):
        claims = jwt.decode(request.headers["Authorization"].removeprefix("Bearer "), options={"verify_signature": False})
        asked = await request.json()
        self.queries.append((claims, asked))
        if claims["aud"] != self.did("holder") or self.granted.pop(claims.get("token"), None) != claims["iss"]:
            return web.json_response({}, status=401)
        return web.json_response(message("PresentationResponseMessage", presentation=self.shown(claims["iss"])))

    async def _delivery(self, request):
        claims = jwt.decode(request.headers["Authorization"].removeprefix("Bearer "), options={"verify_signature": False})
        self.delivered.append((claims, await request.json()))
        return web.Response(status=200)

    async def _status_list(self, request):
        bits = bytearray(BITS // 8)
        for index in self.revoked:
            bits[index // 8] |= 0x80 >> index % 8
        encoded = "u" + urlsafe_b64encode(gzip.compress(bytes(bits))).rstrip(b"=").decode()
        body = {
            "@context": ["https://www.w3.org/ns/credentials/v2"],
            "id": f"{self.url}/statuslist/1",
            "type": ["VerifiableCredential", "BitstringStatusListCredential"],
            "issuer": self.did("issuer"),
            "validFrom": instant(time.time() - 60),
            "validUntil": instant(time.time() + 600),
            "credentialSubject": {
                "id": f"{self.url}/statuslist/1#list",
                "type": "BitstringStatusList",
                "statusPurpose": "revocation",
                "encodedList": encoded,
            },
        }
        return web.Response(text=self.signed("issuer", body, typ="vc+jwt"), content_type="application/vc+jwt")

    async def _schema(self, request):
        return web.json_response(self.schema)

    # what it sends

    async def send(self, method, url, *, token=None, authorization=None, body=None):
        """(status, headers, parsed body)"""
        headers = {"Authorization": authorization or f"Bearer {token}"} if token or authorization else {}
        async with self.http.request(method, url, json=body, headers=headers) as answer:
            raw = await answer.read()
            is_json = "json" in answer.content_type and raw
            return answer.status, answer.headers, await answer.json(content_type=None) if is_json else raw

    async def drawn(self, sts, client, secret, audience, *scopes):
        """The access token in a token of the holder's token service."""
        form = {
            "grant_type": "client_credentials",
            "client_id": client,
            "client_secret": secret,
            "audience": audience,
            "bearer_access_scope": " ".join(scopes),
        }
        async with self.http.post(f"{sts}/token", data=form) as answer:
            assert answer.status == 200, await answer.text()
            found = await answer.json()
        return jwt.decode(found["access_token"], options={"verify_signature": False})["token"]

    async def document(self, did):
        """The DID document of the part under test, over http."""
        host = did.removeprefix("did:web:").replace("%3A", ":")
        async with self.http.get(f"http://{host}/.well-known/did.json") as answer:
            assert answer.status == 200
            return await answer.json(content_type=None)

    def endpoint(self, document, kind):
        return next(each["serviceEndpoint"] for each in document["service"] if each["type"] == kind)

    def presented(self, answer, document):
        """The types in a presentation of the part under test, every signature proven with a key for that purpose."""
        types = set()
        for each in answer["presentation"]:
            vp = self._proven(each, document, "authentication", audience=self.did("verifier"))
            for one in vp["vp"]["verifiableCredential"]:
                vc = jwt.decode(one, self.keys["issuer"].public_key(), algorithms=["ES256"], options={"verify_aud": False})
                types |= set(vc["vc"]["type"]) - {"VerifiableCredential"}
        return types

    def proven(self, token, document, relationship, *, audience):
        return self._proven(token, document, relationship, audience=audience)

    @staticmethod
    def _proven(token, document, relationship, *, audience):
        kid = jwt.get_unverified_header(token)["kid"]
        assert kid in document[relationship]
        (jwk,) = [each["publicKeyJwk"] for each in document["verificationMethod"] if each["id"] == kid]
        return jwt.decode(token, ECAlgorithm.from_jwk(jwk), algorithms=["ES256"], audience=audience)
