"""Every operand is documented: in the reference page, and in words in both languages."""

from pathlib import Path

import pytest

from docs import operands
from kernel.texts import texts
from policies.odrl import Operand
from policies.odrl.core import CORE
from policies.profiles.folder import local

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "operands.md"


def test_every_operand_stands_in_the_reference_page():
    text = PAGE.read_text(encoding="utf-8")
    assert not [iri for iri in operands.registered() if f"`{iri}`" not in text]
    assert text == operands.page()


@pytest.mark.parametrize("operand", CORE, ids=lambda each: local(each.iri))
def test_an_operand_of_odrl_has_its_words_in_both_languages(operand):
    english, japanese = (texts("policies", language)(f"operand.{local(operand.iri)}") for language in ("en", "ja"))
    assert english != japanese
    assert any("\u3040" <= each <= "\u9fff" for each in japanese)
    assert english.endswith(".")


def test_an_operand_without_words_fails_the_page():
    with pytest.raises(KeyError):
        operands.table([Operand(iri="urn:x#unheardOf")], lambda each: texts("policies", "en")(f"operand.{local(each.iri)}"))
