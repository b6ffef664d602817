"""kernel.telemetry: one JSON object per line, with its context, and no secret in any of them."""

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections import OrderedDict
from types import MappingProxyType

import msgspec
import pytest

from kernel import telemetry, wire
from kernel.clock import parse_iso
from kernel.errors import Unauthorized

CANARY = "canary-do-not-print"
JWT = ".".join(wire.b64url(part) for part in (b'{"alg":"ES256","typ":"JWT"}', b'{"iss":"did:web:a.example"}', b"\x01" * 64))
PRIVATE = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49" + CANARY.replace("-", "") + "\n-----END PRIVATE KEY-----\n"


@pytest.fixture
def lines():
    """Logs into memory; calling it gives the lines, each of which must be JSON."""
    stream = io.StringIO()
    telemetry.configure("debug", stream)

    def read():
        return [json.loads(each) for each in stream.getvalue().splitlines()]

    read.text = stream.getvalue
    return read


@pytest.fixture
def log(lines):
    return telemetry.get("test")


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "Token",
        "authorization",
        "Authorization",
        "key",
        "secret",
        "password",
        "jwt",
        "cookie",
        "access_token",
        "accessToken",
        "refreshToken",
        "api_key",
        "X-Api-Key",
        "Set-Cookie",
        "client_secret",
        "clientSecret",
        "apiKey",
        "privateKey",
        "managementKey",
        "userPassword",
    ],
)
def test_a_value_under_a_telling_name_is_never_written(log, lines, name):
    log.info("one", **{name: CANARY})
    log.info("deep", data={"list": [{name: CANARY}], "tuple": ({name: [CANARY]},)})
    log.info("bytes", **{name: CANARY.encode()})
    with telemetry.bound(**{name: CANARY}):
        log.info("bound")
    assert CANARY not in lines.text()
    assert len(lines()) == 4
    assert lines()[0][name] == telemetry.REDACTED


@pytest.mark.parametrize("name", ["monkey", "keys_known", "kid", "state", "tokens_left", "turkey", "donkey"])
def test_a_harmless_name_is_written(log, lines, name):
    log.info("one", **{name: "value"})
    assert lines()[0][name] == "value"


class Carrier(msgspec.Struct):
    value: str


class Speaking:
    def __repr__(self):
        return f"<carries {JWT}>"


@pytest.mark.parametrize("secret", [JWT, PRIVATE, PRIVATE.replace("PRIVATE", "EC PRIVATE")], ids=["jwt", "pkcs8", "sec1"])
@pytest.mark.parametrize(
    "wrap",
    [
        str,
        str.encode,
        lambda text: f"https://peer.example/?access={text}&x=1",
        lambda text: f"Bearer {text}",
        lambda text: {"a": {"b": [text]}},
        lambda text: {text: 1},
        lambda text: (text,),
        lambda text: {text},
        lambda text: frozenset({text}),
        lambda text: OrderedDict(a=text),
        lambda text: MappingProxyType({"a": text}),
        lambda text: json.dumps({"credential": text}),
        lambda text: ValueError(f"bad: {text}"),
        Unauthorized,
        lambda text: bytearray(text.encode()),
        Carrier,
    ],
    ids=range(16),
)
def test_a_value_that_looks_like_a_secret_is_never_written_whatever_holds_it(log, lines, secret, wrap):
    log.info("one", value=wrap(secret))
    body = secret.split(".")[1] if secret == JWT else CANARY.replace("-", "")
    assert body not in lines.text()
    assert secret[-40:] not in lines.text() or secret != JWT
    assert len(lines()) == 1


def test_an_object_is_written_without_what_it_would_say(log, lines):
    log.info("one", value=Speaking(), values=[Speaking()], plain=1, none=None, flag=True)
    assert JWT not in lines.text()
    assert (lines()[0]["plain"], lines()[0]["none"], lines()[0]["flag"]) == (1, None, True)


def test_the_message_itself_is_cleaned(log, lines):
    message = f"got {JWT}"
    log.info(message)
    assert lines()[0]["event"] == f"got {telemetry.REDACTED}"


def test_a_stack_trace_is_cleaned(log, lines):
    def fail():
        raise ValueError(f"cannot read {JWT}")

    with pytest.raises(ValueError):
        fail()
    try:
        fail()
    except ValueError:
        log.exception("failed")
    found = lines()[0]
    assert JWT not in lines.text()
    assert "ValueError" in found["exception"]
    assert telemetry.REDACTED in found["exception"]


