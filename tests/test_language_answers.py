# ruff: noqa: E501  (one case a line)
"""Answers -> sentences, and options matched by what they mean."""

import pytest

from dsr_core.errors import DeclineError
from dsr_core.language.choices import match_choice
from dsr_core.language.verdict import is_true
from dsr_core.language.wording import word
from dsr_core.reasoning.answer import State

NAMES = {"subject": "car 12", "object": "robot", "viewer": "robot"}
TWO = {"subject": "car 12", "object": "person 3", "viewer": "map"}


def states(*labels):
    return tuple(State(label, float(i), float(i + 1)) for i, label in enumerate(labels))


def test_words_of_each_kind():
    parked = {"ego": "moving", "object": "still"}
    assert word(states("decreasing"), "distance", NAMES, 4.25, 0.1, "m", "yes_no", "decreasing", parked) == (
        "Yes: car 12 gets closer to the robot from 0.0 s to 1.0 s; car 12 is parked, the robot approaches it."
    )
    assert word(states("decreasing"), "distance", NAMES, form="yes_no", asked="increasing").startswith(
        "No: car 12 gets"
    )
    assert word(states("decreasing", "constant"), "distance", NAMES, 4.25, 0.1, "m") == (
        "Car 12 gets closer to the robot from 0.0 s to 1.0 s, then keeps its distance to it until 2.0 s;"
        " 4.2 ± 0.1 m at 2.0 s."
    )
    assert word(states("increasing"), "distance", NAMES, 4.25, None, "m", asked="value", at_s=0.5) == (
        "Car 12 is 4.2 m from the robot at 0.5 s; it gets farther from the robot from 0.0 s to 1.0 s."
    )
    assert word(states("increasing"), "speed", {**NAMES, "object": None, "viewer": "map"}, 3.0, None, "m/s") == (
        "Car 12 speeds up from 0.0 s to 1.0 s; 3.0 m/s at 1.0 s."
    )
    assert word(states("moving", "still"), "motion", {**NAMES, "object": None}) == (
        "Car 12 moves from 0.0 s to 1.0 s, then stands still until 2.0 s."
    )
    assert word(states("front|left", "behind"), "direction", NAMES, 0.5, None, "rad") == (
        "Car 12 is in front of and to the left of the robot from 0.0 s to 1.0 s, then behind it until 2.0 s;"
        " bearing 29 degrees at 2.0 s."
    )
    assert "seen from the robot" in word(states("left"), "direction", {**NAMES, "object": "bus 1"})
    assert word(states("left"), "orientation", {**NAMES, "object": None}) == (
        "Car 12 faces left from 0.0 s to 1.0 s, seen from the robot."
    )
    assert word(states("front|right"), "direction_prediction", {**NAMES, "object": None}) == (
        "Car 12 moves forward and right, seen from the robot."
    )


def test_the_answer_to_which_comes_first():
    assert word(states("first_faster"), "speed_comparison", TWO, 2.0, None, "m/s", "which", "faster") == (
        "Car 12 is faster than person 3 from 0.0 s to 1.0 s, by 2.0 m/s at 1.0 s."
    )
    assert word(states("first_faster"), "speed_comparison", TWO, 2.0, None, "m/s", "which", "slower") == (
        "Person 3 is slower than car 12 from 0.0 s to 1.0 s, by 2.0 m/s at 1.0 s."
    )
    assert word(states("second_faster"), "speed_comparison", TWO, -2.0, None, "m/s", "which", "faster").startswith(
        "Person 3 is faster than car 12"
    )
    assert "about as fast as" in word(states("same"), "speed_comparison", TWO, 0.0, None, "m/s", "which", "faster")


def test_published_wording():
    assert word(states("constant", "increasing"), "distance", NAMES, rules="dsr") == (
        "(1) Keep nearly constant and then become larger."
    )
    assert (
        word(states("front|left"), "direction", NAMES, rules="dsr", form="yes_no", asked="left")
        == "Yes. (1) Front|Left."
    )


def test_is_there_any():
    names = {"subject": "car", "object": None, "viewer": "robot"}
    rows = {"satisfying": [{"track": "12", "label": "car 12"}], "undecided": [], "of": "motion", "asked": "moving"}
    none = {**rows, "satisfying": []}
    one = states("1")
    assert word(one, "count", names, 1.0, form="yes_no", details=rows).startswith("Yes: ")
    assert word(one, "count", names, 0.0, form="yes_no", details=none).startswith("No: ")
    assert word(one, "count", names, 0.0, form="yes_no", details={**none, "undecided": ["3"]}).startswith("Not known: ")
    assert not word(one, "count", names, 1.0, details=rows).startswith("Yes")


