"""A status list in its two signed forms: a JWT, and JSON with a Data Integrity proof for readers that take no JWT (EDC 0.15 among them)."""

import pytest

from identity import did as dids
from identity.did import ASSERTION
from identity.keys import KeyStore
from identity.service.issuer.routes import _wants_document
from identity.status import read_list
from identity.vc import check_proof, parse_vc, read_vc
from kernel.errors import BadInput
from tests.support.consortium import DID, consortium

LIMIT = 4 * 1024 * 1024


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("application/vc+jwt, application/vc;q=0.5, application/jwt;q=0.4", False),
        ("application/vc", True),
        ("application/json", True),
        ("application/vc+ld+json, application/json;q=0.5", True),
        ("text/html", False),
    ],
)
def test_who_gets_which_form(accept, wanted):
    assert _wants_document(accept) == wanted


async def test_both_forms_say_the_same_are_signed_and_follow_every_change(tmp_path, clock):
    found = consortium(tmp_path, clock)
    try:
        await found.add(1)
        await found.publish()
        key = found.ledger.database.file.read(lambda c: c.execute("SELECT id FROM status_list ORDER BY id").fetchone()[0])
        store = KeyStore(tmp_path / "keys", DID)
        document = dids.parse_document(dids.document(DID, store.published()), DID)
        seen = []
        for _ in range(2):
            jwt, json = await found.lists.fetch(key), await found.lists.fetch(key, document=True)
            signed, plain = parse_vc(jwt.text, limit=LIMIT), read_vc(json.text, limit=LIMIT)
            url = found.lists.url(key)
            for each in (signed, plain):
                check_proof(each.proof, document, ASSERTION)
                assert (each.issuer, each.id) == (DID, url)
            assert read_list(signed, url).purposes == read_list(plain, url).purposes
            assert (signed.valid_from, signed.valid_until, signed.subjects) == (plain.valid_from, plain.valid_until, plain.subjects)
            assert jwt.etag != json.etag
            assert await found.lists.fetch(key, document=True) is json, "made once"
            seen += [jwt.etag, json.etag]
            clock.advance(hours=25)
        assert len(set(seen)) == 4
        changed = json.text.replace('"statusPurpose":"', '"statusPurpose":"x')
        with pytest.raises(BadInput):
            check_proof(read_vc(changed, limit=LIMIT).proof, document, ASSERTION)
    finally:
        found.ledger.database.file.close()