def test_lines_of_libraries_are_json_and_cleaned_too(lines):
    try:
        raise ValueError(f"cannot read {JWT}")
    except ValueError:
        logging.getLogger("some.library").exception("failed with %s", JWT)
    logging.getLogger("some.library").info("chatter")
    assert len(lines()) == 1
    assert JWT not in lines.text()
    assert lines()[0]["event"] == f"failed with {telemetry.REDACTED}"
    assert lines()[0]["level"] == "error"
    assert "at" in lines()[0]


def test_a_line_has_time_level_module_and_the_context_of_its_block(log, lines):
    with telemetry.bound(pid="urn:uuid:1", peer="did:web:b.example"):
        log.warning("one", state="OFFERED")
    log.info("two")
    one, two = lines()
    assert (one["event"], one["level"], one["module"], one["pid"], one["peer"]) == (
        "one",
        "warning",
        "test",
        "urn:uuid:1",
        "did:web:b.example",
    )
    assert one["at"].endswith("Z")
    assert "pid" not in two


def test_blocks_within_blocks_and_beside_them_keep_their_own_context(log, lines):
    async def other():
        with telemetry.bound(pid="3"):
            await asyncio.sleep(0)
            log.info("other")

    async def all_():
        with telemetry.bound(pid="1", peer="a"):
            beside = asyncio.create_task(other())
            again = telemetry.bound(pid="2")
            with again:
                await asyncio.sleep(0)
                log.info("inner", peer="b")
                logging.getLogger("some.library").warning("library")
            log.info("outer")
            await beside

    asyncio.run(all_())
    found = {each["event"]: (each.get("pid"), each.get("peer")) for each in lines()}
    assert found == {"inner": ("2", "b"), "library": ("2", "a"), "outer": ("1", "a"), "other": ("3", "a")}


def test_a_line_that_is_not_written_is_not_made(monkeypatch):
    telemetry.configure("warning", io.StringIO())
    monkeypatch.setattr(telemetry, "_CONTEXT", None)  # making a line asks for its context
    log = telemetry.get("test")
    log.info("one", value=1)
    with pytest.raises(AttributeError):
        log.warning("two")


@pytest.mark.parametrize("value", ["\ud800", 2**70], ids=["a lone surrogate", "a number of more than 64 bits"])
def test_a_value_that_the_fast_way_refuses_is_written_all_the_same(log, lines, value):
    log.info("one", value=value)
    log.info("two")
    one, two = lines()
    assert one["value"] == value
    assert parse_iso(one["at"]) <= parse_iso(two["at"])
    assert one["at"].endswith("Z")


def test_an_exception_of_another_task_is_written_with_its_line(log, lines):
    log.critical("a worker has ended", exc_info=ValueError(f"cannot read {JWT}"))
    log.critical("a worker has ended", exc_info=None)
    one, two = lines()
    assert one["exception"] == f"ValueError: cannot read {telemetry.REDACTED}"
    assert (one["level"], "exception" in two, "exc_info" in one) == ("critical", False, False)


def test_a_line_is_one_write_and_out_when_the_call_returns():
    """What is read after a crash is what was written before it."""
    code = "import os; from kernel import telemetry; telemetry.configure(); telemetry.get('test').info('one', value='x' * 20_000); os._exit(7)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (found.returncode, [json.loads(each)["event"] for each in found.stderr.splitlines()]) == (7, ["one"])
    stream = Counting()
    telemetry.configure(stream=stream)
    telemetry.get("test").info("one", value="x" * 20_000)
    assert (stream.writes, stream.flushes) == (1, 1)


class Counting(io.StringIO):
    writes = flushes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)

    def flush(self) -> None:
        self.flushes += 1


def test_before_it_is_set_up_lines_go_to_standard_error():
    code = "from kernel import telemetry; telemetry.get('test').warning('one')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (found.stdout, json.loads(found.stderr)["event"]) == ("", "one")


def test_a_line_break_in_a_value_does_not_make_a_second_line(log, lines):
    log.info('one\n{"event":"forged"}', value="x\r\ny\u2028z")
    assert lines.text().count("\n") == 1


def test_levels_below_the_chosen_one_are_not_written():
    stream = io.StringIO()
    telemetry.configure("warning", stream)
    telemetry.get("test").info("one")
    telemetry.get("test").warning("two")
    assert [json.loads(each)["event"] for each in stream.getvalue().splitlines()] == ["two"]
