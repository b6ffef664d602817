"""The story, chapter by chapter. Each step is a call that a company's own systems would make, and what it must come to."""

import hashlib
import http.client
import ssl
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from deploy.demo.outsider import Outsider
from deploy.demo.report import SAY, Trail, expect, refused
from deploy.demo.topology import PARTS, Part
from deploy.demo.world import World
from kernel import wire
from kernel.cli import ManagementClient
from kernel.errors import KizunaError

Shown = dict[str, Any]
LONG_BYTES = 24 * 1024 * 1024
RATE = 8 * 1024 * 1024
SHORT = 16
PATIENCE = 10.0


class Story:
    """One telling: what later steps need of earlier ones is kept here."""

    def __init__(self, world: World, trail: Trail, outsider: Outsider | None = None) -> None:
        self.world = world
        self.trail = trail
        self.outsider = outsider
        self.provider, self.consumer, self.stranger = (world.connectors[part].api for part in ("provider", "consumer", "stranger"))
        self.operator = world.identity.api
        self.dataset: Shown = {}
        self.offer: Shown = {}
        self.public: Shown = {}
        self.agreement: Shown = {}

    def tell(self) -> None:
        """All chapters in order; raises the error of the step that went wrong."""
        for name, chapter in (
            ("onboarding", self.onboarding),
            ("publication", self.publication),
            ("catalogs", self.catalogs),
            ("negotiation", self.negotiation),
            ("transfers", self.transfers),
            ("changes", self.changes),
            ("outside", self.outside),
        ):
            self.trail.chapter(SAY(f"chapter.{name}"))
            chapter()

    # 1 ---------------------------------------------------------------------------------------------------------------

    def onboarding(self) -> None:
        wrong = {"did": "did:web:example.com", "name": "Typing Error KK", "corporateNumber": "1234567890123", "roles": []}
        self._step("bad-corporate-number",
                   lambda: {"reason": refused(lambda: self.operator.post("/v1/invitations", wrong)).detail})  # fmt: skip
        for part in PARTS:
            company = self.world.company(part)
            self._step(f"join-{part}", partial(self._join, part), "join", company=company.name)

    def _join(self, part: Part) -> Shown:
        company, did, api = self.world.company(part), self.world.did(part), self.world.connectors[part].api
        invitation = self.operator.post(
            "/v1/invitations",
            {"did": did, "name": company.name, "corporateNumber": company.corporate_number, "roles": list(company.roles)},
        )
        applied = api.post("/v1/membership", {"invitation": invitation["invitation"]}, wait=20)
        expect(applied["state"] == "APPLIED", f"application ended in {applied['state']}: {applied.get('note')}")
        self.operator.post(f"/v1/members/{invitation['member']}/approve", {})
        joined = api.post("/v1/membership/wait", {"state": "ACTIVE"}, wait=20)
        expect(joined["state"] == "ACTIVE", f"membership ended in {joined['state']}: {joined.get('note')}")
        status = api.get("/v1/status")
        expect(status["certificate"]["did"] == did, "the member certificate names another DID")
        return {
            "corporate number": company.corporate_number,
            "DID": did,
            "credentials": ", ".join(sorted(each["type"] for each in status["credentials"])),
            "certificate": f"URI:{status['certificate']['did']}, until {status['certificate']['notAfter']}",
        }

    # 2 ---------------------------------------------------------------------------------------------------------------

    def publication(self) -> None:
        self._step("bad-payload", self._publish_broken)
        self._step("publish", self._publish)
        self._step("publish-public", self._publish_public)

    def _publish_broken(self) -> Shown:
        payload = wire.loads((self.world.samples / self.world.space.payload).read_bytes(), limit=1 << 24, depth=64)
        payload.pop(min(payload))
        broken = self.world.directory / "broken.json"
        broken.write_bytes(wire.dumps(payload))
        error = refused(lambda: self._upload(broken, self.world.space.schema, "broken"), "payload-invalid")
        expect(not self.provider.get("/v1/assets")["items"], "a refused payload was published")
        return {"reason": error.detail}

    def _publish(self) -> Shown:
        space = self.world.space
        title = space.dataset["en"], space.dataset["ja"]
        self.dataset = self._upload(self.world.samples / space.payload, space.schema, *title, space.products)
        body = {"asset": self.dataset["id"], "template": space.template, "parameters": space.parameters}
        self.offer = self.provider.post("/v1/offers", body)
        return {"dataset": self.dataset["id"], "product": ", ".join(self.dataset["products"]), "sha-256": self.dataset["sha256"],
                "bytes": self.dataset["size"], "offer": self.offer["id"], "terms": "; ".join(self.offer["terms"])}  # fmt: skip

    def _publish_public(self) -> Shown:
        public = self.world.space.public_dataset
        self.public = self._upload(self.world.samples / public.payload, public.schema, public.en, public.ja)
        offer = self.provider.post("/v1/offers", {"asset": self.public["id"], "template": self.world.space.public_template})
        return {"dataset": self.public["id"], "offer": offer["id"]}

    def _upload(self, file: Path, schema: str, title: str, title_ja: str = "", products: tuple[str, ...] = ()) -> Shown:
        query = urlencode({"schema": schema, "title": title, "titleJa": title_ja, "product": products}, doseq=True)
        found: Shown = self.provider.upload(f"/v1/assets?{query}", file)
        return found

    # 3 ---------------------------------------------------------------------------------------------------------------

    def catalogs(self) -> None:
        self._step("catalog", self._consumer_catalog)
        self._step("catalog-stranger", self._stranger_catalog)
        self._step("guessed-ids", self._guess)

    def _consumer_catalog(self) -> Shown:
        seen = self._seen_by(self.consumer)
        expect(self.dataset["id"] in seen, "the consumer does not see the dataset")
        return {"datasets": ", ".join(sorted(seen))}

    def _stranger_catalog(self) -> Shown:
        seen = self._seen_by(self.stranger)
        expect(self.dataset["id"] not in seen, "the third company sees the dataset")
        return {"datasets": ", ".join(sorted(seen)) or "none"}

    def _seen_by(self, api: ManagementClient) -> set[str]:
        found = api.post("/v1/catalog", {"peer": self.world.did("provider")})
        shown = [each["endpointURL"] for each in found["service"]]
        members = int(self.world.did("provider").rpartition("%3A")[2]) + 1
        expect(all(f":{members}/" in each for each in shown), f"a member is to call {shown}")
        return {each["@id"] for each in found["dataset"]}

    def _guess(self) -> Shown:
        body = {"peer": self.world.did("provider"), "dataset": self.dataset["id"], "offer": self.offer["id"],
                "terms": self.offer["contract"]}  # fmt: skip
        found = self.stranger.post("/v1/negotiations", body, wait=10)
        expect(found["state"] != "FINALIZED" and not found.get("agreement"), "the third company got a contract")
        own = self.world.connectors["provider"].logged(event="refused", peer=self.world.did("stranger"))
        expect(own, "the provider's log does not say why")
        return {"stranger is told": found["note"], "provider's log": own.get("reason") or own.get("detail") if own else ""}

    # 4 ---------------------------------------------------------------------------------------------------------------

    def negotiation(self) -> None:
        self._step("negotiate", self._negotiate)
        self._step("agreement", self._compare)

    def _negotiate(self) -> Shown:
        body = {"peer": self.world.did("provider"), "dataset": self.dataset["id"]}
        found = self.consumer.post("/v1/negotiations", body, wait=20)
        expect(found["state"] == "FINALIZED", f"the negotiation is {found['state']}: {found.get('note')}")
        self.agreement = found["agreement"]
        return {"negotiation": found["id"], "states": " > ".join(row["after"] for row in found["journal"])}

    def _compare(self) -> Shown:
        ours = self.consumer.get(f"/v1/agreements/{self.agreement['id']}")
        theirs = self.provider.get(f"/v1/agreements/{self.agreement['id']}")
        expect(wire.canonical(ours["policy"]) == wire.canonical(theirs["policy"]), "the agreements differ")
        expect(ours["hash"] == theirs["hash"] == wire.digest(ours["policy"]), "the hashes differ")
        return {"agreement": ours["id"], "consumer's hash": ours["hash"], "provider's hash": theirs["hash"]}

    # 5 ---------------------------------------------------------------------------------------------------------------

    def transfers(self) -> None:
        self._step("pull", self._pull)
        self._step("push", self._push)

    def _pull(self) -> Shown:
        transfer = self._transfer(self.agreement["id"], "HttpData-PULL")
        token = self._access(transfer)
        own = self._ask(token, "consumer")
        others = self._ask(token, "stranger")
        nobody = self._ask(token, None)
        expect(own == 200, f"the token does not work with the consumer's certificate: {own}")
        expect(others == nobody == 401, f"the token works elsewhere: {others}, {nobody}")
        file, path = self.world.directory / "pulled.json", f"/v1/transfers/{transfer['id']}/pull"
        refused(lambda: self.consumer.post(path, {"output": str(file)}), "policy-refused")
        pulled = self.consumer.post(path, {"output": str(file), "purposes": self._purposes()}, timeout=60)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        expect(digest == pulled["sha256"] == self.dataset["sha256"], "the bytes differ")
        self.consumer.post(f"/v1/transfers/{transfer['id']}/complete", {})
        return {"token with own, other, no certificate": f"{own}, {others}, {nobody}", "sha-256": pulled["sha256"],
                "validated against": pulled["schema"]}  # fmt: skip

    def _push(self) -> Shown:
        transfer = self._transfer(self.agreement["id"], "HttpData-PUSH")
        done = self.consumer.get(f"/v1/transfers/{transfer['id']}", wait=20)
        expect(done["state"] == "COMPLETED", f"the push is {done['state']}: {done.get('note')}")
        received = next(each for each in self.consumer.get("/v1/received")["items"] if each["transfer"] == transfer["id"])
        expect(received["sha256"] == self.dataset["sha256"], "the pushed bytes differ")
        return {"sha-256": received["sha256"], "bytes": received["size"], "state": done["state"]}

    def _transfer(self, agreement: str, format_: str) -> Shown:
        found: Shown = self.consumer.post("/v1/transfers", {"agreement": agreement, "format": format_}, wait=20)
        expect(found["state"] in ("STARTED", "COMPLETED"), f"the transfer is {found['state']}: {found.get('note')}")
        return found

    def _access(self, transfer: Shown) -> Shown:
        """Address and token of a transfer under the agreement, for the purposes that it permits."""
        found: Shown = self.consumer.post(f"/v1/transfers/{transfer['id']}/access", {"purposes": self._purposes()})
        return found

    def _purposes(self) -> list[str]:
        """What the agreement permits the data to be used for; where it names nothing, one purpose is as good as another."""
        return self.consumer.get(f"/v1/agreements/{self.agreement['id']}")["purposes"] or ["own business"]

    def _ask(self, token: Shown, part: Part | None) -> int:
        """The status of the data address when asked with the certificate of a company, or with none."""
        url = urlsplit(token["endpoint"])
        files = self.world.directory / self.world.company("provider").key / "tls"
        context = ssl.create_default_context(cafile=str(self.world.roots))
        context.load_verify_locations(str(files / "consortium.pem"))
        if part:
            own = self.world.directory / self.world.company(part).key / "tls"
            context.load_cert_chain(str(own / "member.pem"), str(own / "member.key"))
        connection = http.client.HTTPSConnection(url.hostname or "", url.port, context=context, timeout=10)
        try:
            connection.request("GET", url.path, headers={"Authorization": token["authorization"]})
            return connection.getresponse().status
        finally:
            connection.close()

    # 6 ---------------------------------------------------------------------------------------------------------------

    def changes(self) -> None:
        self._step("rotate", self._rotate)
        self._step("terminate", self._terminate)
        self._step("suspend", self._suspend)
        self._step("reinstate", self._reinstate)

    def _rotate(self) -> Shown:
        transfer = self._transfer(self._long_agreement(), "HttpData-PULL")
        before = self.consumer.get("/v1/status")["certificate"]["serial"]
        pulled: list[Any] = []
        pull = threading.Thread(target=into(pulled, lambda: self.consumer.post(
            f"/v1/transfers/{transfer['id']}/pull", {"rate": RATE}, timeout=120)))  # fmt: skip
        pull.start()
        pull.join(timeout=LONG_BYTES / RATE / 3)
        expect(pull.is_alive(), "the long pull was over too soon")
        after = self.consumer.post("/v1/membership/certificate", {}, timeout=30)["serial"]
        expect(pull.is_alive(), "the pull ended before the rotation")
        pull.join(timeout=120)
        result: Any = pulled[0] if pulled else None
        if isinstance(result, KizunaError):
            raise result
        expect(result is not None and after != before, "no new certificate")
        return {"serials": f"{before[-SHORT:]} > {after[-SHORT:]}", "bytes": result["bytes"], "tokens used": result["tokens"]}

    def _long_agreement(self) -> str:
        file = self.world.directory / "process-data.bin"
        file.write_bytes(bytes(range(256)) * (LONG_BYTES // 256))
        asset = self._upload(file, "", "Process data of the month")
        body = {"asset": asset["id"], "template": self.world.space.template, "parameters": self.world.space.parameters}
        self.provider.post("/v1/offers", body)
        found = self.consumer.post("/v1/negotiations", {"peer": self.world.did("provider"), "dataset": asset["id"]}, wait=20)
        expect(found["state"] == "FINALIZED", f"the negotiation is {found['state']}: {found.get('note')}")
        return str(found["agreement"]["id"])

    def _terminate(self) -> Shown:
        transfer = self._transfer(self.agreement["id"], "HttpData-PULL")
        token = self._access(transfer)
        before = self._ask(token, "consumer")
        self.provider.post(f"/v1/transfers/{transfer['peerPid']}/terminate", {"reason": "contract review"})
        after = self._ask(token, "consumer")
        expect(before == 200 and after in (401, 403, 404), f"before {before}, after {after}")
        return {"token before, after": f"{before}, {after}"}

    def _suspend(self) -> Shown:
        self.operator.post(f"/v1/members/{quote(self.world.did('consumer'), safe='')}/suspend", {})
        notes = {}
        for part in PARTS[::2]:
            body = {"peer": self.world.did(part), "dataset": self.dataset["id"], "offer": self.offer["id"],
                    "terms": self.offer["contract"]}  # fmt: skip
            found = self.consumer.post("/v1/negotiations", body, wait=10)
            expect(found["state"] != "FINALIZED", f"{part} still makes contracts with a suspended member")
            own = self.world.connectors[part].logged(event="refused", status=401)
            expect(own, f"the log of {part} does not say why")
            notes[f"log of the {part}"] = str(own.get("reason") if own else "")
        return notes

    def _reinstate(self) -> Shown:
        self.operator.post(f"/v1/members/{quote(self.world.did('consumer'), safe='')}/reinstate", {})
        return self._retried(self._negotiate)

    @staticmethod
    def _retried(act: Callable[[], Shown]) -> Shown:
        """What `act` comes to once the news has reached every connector; raises its last error after some seconds."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return act()
            except KizunaError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    # 7 ---------------------------------------------------------------------------------------------------------------

    def outside(self) -> None:
        self._step("outsider", self._outsider)

    def _outsider(self) -> Shown:
        if self.outsider is None:
            raise RuntimeError("this telling has no peer from outside")
        provider = self.world.did("provider")
        seen, addresses = self.outsider.catalog(provider)
        expect(seen == {self.public["id"]}, f"the outsider sees {seen}")
        expect(addresses == {self.outsider.address(provider)}, f"the outsider is to call {addresses}")
        status = self.outsider.negotiate(provider, self.dataset["id"], self.offer)
        expect(status in (400, 401, 404), f"the outsider may negotiate for members' data: {status}")
        return {"DID": self.outsider.did, "sees": ", ".join(seen), "asks for members' data": f"HTTP {status}"}

    def _step(self, name: str, act: Callable[[], Shown | None], text: str = "", **values: str) -> None:
        """Run one step; its text is that of its name, or the one given."""
        self.trail.step(name, SAY(f"step.{text or name}", **values), act)


def into(target: list[Any], act: Callable[[], Any]) -> Callable[[], None]:
    """A thread's work: its result, or the error that people may see, goes into the list."""

    def run() -> None:
        try:
            target.append(act())
        except KizunaError as error:
            target.append(error)

    return run
