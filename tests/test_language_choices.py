"""Options of every kind of question: words, sides, winners, counts, numbers with units."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr_core.language.amounts import read_amount, read_count
from dsr_core.language.choices import match_choice
from dsr_core.language.options import option_labels
from dsr_core.reasoning.answer import State
from dsr_core.reasoning.vocabulary import VOCABULARY

NAMES = {"subject": "car 12", "object": "bus 3", "viewer": "robot"}


def states(*labels):
    return tuple(State(label, float(i), float(i + 1)) for i, label in enumerate(labels))


def chosen(kind, label, choices, **more):
    found = states(*([label] if isinstance(label, str) else label))
    return match_choice(found, more.pop("value", None), kind, choices, names=more.pop("names", NAMES), **more)[0]


MOTION_CHOICES = ["not moving", "right", "towards the camera", "left"]


@pytest.mark.parametrize(
    "kind, label, choices, expected",
    [
        (
            "distance_change",
            "decreasing",
            ["It got farther away", "It got closer", "It stayed at the same distance"],
            1,
        ),
        ("distance_change", "constant", ["closer", "farther", "neither closer nor farther"], 2),
        (
            "distance",
            "constant",
            ["coming closer", "going further away", "not moving", "there are no cars in the video"],
            2,
        ),
        ("lateral_change", "left", ["to the left", "to the right", "neither"], 0),
        ("lateral_change", "constant", ["to the left", "to the right", "neither left nor right"], 2),
        ("depth_change", "closer", ["closer", "farther", "not moving"], 0),
        ("displacement", "stayed", ["it moved", "it did not move"], 1),
        ("displacement", "moved", ["parked", "has moved"], 1),
        ("displacement", "stayed", ["It has moved", "It is still parked"], 1),
        ("path_length", "still", ["it moved", "it stood still"], 1),
        ("turning", "turning_left", ["left", "right", "moving straight and not turning", "not moving"], 0),
        ("turning", "straight", ["left", "right", "moving straight and not turning", "not sure"], 2),
        ("turning", ["turning_left", "straight", "turning_right"], ["left", "left, then straight, then right"], 1),
        ("visibility", "in_view", ["visible", "not visible"], 0),
        ("visibility", "out_of_view", ["visible", "not visible", "hidden"], 1),
        ("visibility", "occluded", ["in view", "occluded", "out of view"], 1),
        ("following", "not_following", ["it follows the bus", "it does not follow the bus"], 1),
        ("following", "following", ["following", "not following"], 0),
        (
            "overtaking",
            "overtook",
            ["the car overtook the bus", "the bus overtook the car", "neither overtook the other"],
            0,
        ),
        (
            "overtaking",
            "overtaken",
            ["the car overtook the bus", "the bus overtook the car", "neither overtook the other"],
            1,
        ),
        (
            "overtaking",
            "none",
            ["the car overtook the bus", "the bus overtook the car", "neither overtook the other"],
            2,
        ),
        ("overtaking", "passed", ["it passed the parked bus", "it was overtaken by the bus"], 0),
        ("crossing", "left_to_right", ["from left to right", "from right to left", "it did not cross"], 0),
        ("crossing", "none", ["from left to right", "from right to left", "it did not cross"], 2),
        ("crossing", ["left_to_right", "right_to_left"], ["left to right", "left to right, then right to left"], 1),
        ("facing", "away", ["towards me", "away from me", "sideways"], 1),
        ("facing", "facing", ["facing me", "facing away", "neither"], 0),
        ("facing", "sideways", ["facing me", "facing away", "sideways"], 2),
        ("closest_approach", "receding", ["it approaches", "it moves away"], 1),
        ("moving_direction", "still", MOTION_CHOICES, 0),
        ("moving_direction", "left", MOTION_CHOICES, 3),
        ("moving_direction", "behind", MOTION_CHOICES, 2),
        ("moving_direction", "front|left", MOTION_CHOICES, 3),
        ("moving_direction", "front", MOTION_CHOICES, -1),
        ("direction_prediction", "behind", ["left", "towards", "right", "away"], 1),
        ("speed_comparison", "second_faster", ["Faster", "Slower", "The same"], 1),
        ("direction_prediction", "front", ["coming closer", "going further away", "left"], 1),
        ("direction_prediction", "behind", ["backwards", "forwards", "both ways", "not moving"], 0),
        ("position", "front|left", ["in front of me", "behind me"], 0),
        # several parts fit, and nothing says which counts
        ("direction", "front|left", ["to the left", "in front", "behind"], -1),
        ("direction", "front|left", ["Front|Left", "Front", "Left"], 0),
        # nothing is chosen for want of knowledge
        ("turning", "straight", ["left", "right", "Not enough information in the scene to answer"], -1),
        ("moving_direction", "still", ["left", "there are no still buses in the video", "no tree there"], -1),
    ],
)
def test_words_of_every_kind(kind, label, choices, expected):
    assert chosen(kind, label, choices) == expected


@pytest.mark.parametrize("kind", [k for k in VOCABULARY.values() if k.labels and not k.many], ids=lambda k: k.name)
def test_every_label_is_an_option(kind):
    for label in kind.labels:
        others = [other for other in kind.labels if other != label][:20]
        assert chosen(kind.name, label, [*others, label]) == len(others)


def test_the_dominant_side_decides():
    sides = ["left", "front", "right"]
    assert chosen("direction", "front|left", sides, details={"dominant": "front"}) == 1
    assert chosen("direction", "front|left", sides, details={"dominant": "above"}) == -1
    # by its bearing, left positive; in the middle neither counts
    assert chosen("direction", "front|left", sides, value=math.radians(30)) == 1
    assert chosen("direction", "front|left", sides, value=math.radians(60)) == 0
    assert chosen("direction", "front|left", sides, value=math.radians(43)) == -1
    assert chosen("direction", "behind|right", ["behind", "right"], value=math.radians(-100)) == 1
    assert chosen("direction", "behind|left", ["left", "behind"], value=math.radians(170)) == 1
    assert chosen("position", "front|left", sides, value=12.0, details={"bearing_rad": 1.2}) == 0
    # what held last counts for the present, no part counts for a history
    assert chosen("direction", ["behind", "front|left"], ["left", "behind"], recent=True) == 0
    assert chosen("direction", ["right", "front|left"], ["left", "right"]) == -1


def test_towards_the_camera_needs_eyes_of_the_camera():
    own = {**NAMES, "viewer": "car 12"}
    assert chosen("moving_direction", "behind", ["towards the camera", "left"], names=own) == -1


def test_no_is_less_than_what_was_so():
    choices = ["Yes", "No", "It stayed the same distance from the camera", "Not enough information"]
    asked = {"form": "yes_no", "asked": "decreasing"}
    assert chosen("distance", "constant", choices, **asked) == 2
    assert chosen("distance", "increasing", choices, **asked) == 1
    assert chosen("distance", "decreasing", choices, **asked) == 0
    assert chosen("moving_direction", "left", ["no trees there", "No", "Yes"], form="yes_no", asked="right") == 1


def test_either_of_two_labels():
    asked = {"form": "yes_no", "asked": "turning_left|turning_right"}
    assert chosen("turning", ["straight", "turning_right"], ["Yes", "No"], **asked) == 0
    assert chosen("turning", "straight", ["Yes", "No"], **asked) == 1


@pytest.mark.parametrize(
    "choices, expected",
    [
        (["the van", "the car"], 1),
        (["car 3", "car 12"], 1),
        (["3", "12", "7"], 1),
        (["it is the car", "the bus"], 0),
        (["a vehicle", "a person"], 0),
        (["car 3", "car 7"], -1),
        (["the person", "the dog"], -1),
        (["the car", "the black car"], -1),
    ],
)
def test_the_winner_of_a_ranking(choices, expected):
    details = {"ranking": [{"track": "12", "value": 2.0}, {"track": "3", "value": 5.0}]}
    details["winner"] = "car 12"
    names = {"subject": "anything"}
    assert chosen("nearest", "12", choices, names=names, details=details) == expected


def test_a_winner_without_a_name_is_its_id():
    assert chosen("fastest", "12", ["12", "3"], names={}) == 0


@pytest.mark.parametrize(
    "choices, value, expected",
    [
        ([3, 0, 1, 2], 3.0, 0),
        (["one", "two", "three", "none"], 0.0, 3),
        (["2 cars", "3 cars", "no cars"], 2.0, 0),
        (["A. 1", "B. 4", "C. 2"], 4.0, 1),
        (["there are two cars", "there are five cars"], 5.0, 1),
        (["1", "2"], 3.0, -1),
        (["2", "two"], 2.0, -1),
        (["1", "2"], None, -1),
    ],
)
def test_counts(choices, value, expected):
    assert chosen("count", str(value), choices, value=value) == expected


def test_counts_of_any_and_which():
    rows = {"satisfying": [{"track": "12", "label": "car 12"}], "undecided": []}
    assert chosen("count", "1", ["Yes", "No"], value=1.0, form="yes_no", details=rows) == 0
    assert chosen("count", "0", ["Yes", "No"], value=0.0, form="yes_no") == 1
    unsure = {"satisfying": [], "undecided": [{"track": "3", "label": "bus 3"}]}
    assert chosen("count", "0", ["Yes", "No"], value=0.0, form="yes_no", details=unsure) == -1
    assert chosen("count", "1", ["the bus", "the car", "neither"], value=1.0, form="which", details=rows) == 1
    assert chosen("count", "1", ["1", "2"], value=1.0, form="which", details=rows) == 0


@pytest.mark.parametrize(
    "kind, value, choices, expected",
    [
        ("distance", 0.31, ["2 m", "30 cm", "5 mm"], 1),
        ("distance", 1.6, ["1 ft", "5 feet", "1 mile"], 1),
        ("path_length", 1200.0, ["1.2 km", "12 km"], 0),
        ("speed", 13.9, ["20 km/h", "50 km/h", "100 km/h"], 1),
        ("speed", 13.9, ["30 mph", "60 mph"], 0),
        ("speed", 4.4, ["2 m", "5 m"], 1),
        ("turning", -1.5, ["45 degrees", "90 degrees", "180°"], 1),
        ("displacement", 4.4, ["about 2 metres", "approximately 5 m"], 1),
        ("displacement", 4.0, ["3 m", "5 m"], -1),  # as near to the one as to the other
        ("last_seen", 4.4, ["2 s ago", "5 seconds ago", "1 minute ago"], 1),
        ("distance", 4.0, ["3 s", "5 s"], -1),
        ("distance", 4.0, ["4 m", "close"], -1),
    ],
)
def test_numbers_with_units(kind, value, choices, expected):
    assert chosen(kind, (), choices, value=value) == expected


def test_numbers_without_a_unit_and_times():
    assert chosen("distance", "constant", ["2", "5"], value=4.6, asked="value") == 1
    assert chosen("distance", "constant", ["2", "5"], value=4.6) == -1
    assert chosen("closest_approach", "approaching", ["2 s", "8 s"], value=1.0, details={"time_to_s": 7.0}) == 1
    assert chosen("closest_distance", (), ["2 s", "8 s"], value=1.0, asked="when", details={"at_s": 2.5}) == 0
    assert chosen("closest_distance", (), ["2 m", "8 m"], value=7.0, details={"at_s": 2.5}) == 1


@given(st.floats(0.01, 1e6), st.sampled_from(["m", "cm", "mm", "km", "ft", "inches", "yards", "miles"]))
def test_a_length_is_read_in_every_unit(metres, unit):
    factor = read_amount(f"1 {unit}")[0]
    number = f"{metres / factor:.6f}"
    if len(number.split(".")[0]) > 9:
        return
    read, si = read_amount(f"{number} {unit}")
    assert si == "m" and math.isclose(read, metres, rel_tol=1e-3, abs_tol=1e-6 * factor)


@given(st.integers(0, 999_999))
def test_a_count_is_read(number):
    assert read_count(str(number)) == read_count(f"{number} cars") == number


@pytest.mark.parametrize("text", ["", "car 3 and 4", "many", "3 or 4", "3.5", "left"])
def test_no_count(text):
    assert read_count(text) is None


@pytest.mark.parametrize("text", ["", "5 apples", "m", "5 m and 3 s", "five"])
def test_no_amount(text):
    assert read_amount(text) is None


@given(st.text(max_size=300), st.sampled_from([k.name for k in VOCABULARY.values()]))
def test_any_option_is_matched_or_not(text, kind):
    label = next(iter(VOCABULARY[kind].labels), "12")
    options = [text, "else"] if text.strip() else ["else"]
    assert -1 <= chosen(kind, label, options, value=1.0) < len(options)


@pytest.mark.parametrize("subject,other", [("car 1", "car 12"), ("van 3", "van 0"), ("car 12", "van 1")])
def test_things_of_one_class_are_told_apart_by_their_ids(subject, other):
    names = {"subject": subject, "object": other, "viewer": "camera"}
    read = {
        f"{subject.capitalize()} is faster": ["first_faster"],
        f"{other} is faster, then they are equally fast": ["second_faster", "same"],
        f"{other} is slower than {subject}": ["first_faster"],
        f"First {subject} is faster, then {other}": ["first_faster", "second_faster"],
    }
    assert {text: option_labels("speed_comparison", text, names) for text in read} == read
    assert option_labels("overtaking", f"{other} overtakes {subject}", names) == ["overtaken"]
