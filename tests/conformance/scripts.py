"""What the connector under test does of its own accord, per sample id: the demands of the official DSP kit, case by case.

A script is a list of (state, own message): whenever the process comes into the state and nothing of ours is on its way, the next entry is done. Ids: `ACN..` and
`ATP..` with the connector as provider, `ACNC..` and `ATPC..` as consumer.
"""

from connector.processes import tables as t

END, STOP = t.END_NEGOTIATION, t.END_TRANSFER
NEGOTIATIONS = {
    "ACN0101": [("REQUESTED", t.OFFER)],
    "ACN0102": [("REQUESTED", t.OFFER), ("REQUESTED", END)],
    "ACN0103": [("REQUESTED", t.OFFER), ("ACCEPTED", t.AGREE), ("VERIFIED", t.FINALIZE)],
    "ACN0104": [("REQUESTED", t.AGREE), ("VERIFIED", t.FINALIZE)],
    "ACN0201": [("REQUESTED", END)],
    "ACN0202": [],
    "ACN0203": [("REQUESTED", t.AGREE)],
    "ACN0204": [("REQUESTED", t.OFFER)],
    "ACN0205": [("REQUESTED", t.OFFER), ("OFFERED", END)],
    "ACN0206": [("REQUESTED", t.OFFER), ("ACCEPTED", END)],
    "ACN0207": [("REQUESTED", t.AGREE), ("VERIFIED", END)],
    "ACN0301": [("REQUESTED", t.AGREE), ("VERIFIED", t.FINALIZE)],
    "ACN0302": [("REQUESTED", t.OFFER)],
    "ACN0303": [("REQUESTED", t.OFFER)],
    "ACN0304": [("REQUESTED", t.OFFER)],
    "ACNC0101": [("OFFERED", t.ACCEPT), ("AGREED", t.VERIFY)],
    "ACNC0102": [("OFFERED", t.REQUEST)],
    "ACNC0103": [("OFFERED", END)],
    "ACNC0104": [("AGREED", t.VERIFY)],
    "ACNC0201": [],
    "ACNC0202": [("REQUESTED", END)],
    "ACNC0203": [("AGREED", END)],
    "ACNC0204": [],
    "ACNC0205": [("OFFERED", t.ACCEPT)],
    "ACNC0206": [("AGREED", t.VERIFY)],
    "ACNC0301": [],
    "ACNC0302": [],
    "ACNC0303": [],
    "ACNC0304": [("OFFERED", t.ACCEPT)],
    "ACNC0305": [("OFFERED", t.ACCEPT)],
    "ACNC0306": [("OFFERED", t.ACCEPT)],
}
STARTS = [("REQUESTED", t.START)]
TRANSFERS = {
    "ATP0101": [*STARTS, ("STARTED", STOP)],
    "ATP0102": [*STARTS, ("STARTED", t.COMPLETE)],
    "ATP0103": [*STARTS, ("STARTED", t.SUSPEND), ("SUSPENDED", STOP)],
    "ATP0104": [*STARTS, ("STARTED", t.SUSPEND), ("SUSPENDED", t.START), ("STARTED", t.COMPLETE)],
    "ATP0105": [("REQUESTED", STOP)],
    "ATP0201": STARTS,
    "ATP0202": STARTS,
    "ATP0203": STARTS,
    "ATP0204": STARTS,
    "ATP0205": [],
    "ATP0301": [],
    "ATP0302": [],
    "ATP0303": STARTS,
    "ATP0304": STARTS,
    "ATP0305": STARTS,
    "ATP0306": STARTS,
    **{f"ATPC{number}": [] for number in ("0101", "0102", "0103", "0104", "0105", "0301", "0302", "0303", "0304", "0305", "0306")},
    "ATPC0201": [("STARTED", STOP)],
    "ATPC0202": [("STARTED", t.COMPLETE)],
    "ATPC0203": [("STARTED", t.SUSPEND), ("SUSPENDED", STOP)],
    "ATPC0204": [("STARTED", t.SUSPEND), ("SUSPENDED", t.START), ("STARTED", t.COMPLETE)],
    "ATPC0205": [("REQUESTED", STOP)],
}
DATASETS = (*(key for key in NEGOTIATIONS if not key.startswith("ACNC")), "CAT0101", "CAT0102")
FORMAT = "HttpData-PULL"


def offer_id(dataset: str) -> str:
    """The id of the offer for a dataset, as the kit expects it from a provider."""
    return f"CD123:{dataset}:456"


def case_key(sample: str) -> str:
    """`ACNC0203` -> `CN_C_02_03`: how the kit names a case in its properties."""
    kind = {"ACN": "CN", "ATP": "TP"}[sample[:3]]
    rest = sample[3:]
    side = "_C" if rest.startswith("C") else ""
    digits = rest.removeprefix("C")
    return f"{kind}{side}_{digits[:2]}_{digits[2:]}"
