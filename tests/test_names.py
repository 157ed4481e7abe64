"""Names as people write them: synonyms, wider names, plurals."""

from __future__ import annotations

import pytest

from dsr_core.language.names import class_match, normalise_name
from dsr_core.language.synonyms import SYNONYMS, WIDER


@pytest.mark.parametrize(
    "asked, seen, match",
    [
        ("the telly", "tv", "same"),
        ("couches", "Couch", "same"),
        ("mobile phone", "cell phone", "same"),
        ("plants", "potted plant", "wider"),
        ("the dustbin", "trash can", "same"),
        ("stroller", "STROLLER", "same"),
        ("cyclist", "BICYCLIST", "same"),
        ("cyclist", "Bicycle", "wider"),
        ("person", "Cyclist", "wider"),
        ("person", "OFFICIAL_SIGNALER", "wider"),
        ("person", "Person_sitting", "same"),
        ("man", "person", "wider"),
        ("person", "man", "wider"),
        ("man", "woman", None),
        ("worker", "person", "wider"),
        ("child", "person", None),
        ("vehicle", "forklift", "wider"),
        ("vehicle", "SCHOOL_BUS", "wider"),
        ("vehicle", "person", None),
        ("animals", "dog", "wider"),
        ("animal", "hot dog", None),
        ("dog", "hot dog", None),
        ("bear", "teddy bear", None),
        ("furniture", "office chair", "wider"),
        ("chair", "couch", None),
        ("the shelves", "rack", "same"),
        ("knives", "knife", "same"),
        ("skis", "ski", "same"),
        ("boxes", "Cardboard box", "same"),
        ("appliance", "refrigerator", "wider"),
        ("glass", "wine glass", "wider"),
        ("fruit", "banana", "wider"),
        ("AMR", "agv", "same"),
        ("lorries", "truck", "same"),
        ("taxis", "car", "wider"),
    ],
)
def test_how_a_name_fits(asked, seen, match):
    assert class_match(asked, seen) == match


def test_no_name_stands_in_two_rows():
    names = [normalise_name(name) for row in SYNONYMS for name in row]
    assert sorted({n for n in names if names.count(n) > 1}) == []


def test_wider_names_speak_of_rows():
    rows = {row[0] for row in SYNONYMS}
    assert {name: bad for name, classes in WIDER.items() if (bad := set(classes.split(";")) - rows)} == {}


@pytest.mark.parametrize("row", SYNONYMS, ids=lambda row: row[0])
def test_every_name_fits_its_row_and_its_plural(row):
    for name in row:
        assert class_match(name, row[0]) == class_match(row[0], name) == "same"
        if not name.endswith(
            ("s", "x", "y", "ch", "sh", "fe", "lf", "man", "mouse", "child", "person", "pick up", "broccoli")
        ):
            assert class_match(f"{name}s", row[0]) == "same"
