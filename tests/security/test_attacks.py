"""The 53 groups of attacks of identity.md 6: which test stands for which part. A group without a test, or a test that is gone, fails.

Every part is a line of its group; the tests check the reason, at the public interface. `file::name` is relative to `tests`.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TOKENS, SHOWN, LISTS = "security/test_tokens.py", "security/test_presentations.py", "security/test_status_lists.py"
CHANNEL, CERTIFICATES, FETCHING = "security/test_channel.py", "security/test_certificates.py", "security/test_fetching.py"
INTEGRITY, PROOFS, ISSUER = "security/test_data_integrity.py", "unit/identity_core/test_integrity.py", "security/test_issuer.py"
REPLAY, WALLET, HTTP = "security/test_replay.py", "unit/identity_wallet/test_credential_service.py", "unit/kernel/test_http.py"
STS, CA, HANDSHAKE = "unit/identity_wallet/test_sts.py", "unit/identity_tls/test_ca.py", "unit/identity_tls/test_handshake.py"
REVOKED, STORE, TENANTS = "unit/identity_tls/test_revoked.py", "store/test_store.py", "security/test_tenants.py"

ATTACKS: dict[int, dict[str, str]] = {
    1: {"alg none, None, missing": f"{TOKENS}::test_g01_no_algorithm"},
    2: {"HS256 with the public key": f"{TOKENS}::test_g02_public_key_as_hmac_secret"},
    3: {"ES256 with a P-384 key": f"{TOKENS}::test_g03_es256_with_a_p384_key"},
    4: {"unknown crit": f"{TOKENS}::test_g04_unknown_extension"},
    5: {"jwk, jku, x5u, x5c in the header": f"{TOKENS}::test_g05_header_offers_a_key"},
    6: {
        "kid of another DID": f"{TOKENS}::test_g06_kid_of_another_did",
        "no key found is no success": f"{TOKENS}::test_g06_no_key_found_is_no_success",
    },
    7: {
        "look-alike DID": f"{TOKENS}::test_g07_look_alike_did",
        "metacharacters in iss": f"{TOKENS}::test_g07_iss_with_metacharacters",
    },
    8: {
        "no kid, one method": f"{TOKENS}::test_g08_no_kid_with_one_method",
        "no kid, two methods": f"{TOKENS}::test_g08_no_kid_with_two_methods",
    },
    9: {"key not for capabilityInvocation": f"{TOKENS}::test_g09_key_not_for_invocation"},
    10: {"document of another DID": f"{TOKENS}::test_g10_document_of_another_did"},
    11: {"foreign controller": f"{TOKENS}::test_g11_foreign_controller"},
    12: {"iss is not sub": f"{TOKENS}::test_g12_iss_and_sub_differ"},
    13: {
        "aud wrong, missing": f"{TOKENS}::test_g13_audience",
        "two audiences": f"{TOKENS}::test_g13_two_audiences_one_of_them_ours",
    },
    14: {
        "edges of the leeway": f"{TOKENS}::test_g14_edges_of_the_leeway",
        "malformed times": f"{TOKENS}::test_g14_malformed_times",
        "missing claims": f"{TOKENS}::test_g14_missing_claims",
        "too long a life": f"{TOKENS}::test_g14_life_of_601_seconds",
    },
    15: {
        "sequential": f"{TOKENS}::test_g15_replayed_jti",
        "fifty at once, two workers": f"{REPLAY}::test_g15_fifty_at_once_over_two_workers",
        "fifty at once over HTTP": f"{ISSUER}::test_g15_one_of_fifty_requests_with_one_token_wins",
        "after a restart": f"{REPLAY}::test_g15_after_a_restart",
        "the unique key decides": f"{REPLAY}::test_g15_it_is_the_database_that_decides",
        "in every store": f"{STORE}::test_of_fifty_equal_tokens_at_once_exactly_one_wins",
        "same jti of another iss": f"{REPLAY}::test_g15_the_token_of_another_issuer_under_the_same_jti",
    },
    16: {"lower case, double space, two headers": f"{TOKENS}::test_g16_header"},
    17: {
        "of another holder, or signed by the caller": f"{WALLET}::test_an_access_token_that_we_did_not_sign_is_401",
        "of another verifier": f"{WALLET}::test_an_access_token_of_another_verifier_is_401",
        "expired": f"{WALLET}::test_an_expired_access_token_is_401",
        "alg none and what is no token": f"{STS}::test_what_is_no_token_is_refused",
        "another key under our kid": f"{STS}::test_an_access_token_signed_with_another_key_is_refused_even_under_our_kid",
        "an identity token as access token": f"{WALLET}::test_our_own_identity_token_is_no_access_token",
        "re-used with the same identity token": f"{WALLET}::test_the_same_identity_token_works_once_and_a_new_one_repeats_the_query",
    },
    18: {
        "more scopes than granted": f"{WALLET}::test_an_ungranted_scope_is_left_out_without_a_word",
        "a changed scope claim": f"{STS}::test_a_changed_scope_breaks_the_signature",
    },
    19: {
        "prefix, pattern at the credential service": f"{WALLET}::test_a_prefix_a_pattern_or_another_alias_matches_nothing",
        "prefix at the verifier": f"{SHOWN}::test_g19_type_that_only_begins_alike",
    },
    20: {
        "token of one tenant at the other": f"{TENANTS}::test_g20_token_for_one_tenant_at_the_other",
        "access token of one tenant at the other": f"{TENANTS}::test_g20_access_token_of_one_tenant_at_the_other",
        "delivery for one tenant at the other": f"{TENANTS}::test_g20_delivery_for_one_tenant_at_the_other",
        "rows of another participant": f"{STORE}::test_another_participants_rows_are_not_found",
    },
    21: {"both fields, empty, definition": f"{WALLET}::test_exactly_one_of_scope_and_definition_and_the_right_message"},
    22: {
        "signer is not the token's issuer": f"{SHOWN}::test_g22_presentation_signed_by_another_holder",
        "another key in the holder's name": f"{SHOWN}::test_g22_presentation_of_us_signed_by_another_key",
        "holder and kid differ": f"{SHOWN}::test_g22_holder_and_kid_differ",
        "with Data Integrity": f"{INTEGRITY}::test_g22_presentation_signed_by_another",
    },
    23: {
        "another audience": f"{SHOWN}::test_g23_presentation_for_another_audience",
        "no audience, no end": f"{SHOWN}::test_g23_presentation_without_audience_or_end",
        "replayed": f"{SHOWN}::test_g23_old_presentation",
    },
    24: {
        "trusted issuer in the payload, signed by another": f"{SHOWN}::test_g24_payload_issuer_is_trusted_but_another_signed",
        "forged under the right kid": f"{SHOWN}::test_g24_forged_signature_with_the_right_kid",
        "kid that does not say whose": f"{SHOWN}::test_g24_kid_that_does_not_say_whose_it_is",
        "with Data Integrity": f"{INTEGRITY}::test_g24_credential_of_the_issuer_signed_by_another",
    },
    25: {
        "VP key not for authentication": f"{SHOWN}::test_g25_presentation_key_not_for_authentication",
        "VC key not for assertions": f"{SHOWN}::test_g25_credential_key_not_for_assertion",
    },
    26: {
        "subject foreign, missing, in an array": f"{SHOWN}::test_g26_subject_is_not_the_holder",
        "with Data Integrity": f"{INTEGRITY}::test_g26_subject_is_another",
    },
    27: {
        "1.1: claim and property differ": f"{SHOWN}::test_g27_claim_and_property_differ",
        "2.0: claims contradict": f"{SHOWN}::test_g27_registered_claims_contradict_in_2_0",
    },
    28: {
        "mixed models": f"{SHOWN}::test_g28_mixed_formats",
        "mixed ways of proof": f"{INTEGRITY}::test_g28_mixed_models_and_ways_of_proof",
    },
    29: {
        "other media types, lists": f"{SHOWN}::test_g29_enveloped_object",
        "nested envelopes": f"{SHOWN}::test_g29_nested_envelopes",
        "bare string": f"{SHOWN}::test_g29_bare_string_in_a_2_0_presentation",
    },
    30: {
        "untrusted": f"{SHOWN}::test_g30_untrusted_issuer_and_nothing_of_it_is_fetched",
        "trusted for another type": f"{SHOWN}::test_g30_issuer_trusted_for_another_type",
        "type that rides along": f"{SHOWN}::test_g30_trusted_type_with_one_that_rides_along",
    },
    31: {
        "empty": f"{SHOWN}::test_g31_empty_presentation",
        "a thousand presentations": f"{SHOWN}::test_g31_thousand_presentations",
        "a thousand credentials": f"{SHOWN}::test_g31_thousand_credentials",
        "spread over presentations": f"{SHOWN}::test_g31_credentials_spread_over_presentations",
    },
    32: {
        "revoked, suspended": f"{LISTS}::test_g32_set_and_unset",
        "both": f"{SHOWN}::test_g32_revoked_and_suspended",
        "purpose mismatch": f"{LISTS}::test_g32_list_for_another_purpose",
        "purpose array": f"{LISTS}::test_g32_list_with_several_purposes",
    },
    33: {
        "404, 500, redirect": f"{LISTS}::test_g33_list_is_not_there",
        "unreachable": f"{LISTS}::test_g33_unreachable",
        "slow": f"{HTTP}::test_a_server_that_drips_is_given_up_by_the_total_time",
        "grace is no decision's": f"{LISTS}::test_g33_grace_while_the_host_is_silent_and_no_longer",
        "no grace for other answers": f"{LISTS}::test_g33_no_grace_for_a_host_that_answers_something_else",
    },
    34: {
        "unsigned": f"{LISTS}::test_g34_unsigned_list",
        "alg none": f"{LISTS}::test_g34_list_with_alg_none",
        "proof that does not hold": f"{INTEGRITY}::test_g34_status_list_whose_proof_does_not_hold",
    },
    35: {
        "of another DID": f"{LISTS}::test_g35_list_of_another_did",
        "signed by another": f"{LISTS}::test_g35_list_signed_by_another_for_the_issuer",
        "of another trusted issuer": f"{LISTS}::test_g35_credential_points_at_the_list_of_another_trusted_issuer",
        "forged": f"{LISTS}::test_g35_forged_signature",
    },
    36: {
        "expired": f"{LISTS}::test_g36_expired_list_and_list_of_tomorrow",
        "stale": f"{LISTS}::test_g36_list_that_becomes_unreachable_is_used_within_its_age_only",
        "clock jump": f"{LISTS}::test_g36_clock_that_went_back_makes_the_list_stale",
        "after a change was heard of": f"{LISTS}::test_an_invalidated_list_is_read_anew_with_or_without_grace",
    },
    37: {
        "malformed index": f"{LISTS}::test_g37_malformed_index",
        "out of range": f"{LISTS}::test_g37_just_out_of_range",
        "statusSize": f"{LISTS}::test_g37_status_size_of_two",
        "statusMessage": f"{LISTS}::test_g37_messages_that_do_not_name_every_value_once",
    },
    38: {
        "bomb": f"{LISTS}::test_g38_decompression_bomb",
        "members, trailing data, truncated": f"{LISTS}::test_g38_gzip_games",
        "large list in a small answer": f"{FETCHING}::test_g38_compressed_list_in_a_small_answer_is_capped",
    },
    39: {
        "bit order": f"{LISTS}::test_g39_bit_order",
        "every position": "unit/identity_core/test_bits.py::test_bit_0_is_the_most_significant",
    },
    40: {
        "addresses inside: DID, wallet, status, schema, offer, CRL, feed": f"{FETCHING}::test_g40_name_that_resolves_to_an_address_inside",
        "one among public ones": f"{FETCHING}::test_g40_one_address_inside_among_public_ones",
        "rebinding": f"{FETCHING}::test_g40_rebinding_every_new_connection_is_checked",
        "rebinding within a connection": f"{HTTP}::test_rebinding_the_name_is_looked_up_once_for_a_connection_and_the_checked_address_is_used",
        "literals and schemes": f"{FETCHING}::test_g40_addresses_in_a_credential",
        "decimal, hexadecimal, octal": f"{HTTP}::test_decimal_hexadecimal_octal_and_short_addresses_are_refused",
        "ports": f"{HTTP}::test_other_ports_are_refused_where_ports_are_listed",
        "DID that is an address": f"{FETCHING}::test_g40_did_that_is_an_address",
        "redirect": f"{FETCHING}::test_g40_redirect_to_an_address_inside_is_not_followed",
        "endless body": f"{HTTP}::test_an_endless_body_is_cut",
        "compressed answer": f"{HTTP}::test_a_compressed_bomb_is_capped_after_decompression",
        "ten thousand keys": "unit/identity_core/test_did.py::test_ten_thousand_keys",
        "depth": f"{FETCHING}::test_g40_documents_that_nest_or_never_end",
        "schema": "security/test_schemas.py::test_g40_schema_of_another_host_is_never_fetched",
        "callback": f"{FETCHING}::test_g40_callback_of_another_host_is_refused",
        "trust before any fetch": f"{FETCHING}::test_g40_trust_comes_before_anything_that_a_credential_names",
    },
    41: {
        "only by an explicit list": f"{FETCHING}::test_g41_inside_only_by_an_explicit_list",
        "what the list allows": f"{HTTP}::test_only_what_stands_in_allow_may_be_private",
    },
    42: {
        "unknown context": f"{PROOFS}::test_g42_unknown_context_is_an_error_and_never_a_fetch",
        "unbundled context": f"{PROOFS}::test_g42_known_list_that_names_an_unbundled_context",
    },
    43: {
        "inner context, in JOSE": f"{SHOWN}::test_inner_context_redefines_terms",
        "inner context, @vocab in place": f"{INTEGRITY}::test_g43_inner_context_and_context_in_place",
        "dropped terms": f"{PROOFS}::test_g43_what_json_ld_would_drop_without_a_word_is_refused",
        "renamed members": f"{PROOFS}::test_g43_a_member_renamed_to_its_iri_does_not_hide_from_us_under_the_same_signature",
        "split descriptions": f"{PROOFS}::test_g43_a_description_split_over_two_places_does_not_hide_a_part_of_it",
    },
    44: {
        "proof without purpose": f"{PROOFS}::test_g44_proof_that_says_too_little_or_something_else",
        "wrong domain": f"{INTEGRITY}::test_g44_proof_of_a_presentation_for_something_else",
        "replayed": f"{INTEGRITY}::test_g44_replayed_presentation_ends",
        "previousProof missing": f"{PROOFS}::test_g44_chain_that_misses_a_previous_proof",
        "previousProof exchanged": f"{PROOFS}::test_g44_chain_whose_previous_proof_was_exchanged",
    },
    45: {
        "in a token": f"{TOKENS}::test_g45_duplicate_members",
        "in an answer": f"{INTEGRITY}::test_g45_duplicate_members_in_the_answer",
        "anywhere": "unit/kernel/test_wire.py::test_any_member_written_a_second_time_is_refused",
    },
    46: {
        "size": f"{TOKENS}::test_g46_oversized_token",
        "JWE": f"{TOKENS}::test_g46_encrypted_token",
        "depth": f"{TOKENS}::test_g46_deep_nesting",
        "a thousand credentials": f"{SHOWN}::test_g31_thousand_credentials",
        "time to scan": "unit/kernel/test_wire.py::test_quotes_without_an_end_take_no_time",
    },
    47: {
        "x5c in the token": f"{TOKENS}::test_g05_header_offers_a_key",
        "x5c, x5u beside the JWK": f"{CERTIFICATES}::test_g47_certificate_in_the_did_document_decides_nothing",
        "chain order": f"{CERTIFICATES}::test_g47_chain_in_another_order_shows_the_first_certificate_and_its_key_must_fit",
        "leaf as CA": f"{HANDSHAKE}::test_a_member_cannot_make_certificates_below_its_own",
        "self-signed, expired intermediate, EKU": f"{CERTIFICATES}::test_g47_chain_games_end_the_handshake",
        "system store": f"{HANDSHAKE}::test_a_public_authority_for_servers_is_none_for_members",
        "two DIDs, CN only, NUL": f"{CERTIFICATES}::test_g47_names_that_name_nobody",
        "SAN is not iss": f"{CHANNEL}::test_certificate_of_another_did",
        "revoked on a kept connection": f"{CHANNEL}::test_revoked_certificate_on_a_connection_that_is_kept_alive",
        "CRL missing": f"{REVOKED}::test_without_a_list_nothing_is_accepted",
        "CRL expired": f"{REVOKED}::test_an_expired_list_accepts_nothing_any_more",
        "CRL older": f"{REVOKED}::test_an_older_list_never_replaces_a_newer_one",
        "cnf foreign": f"{CHANNEL}::test_token_bound_to_another_certificate_of_the_same_did",
        "cnf missing": f"{CHANNEL}::test_required_with_an_unbound_token",
        "Client-Cert header": f"{ISSUER}::test_g47_certificate_header_of_an_untrusted_peer_is_not_read",
        "CSR for another DID": f"{ISSUER}::test_g47_csr_that_asks_for_another_did_gets_the_callers_own",
        "CSR: names and CA:TRUE": f"{CA}::test_what_a_request_asks_for_is_not_given",
        "key of another DID": f"{ISSUER}::test_g47_key_that_is_certified_for_another_did",
        "renewal after suspension": f"{ISSUER}::test_g47_renewal_after_a_suspension_or_with_anothers_or_a_revoked_certificate",
    },
    48: {
        "unsolicited": f"{WALLET}::test_an_unknown_holder_pid_is_404",
        "wrong issuer": f"{WALLET}::test_a_delivery_of_another_issuer_than_asked_is_404_as_if_there_were_no_request",
        "more than asked": f"{WALLET}::test_a_credential_of_a_type_that_was_not_announced_is_refused",
        "other subject": f"{WALLET}::test_a_credential_about_another_subject_is_refused",
        "REJECTED, then ISSUED": f"{WALLET}::test_a_rejection_is_noted_and_what_comes_after_it_is_refused",
    },
    49: {"status of another's request": f"{ISSUER}::test_g49_status_of_another_holders_request_is_the_404_of_an_unknown_one"},
    50: {
        "missing attestation": f"{ISSUER}::test_g50_missing_attestation_is_refused_with_the_reason",
        "same holderPid": f"{ISSUER}::test_g50_the_same_holder_pid_is_the_same_request",
        "no active member": f"{ISSUER}::test_g50_who_is_no_active_member_gets_nothing",
    },
    51: {
        "crash between signing and delivery": f"{ISSUER}::test_g51_crash_between_signing_and_delivery_leaves_one_credential_and_one_index"
    },
    52: {
        "old credential, two keys": f"{ISSUER}::test_g52_two_active_keys_and_a_rotated_one_that_is_still_listed",
        "revoked key": f"{ISSUER}::test_g52_revoked_key_is_dead_at_once_after_the_cache_and_takes_the_status_lists_with_it",
        "withdrawn key, cached presentation": f"{SHOWN}::test_g25_withdrawn_issuer_key_is_dead_after_five_minutes",
    },
    53: {
        "at the door": "security/test_leaks.py::test_g53_refusals_at_the_door",
        "at the credential service": "security/test_leaks.py::test_g53_refusals_at_the_credential_service",
        "in any log line": "unit/kernel/test_telemetry.py::test_a_value_that_looks_like_a_secret_is_never_written_whatever_holds_it",
    },
}


@cache
def names_in(file: str) -> frozenset[str]:
    """The test functions of a file."""
    path = TESTS / file
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.exists() else ast.Module([], [])
    return frozenset(each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_group_is_there(figure) -> None:
    assert sorted(ATTACKS) == list(range(1, 54))
    figure(f"attacks: 53 groups, {sum(len(each) for each in ATTACKS.values())} parts, each with its test")


@pytest.mark.parametrize("group", range(1, 54))
def test_every_part_has_its_test(group: int) -> None:
    assert ATTACKS[group]
    for part, test in ATTACKS[group].items():
        file, _, name = test.partition("::")
        assert name in names_in(file), f"group {group}, {part}: {test} is gone; name the test that stands for it now"