@pytest.mark.parametrize(
    "labels, kind, asked, recent, truth",
    [
        (["decreasing", "increasing"], "distance", "decreasing", True, False),
        (["increasing", "decreasing"], "distance", "decreasing", True, True),
        (["constant", "decreasing"], "distance", "decreasing", False, True),
        (["decreasing", "increasing"], "distance", "decreasing", False, False),  # as long as its opposite
        (["constant"], "distance", "constant", False, True),
        (["constant", "decreasing"], "distance", "constant", False, False),
        (["still", "moving"], "motion", "moving", False, True),
        (["still", "moving"], "motion", "still", False, False),
        (["moving", "still"], "motion", ("moving", "still"), False, True),
        (["still", "moving"], "motion", ("moving", "still"), False, False),
        (["front|left"], "direction", "left", False, True),
        (["front"], "direction", "front|left", False, False),
        (["front", "left", "behind|left"], "direction", ("front", "behind|left"), False, True),
        (["front", "left", "behind|right"], "direction", ("front", "behind|left"), False, False),
        (["left"], "direction", ("left", "left"), False, False),
        (["front", "front|left", "left"], "direction", "left", False, True),
        (["front", "front", "left"], "direction", "left", False, False),
        ([], "distance", "decreasing", False, False),
    ],
)
def test_yes_or_no(labels, kind, asked, recent, truth):
    assert is_true(states(*labels), kind, asked, recent) is truth


@pytest.mark.parametrize(
    "labels, kind, choices, expected",
    [
        (["increasing"], "distance", ["A. (1) Becomes smaller.", "B. (1) Becomes larger.", "C. (1) Keep nearly constant."], 1),
        (["increasing"], "distance", ["A (1) Become smaller.", "B (1) Become larger."], 1),
        (["constant", "increasing"], "distance", ["Keep nearly constant and then become larger.", "(1) Become larger."], 0),
        (["constant", "increasing"], "distance", ["(A) Nearly constant, then larger", "(B) larger, then constant"], 0),
        (["decreasing"], "distance", ["moving away", "getting closer", "staying at the same distance"], 1),
        (["decreasing"], "distance", ["increasing", "constant", "decreasing"], 2),
        (["decreasing"], "speed", ["speeding up", "slowing down"], 1),
        # unmerged repeats mean the same, unless they are all that differs
        (["decreasing"], "distance", ["(1) Become smaller. (2) Become smaller.", "(1) Become larger."], 0),
        (["decreasing", "decreasing"], "distance", ["(1) Become smaller.", "(1) Become smaller. (2) Become smaller."], 1),
        (["front", "front|left"], "direction", ["(1) Front. (2) Left.", "(1) Front. (2) Front|Left.", "(1) Front."], 1),
        (["behind|below"], "direction_prediction", ["A. (1) Behind|Below.", "B. (1) Behind."], 0),
        (["left"], "direction", ["to the right", "it is to the left"], 1),
        (["first_faster"], "speed_comparison", ["(1) The former is always faster.", "The latter is always faster."], 0),
        (["second_faster"], "speed_comparison", ["(1) The former is always faster.", "The latter is always faster."], 1),
        (["first_faster", "same"], "speed_comparison", ["(1) The former is faster. (2) Nearly the same.", "(1) Nearly the same."], 0),
        (["second_faster"], "speed_comparison", ["the car", "the person", "neither"], 1),
        (["second_faster"], "speed_comparison", ["car 12 is faster than the person", "the person is faster than the car"], 1),
        (["same"], "speed_comparison", ["12", "3", "they are equally fast"], 2),
        (["still"], "motion", ["It is moving", "It is parked"], 1),
        (["moving", "still"], "motion", ["it moves, then stops", "moving, then standing still", "standing still"], 1),
        # none, several, not understood
        (["increasing"], "distance", ["smaller", "constant"], -1),
        (["increasing"], "distance", ["larger", "bigger"], -1),
        (["increasing"], "distance", ["green", "blue"], -1),
        (["increasing"], "distance", ["larger, then it explodes", "smaller"], -1),
    ],
)  # fmt: skip
def test_options_are_matched_by_meaning(labels, kind, choices, expected):
    index, probabilities = match_choice(states(*labels), None, kind, choices, names=TWO, confidence=0.9)
    assert index == expected
    assert len(probabilities) == len(choices) and sum(probabilities) == pytest.approx(1.0)
    if index >= 0:
        assert probabilities[index] == pytest.approx(0.9) == max(probabilities)


def test_yes_no_and_which_options():
    assert match_choice(states("decreasing"), None, "distance", ["Yes", "No"], "yes_no", "decreasing")[0] == 0
    assert match_choice(states("decreasing"), None, "distance", ["A. Yes.", "B. No."], "yes_no", "increasing")[0] == 1
    fits = match_choice(states("constant", "decreasing"), None, "distance", ["closer", "away"], "yes_no", "decreasing")
    assert fits[0] == 0
    which = ["the person", "the car", "the same"]
    assert match_choice(states("same", "first_faster"), None, "speed_comparison", which, "which", "faster", TWO)[0] == 1
    assert match_choice(states("first_faster"), None, "speed_comparison", which, "which", "slower", TWO)[0] == 0


def test_options_with_numbers():
    choices = ["A. 2 m", "B. 5 m", "C. 9.5 metres"]
    assert match_choice(states("decreasing"), 4.4, "distance", choices, asked="value")[0] == 1
    assert match_choice(states("decreasing"), None, "distance", choices, asked="value")[0] == -1


@pytest.mark.parametrize("choices", [["larger", ""], ["larger", "x" * 2001], ["a"] * 27])
def test_bad_options_are_refused(choices):
    with pytest.raises(DeclineError) as caught:
        match_choice(states("increasing"), None, "distance", choices)
    assert caught.value.code == "BAD_REQUEST"
