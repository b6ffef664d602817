"""Trade relations as facts: what a participant is to the provider, for everything, for a product, or for the product of a dataset.

    customer, supplier                     for everything that is traded
    customer:PRODUCT, supplier:PRODUCT     for that product or material alone

Rules
- A word of the first form holds for every product. A product that nobody named is none: for a dataset without a product nothing is known, whatever the relations.
- A dataset may name several products (a family, parts of one delivery); who is something for one of them is that for the dataset.

Not done here: keeping relations, and when they are in force (the connector).
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct


def word(kind: str, product: str) -> str:
    """A relation as a fact says it; an empty product: for everything."""
    return f"{kind}:{product}" if product else kind


class Standing(Struct, frozen=True):
    """Relations sorted by what they are for, each time in order: what a participant is for a product that none of its relations names, and for those that one names."""

    unnamed: tuple[str, ...]
    named: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, relations: Iterable[str]) -> "Standing":
        """The relations of one participant, as facts say them."""
        usual: set[str] = set()
        named: dict[str, set[str]] = {}
        for each in relations:
            kind, _, product = each.partition(":")
            (named.setdefault(product, set()) if product else usual).add(kind)
        return cls(tuple(sorted(usual)), {product: tuple(sorted(found | usual)) for product, found in named.items()})

    def towards(self, products: Sequence[str]) -> tuple[str, ...]:
        """What it is for a dataset with these products; nothing for one without."""
        if not products:
            return ()
        if len(products) == 1:
            return self.named.get(products[0], self.unnamed)
        return tuple(sorted({kind for each in products for kind in self.named.get(each, self.unnamed)}))
