"""Japanese corporate number (法人番号): form and check digit.

Rule (National Tax Agency, ordinance on the check digit; ISO 6523 ICD 0188): thirteen digits, the first is the check digit
`9 - ((sum of p_n * q_n) mod 9)` over the twelve base digits, n counted from the right, q_n = 1 for odd n and 2 for even n.
The result lies between 1 and 9, so the number never starts with 0.

The digit catches typing errors, not lies: it cannot tell 0 from 9 at one place (both are 0 mod 9), and it says nothing about
whether the company exists. Not done here: the look-up in the tax agency's register.
"""

from typing import Final

from kernel.errors import BadInput

SCHEME: Final = "jp-corporate-number"
_LENGTH: Final = 13


def check_digit(base: str) -> int:
    """Check digit (1 to 9) of twelve base digits."""
    total = sum(int(digit) * (1 if place % 2 == 0 else 2) for place, digit in enumerate(reversed(base)))
    return 9 - total % 9


def verified(number: str) -> str:
    """The number itself when its form and its check digit hold; raises `BadInput` with `path` corporateNumber."""
    if len(number) != _LENGTH or not (number.isascii() and number.isdigit()):
        raise _refused("a corporate number has 13 digits")
    if int(number[0]) != check_digit(number[1:]):
        raise _refused("the check digit of the corporate number is wrong")
    return number


def _refused(reason: str) -> BadInput:
    return BadInput(
        reason,
        next_step="compare the number with https://www.houjin-bangou.nta.go.jp/",
        path="corporateNumber",
        reason=reason,
    )
