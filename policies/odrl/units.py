"""Units of right operands and facts: ISO 4217 currencies, and a small table of UCUM and IEC units that convert within a dimension.

Rules
- A unit is written as its code (`EUR`, `kg`, `MiBy`), or as an IRI that ends in it.
- Units of one dimension convert exactly (decimal factors). Currencies never convert: 5 EUR and 5 JPY cannot be compared.
- Decimal prefixes are powers of ten, binary ones (`Ki`) powers of 1,024.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from policies.odrl.values import Quantity, WrongValue

CURRENCY: Final = "currency"
_CODES: Final = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY
COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR
IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR
MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD
SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF
XPF YER ZAR ZMW ZWG
"""
CURRENCIES: Final = frozenset(_CODES.split())
_TABLE: Final[Mapping[str, Mapping[str, str]]] = {
    "size": {
        "By": "1",
        "kBy": "1e3",
        "MBy": "1e6",
        "GBy": "1e9",
        "TBy": "1e12",
        "KiBy": "1024",
        "MiBy": "1048576",
        "GiBy": "1073741824",
    },
    "mass": {"kg": "1", "g": "1e-3", "t": "1e3"},
    "length": {"m": "1", "mm": "1e-3", "cm": "1e-2", "km": "1e3"},
    "energy": {"J": "1", "kJ": "1e3", "MJ": "1e6", "Wh": "3600", "kW.h": "3.6e6", "kWh": "3.6e6"},
    "resolution": {"[dpi]": "1", "dpi": "1"},
    "ratio": {"1": "1", "%": "0.01"},
}
UNITS: Final[Mapping[str, tuple[str, Decimal]]] = MappingProxyType(
    {code: (dimension, Decimal(factor)) for dimension, codes in _TABLE.items() for code, factor in codes.items()}
)
DIMENSIONS: Final = frozenset({CURRENCY, *_TABLE})


def codes(dimension: str) -> tuple[str, ...]:
    """The unit codes of a dimension."""
    return tuple(sorted(CURRENCIES)) if dimension == CURRENCY else tuple(_TABLE[dimension])


def quantity(value: Decimal, unit: str, dimension: str) -> Quantity:
    """A number of a unit in the base of its dimension; raises `WrongValue`."""
    code = re.split(r"[#/:]", unit)[-1]
    if dimension == CURRENCY:
        if code not in CURRENCIES:
            raise WrongValue(f"{unit[:80]!r} is no currency of ISO 4217; write the unit as a code (EUR, JPY)")
        return Quantity(value, code)
    found = UNITS.get(code)
    if found is None or found[0] != dimension:
        raise WrongValue(f"{unit[:80]!r} is no unit of {dimension}; use one of {', '.join(codes(dimension))}")
    return Quantity(value * found[1], dimension)
