"""Texts for people, kept apart from code: `<package>/texts/<language>.toml`, English complete, others falling back to it."""

import os
import tomllib
from importlib.resources import files

LANGUAGES = ("en", "ja")


class Texts:
    """Texts of one package in one language. Calling it with a key and values gives the text; an unknown key is a KeyError."""

    def __init__(self, entries: dict[str, str]) -> None:
        self._entries = entries

    def __call__(self, key: str, **values: object) -> str:
        return self._entries[key].format(**values)


def texts(package: str, language: str = "") -> Texts:
    """The texts of a package; without a language, that of the environment."""
    chosen = language or preferred()
    return Texts(_read(package, "en") | (_read(package, chosen) if chosen != "en" else {}))


def preferred() -> str:
    """`KIZUNA_LANGUAGE`, else the locale's language, else English."""
    for name in ("KIZUNA_LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        wanted = os.environ.get(name, "")[:2]
        if wanted:
            return wanted if wanted in LANGUAGES else "en"
    return "en"


def _read(package: str, language: str) -> dict[str, str]:
    entries: dict[str, str] = tomllib.loads((files(package) / "texts" / f"{language}.toml").read_text(encoding="utf-8"))
    return entries
