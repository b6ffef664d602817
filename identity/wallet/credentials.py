"""The credential service (DCP 1.0 sections 5 and 6; identity.md 1.2, 1.4).

`POST /cs/presentations/query`, `POST /cs/credentials`, `POST /cs/offers`.

Rules
- A query needs the verifier's SI token with our access token for it. Given are credentials of scopes that are both granted and asked
  for, by exact type or id; what was not granted is left out without a word. Only credentials inside their validity are shown.
- Scopes come as `alias:discriminator` and as `alias:discriminator:read`; a `contextUrl#Type` discriminator means the type.
- Exactly one of `scope` and `presentationDefinition`; a definition that is not empty is answered with 501.
- One presentation per format. It is for the verifier alone.
- An offer of a trusted issuer becomes requests, which `renewal` sends. Other issuers may not offer: any DID can sign an offer. Which credential types an issuer may bring is
  asked at the offer, as far as the offer names them, and at the delivery: a trust list may have changed in between.
- Credentials are taken only from the issuer of an open request, all or none, each verified first (signature, issuer, subject, type, window);
  the same delivery again is acknowledged again.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

import msgspec
from aiohttp import web
from msgspec import Struct

from identity.jose import Signer
from identity.profiles import VerifierProfile, strictly
from identity.trust import ANY, covered
from identity.vc import (
    DCP_CONTEXT,
    DOCUMENTS,
    VC11,
    VC11_DI,
    VC20,
    VC20_DI,
    BadCredential,
    Credential,
    parse_scope,
    present,
    read_vc,
)
from identity.vc.scope import ID_ALIAS, TYPE_ALIAS
from identity.verify import Caller, TokenDoor, VerifiedToken, check_credential, verify_token
from identity.wallet import renewal
from identity.wallet.port import CredentialRequest, CredentialStore, Held
from identity.wallet.sts import Sts
from kernel import telemetry, wire
from kernel.errors import BadInput, Forbidden, KizunaError, NotFound
from kernel.web import Route, client_certificate, json_response, read_json

PATH: Final = "/cs"
_MAX_OFFERED: Final = 20
_PRESENTED: Final = (VC20, VC11, VC20_DI, VC11_DI)
_FORMATS: Final = {"jwt", "json-ld", *_PRESENTED}
log = telemetry.get(__name__)


class NotSupported(KizunaError):
    """Presentation definitions are optional in DCP 1.0 and not supported."""

    code, status = "not-supported", 501


class Container(Struct, frozen=True, rename="camel"):
    """One delivered credential: a JWT, or a document (as JSON or its text)."""

    credential_type: str
    payload: str | dict[str, Any]
    format: str


class CredentialMessage(Struct, frozen=True, rename="camel"):
    """DCP 1.0 CredentialMessage, as the storage interface takes it."""

    issuer_pid: str
    holder_pid: str
    status: str
    credentials: tuple[Container, ...] = ()
    rejection_reason: str | None = None


class CredentialService:
    """The routes over one participant's wallet."""

    def __init__(
        self,
        door: TokenDoor,
        sts: Sts,
        presenter: Signer,
        store: CredentialStore,
        *,
        profiles: Callable[[str], VerifierProfile] = strictly,
        trusts: Callable[[str], Collection[str]] = lambda _issuer: (ANY,),
        woken: Callable[[], None] = lambda: None,
    ) -> None:
        """`trusts` tells which credential types an issuer may offer and bring, `woken` is called when an offer was stored."""
        self._door, self._sts, self._presenter, self._store, self._profiles = door, sts, presenter, store, profiles
        self._trusts, self._woken = trusts, woken

    def routes(self) -> list[Route]:
        return [
            Route(method="POST", path=f"{PATH}/presentations/query", handler=self.query, auth="token", summary="DCP 5.4: query presentations"),
            Route(method="POST", path=f"{PATH}/credentials", handler=self.take, auth="token", summary="DCP 6.5: deliver credentials"),
            Route(method="POST", path=f"{PATH}/offers", handler=self.offer, auth="token", summary="DCP 6.6: offer credentials"),
        ]  # fmt: skip

    async def query(self, request: web.Request) -> web.Response:
        token = await self._proven(request)
        granted = self._sts.granted(token.claims.get("token"), token.did)
        await self._store.spend(token.use)
        message = _message(await read_json(request), "PresentationQueryMessage")
        wanted = _scopes(message)
        allowed = {_scope(each) for each in granted}
        now = self._door.clock.now()
        shown = [each for each in await self._store.held() if _valid(each, now) and _named(each) & allowed & wanted]
        presentations = [self._present(token.did, shown, format_) for format_ in _PRESENTED]
        answer = {
            "@context": [DCP_CONTEXT],
            "type": "PresentationResponseMessage",
            "presentation": [each for each in presentations if each],
        }
        return json_response(answer)

    def _present(self, verifier: str, held: Sequence[Held], format_: str) -> str | dict[str, Any] | None:
        jwts = [each.jwt for each in held if each.format == format_]
        if not jwts:
            return None
        now = self._door.clock.now()
        shown = present(self._presenter, jwts, audience=verifier, format=format_, now=now, jti=str(uuid4()))
        return dict(wire.loads(shown, limit=len(shown) * 4)) if format_ in DOCUMENTS else shown

    async def take(self, request: web.Request) -> web.Response:
        token = await self._proven(request)
        value = _message(await read_json(request, 1_048_576), "CredentialMessage")
        try:
            message = msgspec.convert(value, CredentialMessage)
        except msgspec.ValidationError as error:
            raise BadInput(f"CredentialMessage: {error}") from error
        known = await self._store.request(message.holder_pid)
        if known is None or known.issuer != token.did:
            await self._store.spend(token.use)
            raise NotFound("no such credential request")
        if message.status == "REJECTED":
            await self._rejected(known, message, token)
        elif message.status == "ISSUED":
            await self._issued(known, message, token)
        else:
            raise BadInput("status is neither ISSUED nor REJECTED")
        return json_response({}, status=200)

    async def _rejected(self, known: CredentialRequest, message: CredentialMessage, token: VerifiedToken) -> None:
        if known.state == "ISSUED":
            await self._store.spend(token.use)
            raise BadInput("the request was fulfilled before")
        note = (message.rejection_reason or "rejected by the issuer")[:500]
        await self._store.save_request(msgspec.structs.replace(known, state="REJECTED", note=note), token.use)
        log.warning("credentials rejected", peer=token.did, pid=known.id, reason=note)

    async def _issued(self, known: CredentialRequest, message: CredentialMessage, token: VerifiedToken) -> None:
        if known.state == "REJECTED":
            await self._store.spend(token.use)
            raise BadInput("the request was rejected before")
        if not message.credentials:
            raise BadInput("no credentials")
        held = [await self._checked(each, known) for each in message.credentials]
        await self._store.store(msgspec.structs.replace(known, state="ISSUED"), held, token.use)
        log.info("credentials stored", peer=token.did, pid=known.id, types=[each.type for each in held])

    async def _checked(self, container: Container, known: CredentialRequest) -> Held:
        if container.format not in _FORMATS:
            raise BadInput(f"format {container.format[:40]!r} is not supported")
        credential = read_vc(container.payload, reading=self._profiles(known.issuer).reading)
        if credential.issuer != known.issuer:
            raise BadInput("a credential of another issuer")
        now = self._door.clock.now()
        profile = self._profiles(known.issuer)
        await check_credential(self._door.resolver, credential, holder=self._door.did, now=now, profile=profile)
        if container.credential_type not in credential.kinds:
            raise BadInput("a credential of another type than announced")
        if not covered(credential.kinds, self._trusts(known.issuer)):
            raise Forbidden("the issuer is not trusted for credentials of this type")
        return msgspec.structs.replace(held(credential), type=container.credential_type)

    async def offer(self, request: web.Request) -> web.Response:
        token = await self._proven(request)
        message = _message(await read_json(request), "CredentialOfferMessage")
        offered = message.get("credentials")
        if message.get("issuer") != token.did or not isinstance(offered, list) or not offered:
            raise BadInput("an offer names its sender as issuer, and at least one credential")
        definitions = _offered(offered)
        allowed = self._trusts(token.did)
        named = {str(each["credentialType"]) for each in offered if each.get("credentialType")}
        if not allowed or (named and not covered(named, allowed)):
            await self._store.spend(token.use)
            raise Forbidden("offers are taken from trusted issuers only, of the types that they are trusted for")
        await self._store.save_offered([renewal.offered(token.did, each, token.use.jti) for each in definitions], token.use)
        self._woken()
        log.info("credentials offered", peer=token.did, count=len(offered))
        return json_response({}, status=200)

    async def _proven(self, request: web.Request) -> VerifiedToken:
        caller = Caller(tuple(request.headers.getall("Authorization", [])), client_certificate(request))
        return await verify_token(self._door, caller, mtls="preferred", profiles=self._profiles)


