"""Names that choose one of several things, and what they choose in a scene."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr_core.language.attributes import who_of


@pytest.mark.parametrize(
    "name, who",
    [
        ("the nearest car", {"label": "car", "select": "nearest"}),
        ("the closest person", {"label": "person", "select": "nearest"}),
        ("the car closest to me", {"label": "car", "select": "nearest"}),
        ("the farthest car", {"label": "car", "select": "farthest"}),
        ("the most distant pedestrian", {"label": "pedestrian", "select": "farthest"}),
        ("the second nearest car", {"label": "car", "select": "nearest", "rank": 2}),
        ("the 3rd-fastest car", {"label": "car", "select": "fastest", "rank": 3}),
        ("The Slowest Car", {"label": "Car", "select": "slowest"}),
        ("the leftmost car", {"label": "car", "select": "leftmost"}),
        ("the left-hand car", {"label": "car", "select": "leftmost"}),
        ("the person on the left", {"label": "person", "select": "leftmost"}),
        ("the person on my far right", {"label": "person", "select": "rightmost"}),
        ("the person who is on the right-hand side", {"label": "person", "select": "rightmost"}),
        ("the right forklift", {"label": "forklift", "select": "rightmost"}),
        ("the biggest box", {"label": "box", "select": "biggest"}),
        ("the smallest box", {"label": "box", "select": "smallest"}),
        ("the first car", {"label": "car", "select": "first"}),
        ("the third car", {"label": "car", "select": "first", "rank": 3}),
        ("the last car", {"label": "car", "select": "last"}),
        ("the second last car", {"label": "car", "select": "last", "rank": 2}),
        ("the moving car", {"label": "car", "select": "moving"}),
        ("the parked delivery van", {"label": "delivery van", "select": "still"}),
        ("the car that is moving", {"label": "car", "select": "moving"}),
        ("the car which stands still", {"label": "car", "select": "still"}),
        ("the nearest one", {"select": "nearest"}),
        ("the second nearest thing", {"select": "nearest", "rank": 2}),
        ("all the cars", {"label": "cars", "select": "all"}),
        ("every pedestrian", {"label": "pedestrian", "select": "all"}),
        ("the car", "car"),
        ("car 12", "car 12"),
        ("robot", "robot"),
        ("the other car", "other car"),
        ("the left hand", "left hand"),
        ("the left rear wheel", "left rear wheel"),
        ("the car on the left of the bus", "car on the left of the bus"),
        ("nearest", "nearest"),
        ("", ""),
    ],
)
def test_names_that_choose(name, who):
    assert who_of(name) == who


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_a_choice(text):
    who = who_of(text)
    assert isinstance(who, str) or (who["select"] and who.get("rank", 1) >= 1)
