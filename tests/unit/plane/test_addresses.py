"""Data addresses of both forms: what one side writes, the other reads, and neither takes one form for the other."""

import pytest

from connector.plane import addresses

URL = "https://me.example/data/t"


def test_an_address_of_the_protocol_carries_a_bearer_token():
    made = addresses.source("dsp", URL, "tok", {"refreshToken": "r"})
    assert made["endpoint"] == URL
    assert not addresses.of_edc(made)
    assert (addresses.endpoint(made), addresses.credentials(made)) == (URL, {"Authorization": "Bearer tok"})
    assert addresses.property_of(made, "refreshToken") == "r"


def test_an_address_for_edc_names_everything_in_its_namespace():
    made = addresses.source("edc", URL, "tok", {"refreshToken": "r"})
    names = [each["name"] for each in made["endpointProperties"]]
    assert all(name.startswith(addresses.EDC) for name in names)
    assert "refreshToken" not in str(names)  # it would not know what to do with one
    assert (addresses.endpoint(made), addresses.credentials(made)) == (URL, {"Authorization": "Bearer tok"})


def test_the_token_of_edc_is_the_header_as_it_stands():
    found = {"@type": "DataAddress", "endpointType": addresses.ENDPOINT_TYPE, "endpointProperties": [
        {"@type": "EndpointProperty", "name": addresses.EDC + "endpoint", "value": URL},
        {"@type": "EndpointProperty", "name": addresses.EDC + "authType", "value": "bearer"},
        {"@type": "EndpointProperty", "name": addresses.EDC + "authorization", "value": "raw"},
    ]}  # fmt: skip
    assert (addresses.endpoint(found), addresses.credentials(found)) == (URL, {"Authorization": "raw"})


@pytest.mark.parametrize(("form", "method"), [("dsp", "PUT"), ("edc", "PUT")])
def test_our_inbox_is_written_to_by_put(form, method):
    made = addresses.inbox(form, URL, "tok")
    assert (addresses.method(made), addresses.endpoint(made)) == (method, URL)
    assert addresses.credentials(made) == {"Authorization": "Bearer tok"}
    assert addresses.of_edc(made) == (form == "edc")


def test_a_sink_of_edc_is_posted_to_without_credentials_unless_it_names_some():
    found = {"endpointType": "HttpData", "endpointProperties": [{"name": addresses.EDC + "baseUrl", "value": URL}]}
    assert (addresses.method(found), addresses.endpoint(found), addresses.credentials(found)) == ("POST", URL, {})