def held(credential: Credential) -> Held:
    """A verified credential as it is kept."""
    return Held(
        id=credential.id or f"urn:uuid:{uuid4()}",
        type=min(credential.kinds),
        issuer=credential.issuer,
        format=credential.format,
        since=credential.valid_from,
        until=credential.valid_until,
        jwt=credential.raw,
    )


def _message(value: Any, type_: str) -> dict[str, Any]:
    contexts = value.get("@context") if isinstance(value, dict) else None
    if (
        not isinstance(value, dict)
        or value.get("type") != type_
        or DCP_CONTEXT not in (contexts if isinstance(contexts, list) else [contexts])
    ):
        raise BadInput(f"not a {type_} of DCP 1.0")
    return value


def _offered(offered: list[Any]) -> list[str]:
    """The definitions of an offer; entries may be whole objects or ids alone."""
    ids = [str(each["id"]) for each in offered if isinstance(each, dict) and isinstance(each.get("id"), str) and each["id"]]
    if len(offered) > _MAX_OFFERED or len(ids) < len(offered) or any(len(each) > 256 for each in ids):
        raise BadInput(f"an offer has at most {_MAX_OFFERED} credentials, each with an id")
    return sorted(set(ids))


def _scopes(message: dict[str, Any]) -> set[tuple[str, str]]:
    scope, definition = message.get("scope"), message.get("presentationDefinition")
    if "presentationDefinition" in message:
        if scope is not None or not isinstance(definition, dict) or not definition:
            raise BadInput("exactly one of scope and presentationDefinition, and not an empty one")
        raise NotSupported("presentation definitions are not supported", next_step="query by scope")
    if not isinstance(scope, list) or not scope or len(scope) > 100 or not all(isinstance(each, str) for each in scope):
        raise BadInput("scope is not a list of texts")
    return {_scope(each) for each in scope}


def _scope(text: str) -> tuple[str, str]:
    """(alias, discriminator) of a scope in either form; raises `BadInput`."""
    try:
        found = parse_scope(text)
    except BadCredential as error:
        raise BadInput(f"not a scope: {text[:100]!r}") from error
    return found.alias, found.discriminator.rpartition("#")[2] if found.alias == TYPE_ALIAS else found.discriminator


def _named(credential: Held) -> set[tuple[str, str]]:
    return {(TYPE_ALIAS, credential.type), (ID_ALIAS, credential.id)}


def _valid(credential: Held, now: datetime) -> bool:
    return (credential.since is None or credential.since <= now) and (credential.until is None or now < credential.until)
