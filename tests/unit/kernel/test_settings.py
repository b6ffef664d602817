"""kernel.settings: read once, unknown names stop the start and name the nearest, the environment overrides."""

from typing import Annotated

import pytest
from msgspec import Meta, Struct

from kernel.errors import Misconfigured
from kernel.settings import load, reference


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    did: Annotated[str, Meta(description="Who we are", min_length=3)]
    port: Annotated[int, Meta(description="Where we listen", ge=0, le=65535)] = 8443
    peers: tuple[str, ...] = ()
    debug: bool = False


@pytest.fixture
def read(tmp_path):
    def read(text, **environment):
        file = tmp_path / "settings.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(Settings, file, env_prefix="TEST_", environment=environment)

    return read


def test_file_and_defaults(read):
    assert read('did = "did:web:a"\npeers = ["b"]') == Settings("did:web:a", 8443, ("b",))


def test_the_environment_overrides_and_numbers_and_flags_are_read_from_text(read):
    found = read('did = "did:web:a"\nport = 1', TEST_PORT="9000", TEST_DEBUG="true", OTHER="x")
    assert (found.port, found.debug) == (9000, True)


def test_the_environment_may_give_what_the_file_lacks(read):
    assert read("", TEST_DID="did:web:a").did == "did:web:a"


def test_settings_are_frozen(read):
    with pytest.raises(AttributeError):
        read('did = "did:web:a"').port = 1


@pytest.mark.parametrize(("key", "expected"), [("prot", "port"), ("debugg", "debug"), ("DID", "did"), ("zzzzzzzz", "did, port")])
def test_an_unknown_setting_stops_the_start_and_names_the_nearest(read, key, expected):
    with pytest.raises(Misconfigured, match=f"unknown setting {key}") as caught:
        read(f'did = "did:web:a"\n{key} = 1')
    assert expected in caught.value.next_step
    assert caught.value.exit_code == 3


def test_an_unknown_environment_variable_stops_the_start(read):
    with pytest.raises(Misconfigured, match="TEST_PROT") as caught:
        read('did = "did:web:a"', TEST_PROT="1")
    assert "port" in caught.value.next_step


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ("", {}),
        ("did = 1", {}),
        ('did = "a"', {}),
        ('did = "did:web:a"\nport = "8443"', {}),
        ('did = "did:web:a"\nport = 65536', {}),
        ('did = "did:web:a"\nport = true', {}),
        ('did = "did:web:a"\ndebug = 1', {}),
        ('did = "did:web:a"', {"TEST_PORT": "many"}),
        ('did = "did:web:a"', {"TEST_PORT": ""}),
    ],
)
def test_a_value_of_the_wrong_kind_stops_the_start_and_says_where_to_look(read, text, environment):
    with pytest.raises(Misconfigured) as caught:
        read(text, **environment)
    assert caught.value.next_step


@pytest.mark.parametrize("text", ["did = ", 'did = "a"\ndid = "b"', b"\xff\xfe", "[[["])
def test_a_file_that_is_no_toml_stops_the_start_and_names_the_file(read, text):
    with pytest.raises(Misconfigured, match=r"settings\.toml"):
        read(text)


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(Misconfigured, match="no settings") as caught:
        load(Settings, tmp_path / "none.toml", env_prefix="TEST_", environment={})
    assert "init" in caught.value.next_step


def test_the_reference_has_a_row_for_every_field():
    lines = reference(Settings, "TEST_").splitlines()
    assert len(lines) == 6
    assert "| `did` | `TEST_DID` | (needed) | Who we are |" in lines
    assert "| `port` | `TEST_PORT` | `8443` | Where we listen |" in lines
