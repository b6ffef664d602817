"""identity.access: the audit log. What it holds, that it stands and falls with its effect, and that nobody changes it unseen."""

import asyncio
import io
import json
import sqlite3

import msgspec
import pytest

from identity.access import audit, cli
from identity.access.audit import Chain, Event, Head, head_of, linked
from kernel import faults, telemetry
from kernel.errors import BadInput, StorageFull
from tests.unit.access.conftest import ME

EVENT = {"at": "t", "who": "w", "name": "n", "role": "read", "action": "a", "object": "o", "outcome": "done"}


def chain(count):
    rows, head = [], Head()
    for number in range(count):
        rows.append(linked(ME, head, Event(**EVENT | {"object": str(number)})))
        head = Head(rows[-1].seq, rows[-1].hash)
    return rows


def fault(rows, head=None, pinned=None, participant=ME):
    found = Chain(participant, pinned)
    for row in rows:
        found.take(row)
    return found.end(head or (Head(rows[-1].seq, rows[-1].hash) if rows else Head()))


# the chain ----------------------------------------------------------------------------------------------------------------


def test_an_untouched_chain_has_no_fault():
    for count in (0, 1, 7):
        assert fault(chain(count)) is None


@pytest.mark.parametrize("name", [*EVENT, "seq", "previous", "hash"])
def test_a_change_of_any_field_is_found_where_it_is(name):
    rows = chain(5)
    changed = rows[2].seq + 7 if name == "seq" else rows[3].hash if name in ("previous", "hash") else "other"
    rows[2] = msgspec.structs.replace(rows[2], **{name: changed})
    assert fault(rows, Head(5, rows[4].hash)).seq == 3


@pytest.mark.parametrize("at", range(5))
def test_a_removed_row_is_found(at):
    rows = chain(5)
    head = Head(5, rows[4].hash)
    del rows[at]
    assert fault(rows, head).seq == at + 1


def test_exchanged_rows_are_found_with_and_without_their_numbers():
    rows = chain(5)
    head = Head(5, rows[4].hash)
    assert fault([rows[0], rows[2], rows[1], *rows[3:]], head).seq == 2
    renumbered = [msgspec.structs.replace(rows[2], seq=2), msgspec.structs.replace(rows[1], seq=3)]
    assert fault([rows[0], *renumbered, *rows[3:]], head).seq == 2


def test_a_row_put_in_is_found():
    rows = chain(4)
    head = Head(4, rows[3].hash)
    added = linked(ME, Head(2, rows[1].hash), Event(**EVENT))
    assert fault([*rows[:2], added, *rows[2:]], head).seq == 4


def test_rows_cut_off_at_the_end_contradict_the_head():
    rows = chain(5)
    assert fault(rows[:3], Head(5, rows[4].hash)).seq == 4
    assert fault([], Head(5, rows[4].hash)).seq == 1


def test_a_log_rewritten_from_end_to_end_is_found_by_a_head_that_was_noted():
    old, new = chain(5), [linked(ME, Head(), Event(**EVENT | {"object": "forged"}))]
    noted = Head(3, old[2].hash)
    assert fault(old, pinned=noted) is None
    assert fault(new) is None
    assert fault(new, pinned=noted).seq == 2
    for number in range(1, 6):
        new.append(linked(ME, Head(new[-1].seq, new[-1].hash), Event(**EVENT | {"object": str(number)})))
    assert fault(new) is None
    assert "rewritten" in fault(new, pinned=noted).reason


def test_the_rows_of_another_participant_are_not_ones_own():
    assert fault(chain(3), participant="did:web:other.example").seq == 1


@pytest.mark.parametrize(
    "text", ["", "1", "1:", "x:" + audit.START, "-1:" + audit.START, "1:sha256:0", "1" * 16 + ":" + audit.START]
)
def test_a_head_that_is_none_is_refused(text):
    with pytest.raises(BadInput):
        head_of(text)


def test_a_head_is_written_as_it_is_read():
    head = Head(3, chain(3)[2].hash)
    assert head_of(str(head)) == head


# what is recorded ---------------------------------------------------------------------------------------------------------


