"""Who takes part in a story: `dataspace.toml` of a pilot folder, as typed values."""

from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from kernel.errors import Misconfigured

Part = Literal["provider", "consumer", "stranger"]
PARTS: Final[tuple[Part, ...]] = ("provider", "consumer", "stranger")
PILOTS = Path(str(files("deploy"))) / "pilots"


class Company(Struct, frozen=True, forbid_unknown_fields=True):
    """One participant; `part` is its part in the story."""

    part: Part
    key: str
    name: str
    corporate_number: str
    roles: tuple[str, ...]


class Consortium(Struct, frozen=True, forbid_unknown_fields=True):
    """The operator of the identity service."""

    name: str
    data_space: str


class PublicDataset(Struct, frozen=True, forbid_unknown_fields=True):
    """What a peer from outside the consortium may read, too."""

    payload: str
    schema: str
    en: str
    ja: str


class DataSpace(Struct, frozen=True, forbid_unknown_fields=True):
    """A story's cast and material; paths are relative to its folder. `products` are what the dataset is about."""

    profile: str
    payload: str
    schema: str
    template: str
    public_template: str
    title: dict[str, str]
    dataset: dict[str, str]
    public_dataset: PublicDataset
    consortium: Consortium
    company: tuple[Company, ...]
    parameters: dict[str, str]
    products: tuple[str, ...] = ()


def stories() -> list[str]:
    """Names of the stories that can be told."""
    return sorted(path.parent.name for path in PILOTS.glob("*/dataspace.toml"))


def load(name: str) -> DataSpace:
    """The named story; raises `Misconfigured` with the names there are."""
    path = PILOTS / name / "dataspace.toml"
    if name not in stories():
        raise Misconfigured(f"no story named {name}", next_step=f"choose one of: {', '.join(stories())}, revocation")
    return msgspec.toml.decode(path.read_bytes(), type=DataSpace)
