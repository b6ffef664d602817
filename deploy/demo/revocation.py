"""`./run demo revocation`: how long a member that was suspended or revoked can go on, measured at every other connector.

The same companies and calls as in the story. The consumer has a contract, an open transfer and a running pull; then the operator suspends it. Asked until refused:
a contract request to every other connector, and the data with the consumer's own token and certificate. Once with the event feed, once with the feed cut, and once
more for the revocation.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from deploy.demo.relay import Relay
from deploy.demo.report import SAY, Trail, expect, refused
from deploy.demo.story import LONG_BYTES, Shown, Story, into
from deploy.demo.topology import PARTS, Part
from deploy.demo.world import World

TARGET: Final = 60.0  # seconds
PATIENCE: Final = 90.0
EVERY: Final = 0.25
OTHERS: Final[tuple[Part, ...]] = ("provider", "stranger")
SLOW: Final = 512 * 1024  # bytes per second of the pull that is under way


class Revocation(Story):
    """The telling; `relay` carries the event feed."""

    def __init__(self, world: World, trail: Trail, relay: Relay) -> None:
        super().__init__(world, trail)
        self.relay = relay
        self.running: Shown = {}

    def tell(self) -> None:
        """All chapters in order; raises the error of the step that went wrong."""
        for name, chapter in (
            ("preparation", self.preparation),
            ("with_feed", self.with_feed),
            ("without_feed", self.without_feed),
            ("for_good", self.for_good),
        ):
            self.trail.chapter(SAY(f"chapter.{name}"))
            chapter()

    def preparation(self) -> None:
        for part in PARTS:
            self._step(f"join-{part}", partial(self._join, part), "revocation.join", company=self.world.company(part).name)
        self._step("publish", self._publish, "revocation.publish")
        self._step("negotiate", self._negotiate)
        self._step("transfer", self._begin)

    def with_feed(self) -> None:
        self._step("suspend", self._suspended, "revocation.suspend")
        self._step("reinstate", self._restored, "revocation.reinstate")

    def without_feed(self) -> None:
        self._step("cut", self._cut)
        self._step("suspend-cut", self._suspended)
        self._step("mend", self._mended)

    def for_good(self) -> None:
        self._step("revoke", self._revoked)
        self._step("final", self._final)

    # steps -----------------------------------------------------------------------------------------------------------

    def _begin(self) -> Shown:
        self.running = self._transfer(self.agreement["id"], "HttpData-PULL")
        status = self._data()
        expect(status == 200, f"the data is answered with {status}")
        return {"transfer": self.running["id"], "token": f"HTTP {status}"}

    def _suspended(self) -> Shown:
        pulled, pull = self._long_pull()
        self._operate("suspend")
        seconds = self._seconds_until_refused()
        pull.join(timeout=TARGET)
        expect(not pull.is_alive() and pulled and isinstance(pulled[0], Exception), "the running pull was not ended")
        return seconds | {"running pull": f"ended: {pulled[0]}"[:160]}

    def _restored(self) -> Shown:
        self._operate("reinstate")
        began = time.monotonic()
        self._until(lambda: all(self._asked(part) == "let in" for part in OTHERS), "the reinstated member is still refused")
        self._negotiate()
        self._until(lambda: self.provider.get(f"/v1/transfers/{self.running['peerPid']}")["state"] == "STARTED", "no resumption")
        self._until(lambda: self._data() == 200, "the data stays closed")
        return {"seconds": round(time.monotonic() - began, 1), "negotiation": "FINALIZED", "suspended transfer": "STARTED again"}

    def _cut(self) -> Shown:
        self.relay.cut()
        fresh = [part for part in OTHERS if self.world.connectors[part].api.get("/v1/status")["authority"]["heard"]]
        return {"word of the authority is still fresh at": ", ".join(fresh) or "nobody"}

    def _mended(self) -> Shown:
        self.relay.mend()
        return self._restored()

    def _revoked(self) -> Shown:
        self._operate("revoke")
        return self._seconds_until_refused()

    def _final(self) -> Shown:
        error = refused(lambda: self._operate("reinstate"), "conflict")
        certificate = refused(lambda: self.consumer.post("/v1/membership/certificate", {}, timeout=30))
        self._until(
            lambda: self.provider.get(f"/v1/transfers/{self.running['peerPid']}")["state"] == "TERMINATED", "the transfer goes on"
        )
        return {"reinstatement": error.detail, "certificate": certificate.detail, "transfer": "TERMINATED"}

    # measuring -------------------------------------------------------------------------------------------------------

    def _seconds_until_refused(self) -> Shown:
        """Seconds from now until each other connector refuses contract requests, and the provider refuses data; raises when the target is missed."""
        began = time.monotonic()
        found: dict[str, float] = {}
        checks: dict[str, Callable[[], bool]] = {
            f"contract requests at the {part}": partial(self._is_refused, part) for part in OTHERS
        }
        checks["data at the provider"] = lambda: self._data() != 200
        while checks and time.monotonic() - began < PATIENCE:
            for name, check in tuple(checks.items()):
                if check():
                    found[name] = round(time.monotonic() - began, 1)
                    del checks[name]
            time.sleep(EVERY)
        expect(not checks, f"still let in after {PATIENCE:.0f} s: {', '.join(checks)}")
        last = max(found.values())
        expect(last <= TARGET, f"{last} s until the last one refused, wanted are {TARGET:.0f}")
        return {"seconds": last, "target": TARGET} | found

    def _is_refused(self, part: Part) -> bool:
        return self._asked(part) == "refused"

    def _asked(self, part: Part) -> str:
        """What a contract request by the consumer comes to: `let in` (known, whatever is answered then) or `refused` (401)."""
        body = {"peer": self.world.did(part), "dataset": "urn:uuid:none", "offer": "urn:uuid:none", "terms": self.offer["contract"]}
        asked = self.consumer.post("/v1/negotiations", body)
        for _ in range(40):
            found = self.consumer.get(f"/v1/negotiations/{asked['id']}")
            if found["state"] == "TERMINATED":
                return "let in"
            if any("401" in row["reason"] for row in found["outbox"]):
                return "refused"
            time.sleep(0.05)
        return "no answer"

    def _data(self) -> int:
        """The status of the data with a token of the consumer and its certificate; 0 when it gets no token any more."""
        try:
            return self._ask(self._access(self.running), "consumer")
        except Exception:  # noqa: BLE001  no token, no data: what it is refused with is told by the running pull
            return 0

    def _long_pull(self) -> tuple[list[Any], threading.Thread]:
        """A pull that takes longer than everything here, under way."""
        agreement = self._long_agreement()
        transfer = self._transfer(agreement, "HttpData-PULL")
        pulled: list[Any] = []
        path, body = f"/v1/transfers/{transfer['id']}/pull", {"rate": min(SLOW, LONG_BYTES / PATIENCE)}
        pull = threading.Thread(target=into(pulled, lambda: self.consumer.post(path, body, timeout=300)), daemon=True)
        pull.start()
        return pulled, pull

    def _operate(self, action: str) -> None:
        self.operator.post(f"/v1/members/{quote(self.world.did('consumer'), safe='')}/{action}", {})

    def _until(self, holds: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            expect(time.monotonic() < deadline, otherwise)
            time.sleep(EVERY)