async def test_changes_and_refusals_are_recorded_and_reads_are_not(world):
    key = await world.key("read", "things")
    await world.call("POST", "/v1/things")
    await world.call("GET", "/v1/things")
    await world.call("POST", "/v1/things/urn%3Aa/refuse")
    await world.call("POST", "/v1/things/urn%3Ab/fail")
    await world.call("POST", "/v1/things", key)
    await world.call("GET", "/v1/audit", key)
    await world.call("GET", "/v1/things", "wrong")
    await world.call("POST", "/nowhere", "wrong")
    rows = await world.log()
    who = f"key:{key.split('_')[1]}"
    assert [(r["who"], r["role"], r["action"], r["object"], r["outcome"]) for r in rows] == [
        ("file", "admin", "POST /v1/keys", key.split("_")[1], "done"),
        ("file", "admin", "POST /v1/things", "urn:made", "done"),
        ("file", "admin", "POST /v1/things/{id}/refuse", "urn:a", "conflict"),
        ("file", "admin", "POST /v1/things/{id}/fail", "urn:b", "http-500"),
        (who, "read", "POST /v1/things", "", "forbidden"),
        (who, "read", "GET /v1/audit", "", "forbidden"),
        ("unknown", "", "GET /v1/things", "", "unauthorized"),
        ("unknown", "", "unknown route", "", "unauthorized"),
    ]
    assert [r["seq"] for r in rows] == list(range(1, 9))
    assert {r["at"] for r in rows} == {"2026-11-24T09:00:00.000Z"}
    assert rows[4]["name"] == "read key"
    assert (await world.call("GET", "/v1/audit/verify")).body["intact"] is True


async def test_a_call_that_fails_after_its_change_has_both_rows(world):
    await world.call("POST", "/v1/things?then=fail")
    assert [(r["object"], r["outcome"]) for r in await world.log()] == [("urn:made", "done"), ("urn:made", "conflict")]


async def test_an_expired_key_is_recorded_as_itself(world):
    key = await world.key(expires="2026-11-24T10:00:00Z")
    world.clock.forward(hours=1)
    await world.call("GET", "/v1/things", key)
    last = (await world.log())[-1]
    assert (last["who"], last["outcome"]) == (f"key:{key.split('_')[1]}", "unauthorized")


async def test_no_secret_query_or_body_gets_into_the_log(world):
    key = await world.key("operate")
    await world.call("POST", "/v1/things?secret=canary-query", key, data=b"canary-body")
    await world.call("POST", "/v1/keys", json={"name": "canary-name", "role": "none"})
    await world.call("GET", "/v1/things", "canary-key")
    text = json.dumps(await world.log())
    assert "canary" not in text
    assert key.split("_", 2)[2] not in text


async def test_a_flood_of_strangers_leaves_60_rows_a_minute_and_their_number(world):
    for _ in range(75):
        assert (await world.call("GET", "/v1/things", "wrong")).status == 401
    assert len(await world.log()) == 60
    world.clock.forward(minutes=1)
    await world.call("GET", "/v1/things", "wrong")
    rows = await world.log()
    assert (len(rows), rows[-1]["name"]) == (61, "15 more were refused since")
    await world.call("POST", "/v1/things")
    assert len(await world.log()) == 62


async def test_every_row_is_a_log_line_with_its_number_and_hash(world):
    found = io.StringIO()
    telemetry.configure(stream=found)
    await world.call("POST", "/v1/things")
    await world.call("GET", "/v1/things", "wrong")
    lines = [each for each in map(json.loads, found.getvalue().splitlines()) if each["event"] == "audit"]
    rows = await world.log()
    assert [(each["seq"], each["hash"]) for each in lines] == [(each["seq"], each["hash"]) for each in rows]


# with its effect, or not at all -------------------------------------------------------------------------------------------


async def things(world):
    return world.database.read(lambda c: [row[0] for row in c.execute("SELECT id FROM asset").fetchall()])


@pytest.mark.parametrize("point", ["database:before-commit", "database:after-commit"])
async def test_effect_and_row_are_in_one_transaction(world, monkeypatch, point):
    """The moment at which a power cut would strike: both are there, or neither."""
    seen = []

    def look(name):
        if name == point:
            with sqlite3.connect(world.database.path) as other:
                effects = other.execute("SELECT count(*) FROM asset").fetchone()[0]
                rows = other.execute("SELECT count(*) FROM audit WHERE action = 'POST /v1/things'").fetchone()[0]
                seen.append((effects, rows))
            other.close()

    monkeypatch.setattr(faults, "hook", look)
    await world.call("POST", "/v1/things")
    assert seen[0] == ((0, 0) if point.endswith("before-commit") else (1, 1))
    assert len(seen) == 1, "the row took a transaction of its own"


