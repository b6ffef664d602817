"""A third sector, made in a folder: flowers. No Python of the product knows it."""

import json
from pathlib import Path

PROFILE = """
id = "https://flowers.example/profile/1"
version = "0.1.0"
extends = "base"

[[schema]]
id = "bouquet"
file = "bouquet.json"

[[template]]
id = "florists"
file = "florists.json"

[[rule]]
kind = "sum"
id = "stems"
schemas = ["bouquet"]
terms = ["flowers[].stems"]
total = "stems"
"""
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["stems", "flowers"],
    "properties": {"stems": {"type": "integer"}, "flowers": {"type": "array", "items": {"type": "object"}}},
}
ROLE = "https://w3id.org/kizuna/policy/1#role"
MEMBER = "https://w3id.org/kizuna/policy/1#membership"
CONSTRAINTS = [
    {"leftOperand": MEMBER, "operator": "eq", "rightOperand": "active"},
    {"leftOperand": ROLE, "operator": "isAnyOf", "rightOperand": ["florist"]},
]
TEMPLATE = {
    "version": "1.0.0",
    "parameters": {},
    "access": {"permission": [{"action": "use", "constraint": CONSTRAINTS}]},
    "contract": {
        "profile": "https://flowers.example/profile/1",
        "permission": [{"action": "use", "constraint": CONSTRAINTS}],
        "prohibition": [{"action": "distribute"}],
    },
}
TEXTS = {
    "title": ("Flowers", "花"),
    "schema.bouquet": ("Bouquet", "花束"),
    "template.florists": ("For florists", "花店向け"),
    "template.florists.terms": ("Florists may use it and not pass it on.", "花店のみ利用でき、再配布はできません。"),
    "rule.stems": ("Stems add up", "本数の合計"),
}
STORY = """
profile = "{profile}"
payload = "samples/bouquet.json"
schema = "bouquet"
template = "florists"
public_template = "public"

[title]
en = "A florist gets a bouquet's sheet"
ja = "花屋が花束の票を受け取る"

[dataset]
en = "Bouquet"
ja = "花束"

[public_dataset]
payload = "samples/open.json"
schema = ""
en = "Opening hours"
ja = "営業時間"

[consortium]
name = "Flower Data Space"
data_space = "flowers.example"

[[company]]
part = "provider"
key = "grower"
name = "Grower KK"
corporate_number = "4012300045678"
roles = ["grower"]

[[company]]
part = "consumer"
key = "florist"
name = "Florist KK"
corporate_number = "5010101023456"
roles = ["florist"]

[[company]]
part = "stranger"
key = "passer"
name = "Passer-by KK"
corporate_number = "3120001067890"
roles = []

[parameters]
"""


def make(place: Path) -> Path:
    """The profile and its story; returns the story's folder."""
    profile, story = place / "profile", place / "story"
    for folder in (profile / "schemas", profile / "templates", profile / "texts", story / "samples"):
        folder.mkdir(parents=True)
    (profile / "profile.toml").write_text(PROFILE)
    (profile / "schemas/bouquet.json").write_text(json.dumps(SCHEMA))
    (profile / "templates/florists.json").write_text(json.dumps(TEMPLATE))
    for number, language in enumerate(("en", "ja")):
        lines = [f"{json.dumps(key)} = {json.dumps(both[number], ensure_ascii=False)}" for key, both in TEXTS.items()]
        (profile / f"texts/{language}.toml").write_text("\n".join(lines), encoding="utf-8")
    (story / "dataspace.toml").write_text(STORY.format(profile=profile), encoding="utf-8")
    (story / "samples/bouquet.json").write_text('{"stems": 3, "flowers": [{"stems": 1}, {"stems": 2}]}')
    (story / "samples/open.json").write_text('{"monday": "9-18"}')
    return story
