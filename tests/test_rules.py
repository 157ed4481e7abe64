"""The constants of the robust rules: documented, checked, and settable by file."""

import math
from dataclasses import fields
from pathlib import Path

import pytest

import dsr_core
from dsr_core.errors import QueryError
from dsr_core.reasoning.rules import DEFAULT_RULES, RobustRules, as_yaml, constants

CONFIG = Path(__file__).parents[1] / "config" / "rules.yaml"


def test_every_constant_is_documented():
    assert list(constants()) == [field.name for field in fields(RobustRules)]
    assert all(len(meaning) > 20 for meaning in constants().values())


def test_the_configuration_file_holds_the_defaults():
    assert CONFIG.read_text() == as_yaml(), (
        "python -c 'from dsr_core.reasoning.rules import *; print(as_yaml(), end=\"\")'"
    )
    assert RobustRules.from_yaml(CONFIG) == DEFAULT_RULES


@pytest.mark.parametrize(
    "text, words",
    [
        ("sigma: 2", "known constants"),
        ("- 3", "not known"),
        ("sigmas: -1", "positive"),
        ("sigmas: many", "positive"),
        ("sigmas: .nan", "positive"),
        ("max_samples: 3.5", "whole"),
        ("sigmas: [1", "cannot be read"),
        ("max_samples: many", "positive"),
    ],
)
def test_constants_that_cannot_be_used(tmp_path, text, words):
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(QueryError, match=words):
        RobustRules.from_yaml(path)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(QueryError, match=r"nowhere\.yaml"):
        RobustRules.from_yaml(tmp_path / "nowhere.yaml")


def test_constants_change_the_answer(tmp_path):
    """A change of 20 % is a change by default, and none for who asks for 50 %."""
    path = tmp_path / "rules.yaml"
    path.write_text("fraction: 0.5\n")
    import numpy as np

    t = np.linspace(0, 4, 41)
    car = dsr_core.Track("1", "car", t, np.stack([10 + 0.5 * t, 0 * t, 0 * t], axis=1))
    scene = dsr_core.Scene(t, {"1": car}, T_world_base=np.broadcast_to(np.eye(4), (41, 4, 4)))
    query = {"kind": "distance", "subject": "1"}
    assert [s.label for s in dsr_core.ask(scene, query).states] == ["increasing"]
    changed = dsr_core.ask(scene, query, config=RobustRules.from_yaml(path))
    assert [s.label for s in changed.states] == ["constant"]
    assert math.isclose(changed.value, 12.0)
