"""Corporate numbers: identity.md 3.5."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.service.authority.corporate_number import check_digit, verified
from kernel.errors import BadInput

REAL = ["7123456789012", "4011001098993", "6120001039879", "7000012050002"]
BASES = st.text("0123456789", min_size=12, max_size=12)


@pytest.mark.parametrize("number", REAL)
def test_published_numbers_are_valid(number):
    assert verified(number) == number


@pytest.mark.parametrize("number", REAL)
@pytest.mark.parametrize("place", range(13))
def test_one_wrong_digit_is_found_unless_zero_and_nine_are_confused(number, place):
    for digit in set("0123456789") - {number[place]}:
        wrong = number[:place] + digit + number[place + 1 :]
        if place > 0 and {digit, number[place]} == {"0", "9"}:
            assert verified(wrong) == wrong  # the known blind spot: the digit is no proof of existence
            continue
        with pytest.raises(BadInput) as refused:
            verified(wrong)
        assert refused.value.facts["path"] == "corporateNumber"


@given(BASES)
def test_the_check_digit_lies_between_one_and_nine(base):
    digit = check_digit(base)
    assert 1 <= digit <= 9
    assert verified(f"{digit}{base}")


@pytest.mark.parametrize(
    "text", ["", "712345678901", "71234567890122", "T123456789012", "7123456789O12", "７123456789012", "7 23456789012"]
)
def test_other_forms_are_refused(text):
    with pytest.raises(BadInput, match="13 digits"):
        verified(text)