async def test_a_commit_that_fails_leaves_neither_and_the_caller_hears_it(world, monkeypatch):
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL

    def full(name):
        if name == "database:before-commit":
            raise error

    monkeypatch.setattr(faults, "hook", full)
    reply = await world.call("POST", "/v1/things")
    assert (reply.status, reply.body["code"]) == (StorageFull.status, "storage-full")
    monkeypatch.undo()
    assert not await things(world)
    assert not await world.log()


async def test_rows_after_writes_that_were_undone_follow_what_is_there(world, monkeypatch):
    """The head is remembered, and none that never became durable counts."""
    await world.call("POST", "/v1/things?then=1")
    before = await world.log()

    def broken(name):
        if name == "database:before-commit":
            raise sqlite3.OperationalError("broken")

    monkeypatch.setattr(faults, "hook", broken)
    await world.call("POST", "/v1/keys", json={"name": "a", "role": "read"})
    monkeypatch.undo()
    await world.database.write(lambda c: world.store.append_with(c, Event(**EVENT)) and None)
    with pytest.raises(ValueError, match="no"):
        await world.database.write(lambda c: failing(world.store.append_with(c, Event(**EVENT))))
    await world.call("POST", "/v1/keys", json={"name": "b", "role": "read"})
    assert len(await world.log()) == len(before) + 2
    assert (await world.call("GET", "/v1/audit/verify")).body["intact"]


def failing(_):
    raise ValueError("no")


async def test_the_head_is_read_for_the_first_row_and_moved_by_one_statement_for_each_other(world):
    statements = []
    for count in (3, 1, 1):
        await world.database.write(lambda c: c.set_trace_callback(statements.append))
        await world.database.write(lambda c: world.store.append_with(c, Event(**EVENT)))
        await world.database.write(lambda c: c.set_trace_callback(None))
        assert len([each for each in statements if "audit_head" in each]) == count, statements
        statements.clear()


async def test_reading_goes_on_when_the_disk_is_full(world, monkeypatch):
    key = await world.key()
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL

    def full(_):
        raise error

    monkeypatch.setattr(faults, "hook", full)
    assert (await world.call("GET", "/v1/things", key)).status == 200


async def test_a_row_for_what_did_not_happen_is_not_written_as_done(world):
    key = (await world.key()).split("_")[1]
    await world.call("POST", f"/v1/keys/{key}/revoke")
    await world.call("POST", f"/v1/keys/{key}/revoke")
    assert [r["outcome"] for r in await world.log()] == ["done", "done", "conflict"]


async def test_a_write_outside_of_a_call_takes_no_row_along(world):
    await world.call("POST", "/v1/things")
    await world.database.write(lambda c: c.execute("DELETE FROM asset").rowcount)
    assert len(await world.log()) == 1


async def test_calls_at_the_same_time_make_one_chain(world):
    made = await asyncio.gather(*(world.call("POST", "/v1/keys", json={"name": str(n), "role": "read"}) for n in range(40)))
    rows = await world.log()
    assert sorted(each["object"] for each in rows) == sorted(each.body["id"] for each in made)
    verdict = (await world.call("GET", "/v1/audit/verify")).body
    assert (verdict["intact"], verdict["entries"]) == (True, 40)


# kept ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql", ["UPDATE audit SET who = 'nobody'", "DELETE FROM audit", "INSERT OR REPLACE INTO audit SELECT * FROM audit"]
)
async def test_the_database_refuses_to_change_the_log(world, sql):
    await world.call("POST", "/v1/things")
    with pytest.raises(sqlite3.IntegrityError):
        await world.database.write(lambda c: c.execute(sql).rowcount)
    assert len(await world.log()) == 1


TAMPERED = {
    "changed": ("UPDATE audit SET outcome = 'conflict' WHERE seq = 3", 3),
    "removed": ("DELETE FROM audit WHERE seq = 3", 3),
    "reordered": ("UPDATE audit SET seq = CASE seq WHEN 3 THEN -4 ELSE -3 END WHERE seq IN (3, 4); UPDATE audit SET seq = -seq WHERE seq < 0", 3),
    "cut off": ("DELETE FROM audit WHERE seq > 4", 5),
    "cut off with its head": ("DELETE FROM audit WHERE seq > 4; UPDATE audit_head SET seq = 4, hash = (SELECT hash FROM audit WHERE seq = 4)", 5),
    "emptied": ("DELETE FROM audit; DELETE FROM audit_head", 1),
}  # fmt: skip


@pytest.mark.parametrize("how", TAMPERED)
async def test_what_gets_around_the_database_is_found(world, how):
    """Somebody with the file: triggers dropped, rows changed. The head was noted before."""
    for name in "abcdef":
        await world.key(name=name)
    noted = (await world.call("GET", "/v1/audit/verify")).body["head"]
    sql, seq = TAMPERED[how]
    with sqlite3.connect(world.database.path) as other:
        other.executescript(f"DROP TRIGGER audit_unchanged; DROP TRIGGER audit_kept; {sql};")
    other.close()
    verdict = (await world.call("GET", f"/v1/audit/verify?head={noted}")).body
    assert verdict["intact"] is False
    assert verdict["fault"]["seq"] == seq
    alone = (await world.call("GET", "/v1/audit/verify")).body["intact"]
    assert alone == (how in ("cut off with its head", "emptied"))


@pytest.mark.parametrize("count", [199, 200, 201, 450])
async def test_a_long_log_is_followed_to_its_end(world, count):
    await asyncio.gather(*(world.store.append(Event(**EVENT | {"object": str(number)})) for number in range(count)))
    verdict = (await world.call("GET", "/v1/audit/verify")).body
    assert (verdict["intact"], verdict["entries"]) == (True, count)
    with sqlite3.connect(world.database.path) as other:
        other.executescript(f"DROP TRIGGER audit_unchanged; UPDATE audit SET who = 'x' WHERE seq = {count};")
    other.close()
    assert (await world.call("GET", "/v1/audit/verify")).body["fault"]["seq"] == count


async def test_a_noted_head_still_holds_when_the_log_has_grown(world):
    await world.key()
    noted = (await world.call("GET", "/v1/audit/verify")).body["head"]
    for _ in range(3):
        await world.key()
    assert (await world.call("GET", f"/v1/audit/verify?head={noted}")).body["intact"] is True
    assert (await world.call("GET", "/v1/audit/verify?head=1:sha256:0")).status == 400


class Loopback:
    """`ManagementClient` over the loop that the service runs on."""

    def __init__(self, pages):
        self.pages = pages

    def get(self, path):
        return self.pages[path]

    def items(self, path):
        return iter(self.pages[path]["items"])


async def exported(world, tmp_path):
    pages = {path: (await world.call("GET", path)).body for path in ("/v1/audit?limit=1", "/v1/audit")}
    file = tmp_path / "log.jsonl"
    file.write_text("".join(cli._lines(Loopback(pages))))
    return file


async def test_an_export_is_verified_by_whoever_has_the_file(world, tmp_path):
    for _ in range(4):
        await world.key()
    file = await exported(world, tmp_path)
    head = (await world.call("GET", "/v1/audit/verify")).body["head"]
    assert cli.verified(file, head) == {"intact": True, "entries": 4, "head": head, "fault": None}
    lines = file.read_text().splitlines(keepends=True)
    for changed, seq in (
        ([*lines[:2], lines[2].replace("done", "conflict"), *lines[3:]], 2),
        (lines[:-1], 4),
        ([lines[0], *lines[2:]], 1),
        ([lines[0].replace("me.example", "you.example"), *lines[1:]], 1),
    ):
        file.write_text("".join(changed))
        assert cli.verified(file, "")["fault"]["seq"] == seq
    for text in ("", "{}", "[]\n", lines[0] + "{}\n", lines[0] + "nonsense\n", '"x"\n'):
        file.write_text(text)
        with pytest.raises(BadInput):
            cli.verified(file, "")


async def test_an_empty_log_is_intact_and_exported(world, tmp_path):
    assert (await world.call("GET", "/v1/audit/verify")).body["intact"] is True
    assert cli.verified(await exported(world, tmp_path), "")["intact"] is True
