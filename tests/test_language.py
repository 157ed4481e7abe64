# ruff: noqa: E501  (one case a line)
"""Questions -> typed queries: the published templates, plain English, declines, and no input that hangs."""

import re
import runpy
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_core.errors import DeclineError
from dsr_core.language import parse
from dsr_core.language.directions import direction_label
from dsr_core.language.names import normalise_name, same_class
from dsr_core.language.sentences import SENTENCES
from dsr_core.reasoning.dsr_rules import PUBLISHED_KINDS
from dsr_core.reasoning.query import Viewpoint
from dsr_core.reasoning.vocabulary import KINDS

MAN = "man in white and black with initial bounding box coordinates [10,20,30,40]"
BUS = "red bus with initial bounding box coordinates [1,2,30,40]"
MAN_AT_2 = {"label": "man in white and black", "box": [10.0, 20.0, 30.0, 40.0], "at": 2.0}
BUS_ANY = {"label": "red bus", "box": [1.0, 2.0, 30.0, 40.0]}
RELATIVE_CAMERA = Viewpoint("camera", "relative", None)
REL = "Between 2.0s and 5.5s, following the perspective of camera, "
ABS = "Between 2.0s and 5.5s, from the perspective of bus with bounding box coordinates [1,2,30,40] at 1.5s, "
BUS_AT = Viewpoint({"label": "bus", "box": [1.0, 2.0, 30.0, 40.0], "at": 1.5}, "absolute", 1.5)
CORES = [
    (f"how does the distance between {MAN} and camera change?", "distance", MAN_AT_2, "camera"),
    (f"how does the distance between camera and {MAN} change?", "distance", "camera", MAN_AT_2),
    (f"how does the direction of {MAN} to camera change?", "direction", MAN_AT_2, "camera"),
    (f"how does the orientation of {MAN} change?", "orientation", MAN_AT_2, None),
    (f"how does the speed of {MAN} change?", "speed", MAN_AT_2, None),
    (f"compare the speed between {MAN} and {BUS}.", "speed_comparison", MAN_AT_2, {**BUS_ANY, "at": 2.0}),
]


@pytest.mark.parametrize("core, kind, subject, other", CORES)
@pytest.mark.parametrize("head, viewpoint", [(REL, RELATIVE_CAMERA), (ABS, BUS_AT)])
def test_published_templates(core, kind, subject, other, head, viewpoint):
    for text in (
        head + core,
        (head + core).upper().replace("S,", "s,"),
        head.replace("s ", " ").replace("s,", ",") + core,
    ):
        parsed = parse(text)
        query = parsed.query
        assert (query.kind, query.window, parsed.form, parsed.recent) == (kind, (2.0, 5.5), "open", False), text
        if text == head + core:
            assert (query.subject, query.object, query.viewpoint) == (subject, other, viewpoint)


def test_published_prediction():
    final = "dancer with final bounding box coordinates [354,133,444,322]"
    dancer = {"label": "dancer", "box": [354.0, 133.0, 444.0, 322.0]}
    relative = parse(f"Following the perspective of camera, predict the moving direction of {final}").query
    assert (relative.kind, relative.subject, relative.viewpoint) == ("direction_prediction", dancer, RELATIVE_CAMERA)
    assert relative.window is None
    absolute = parse(f"From the perspective of {BUS} at 2s, predict the moving direction of {final}").query
    assert absolute.subject == dancer
    assert absolute.viewpoint == Viewpoint({**BUS_ANY, "at": 2.0}, "absolute", 2.0)
    # a window that is given says when "final" is
    given = parse(
        f"Following the perspective of camera, predict the moving direction of {final}", window=(0.0, 6.0)
    ).query
    assert given.subject == {**dancer, "at": 6.0}


def test_a_viewer_with_a_box_in_a_relative_question():
    query = parse(f"Between 1s and 2s, following the perspective of {BUS}, how does the speed of dog change?").query
    assert query.viewpoint == Viewpoint(BUS_ANY, "relative", None)
    assert query.subject == "dog"


#: question, kind, subject, object, viewer, form, asked, recent
PLAIN = [
    ("is the car getting closer to me?", "distance", "car", "robot", "robot", "yes_no", "decreasing", True),
    ("Is the forklift coming towards us", "distance", "forklift", "robot", "robot", "yes_no", "decreasing", True),
    ("is the car approaching?", "distance", "car", None, "robot", "yes_no", "decreasing", True),
    ("is the car moving away from the person?", "distance", "car", "person", "robot", "yes_no", "increasing", True),
    ("are the car and the bus getting closer to each other?", "distance", "car", "bus", "robot", "yes_no", "decreasing", True),
    ("did car 12 get closer to the camera?", "distance", "car 12", "camera", "robot", "yes_no", "decreasing", False),
    ("how does the distance between A and B change?", "distance", "A", "B", "robot", "open", None, False),
    ("how does the distance between 2 and 5 change?", "distance", "2", "5", "robot", "open", None, False),
    ("is the car getting closer or farther away?", "distance", "car", None, "robot", "open", None, True),
    ("is the distance between the car and the bus getting smaller?", "distance", "car", "bus", "robot", "yes_no", "decreasing", True),
    ("does the distance between the car and you stay the same?", "distance", "car", "robot", "robot", "yes_no", "constant", False),
    ("how far is the car?", "distance", "car", None, "robot", "open", "value", True),
    ("what's the distance to track 12?", "distance", "track 12", None, "robot", "open", "value", True),
    ("which is faster, the car or the person?", "speed_comparison", "car", "person", "map", "which", "faster", True),
    ("who is slower, A or B?", "speed_comparison", "A", "B", "map", "which", "slower", True),
    ("is A faster than B?", "speed_comparison", "A", "B", "map", "yes_no", "first_faster", True),
    ("does A move slower than B?", "speed_comparison", "A", "B", "map", "yes_no", "second_faster", False),
    ("is the car moving?", "motion", "car", None, "robot", "yes_no", "moving", True),
    ("is the car not moving?", "motion", "car", None, "robot", "yes_no", "still", True),
    ("is 12 parked?", "motion", "12", None, "robot", "yes_no", "still", True),
    ("does the camera move?", "motion", "camera", None, "robot", "yes_no", "moving", False),
    ("is the robot moving?", "motion", "robot", None, "robot", "yes_no", "moving", True),
    ("does the car stop?", "motion", "car", None, "robot", "yes_no", ("moving", "still"), False),
    ("is the forklift speeding up?", "speed", "forklift", None, "map", "yes_no", "increasing", True),
    ("is the forklift slowing down?", "speed", "forklift", None, "map", "yes_no", "decreasing", True),
    ("how fast is the forklift going?", "speed", "forklift", None, "map", "open", "value", True),
    ("how fast is the forklift relative to me?", "speed", "forklift", None, "robot", "open", "value", True),
    ("where is the car?", "direction", "car", None, "robot", "open", None, True),
    ("where is the car relative to the bus?", "direction", "car", "bus", "bus", "open", None, True),
    ("where is the car from the bus's perspective?", "direction", "car", None, "bus", "open", None, True),
    ("is the car to the left of me?", "direction", "car", "robot", "robot", "yes_no", "left", True),
    ("is the car to my left?", "direction", "car", "robot", "robot", "yes_no", "left", True),
    ("is the car in front of the bus?", "direction", "car", "bus", "bus", "yes_no", "front", True),
    ("from my perspective, is the car left of the bus?", "direction", "car", "bus", "robot", "yes_no", "left", True),
    ("is the car right behind me?", "direction", "car", "robot", "robot", "yes_no", "behind", True),
    ("is the cup above the table?", "direction", "cup", "table", "robot", "yes_no", "above", True),
    ("is the car to the bus's right?", "direction", "car", "bus", "bus", "yes_no", "right", True),
    ("from the child's perspective, does the dog go from in front to behind-left?", "direction", "dog", None, "child", "yes_no", ("front", "behind|left"), False),
    ("which way is the person facing?", "orientation", "person", None, "robot", "open", None, True),
    ("is the person facing left?", "orientation", "person", None, "robot", "yes_no", "left", True),
    ("is the person facing me?", "direction", "robot", "person", "person", "yes_no", "front", True),
    ("is the person looking away from the car?", "direction", "car", "person", "person", "yes_no", "behind", True),
    ("where is the car going?", "direction_prediction", "car", None, "robot", "open", None, True),
    ("which direction will the car move?", "direction_prediction", "car", None, "robot", "open", None, True),
    ("is the car moving to the left?", "direction_prediction", "car", None, "robot", "yes_no", "left", True),
]  # fmt: skip


@pytest.mark.parametrize("text, kind, subject, other, viewer, form, asked, recent", PLAIN)
def test_plain_english(text, kind, subject, other, viewer, form, asked, recent):
    parsed = parse(text)
    query = parsed.query
    found = (query.kind, query.subject, query.object, query.viewpoint.agent, parsed.form, parsed.asked, parsed.recent)
    assert found == (kind, subject, other, viewer, form, asked, recent)
    assert query.window is None and parsed.last_s is None
    # where it goes is judged in a frame that the viewer's own motion does not turn
    assert query.viewpoint.mode == ("absolute" if kind == "direction_prediction" else "relative")
    shouted = parse(text.upper())
    assert (shouted.query.kind, shouted.form, shouted.asked) == (kind, form, asked)


@pytest.mark.parametrize(
    "text, window, last_s, recent",
    [
        ("is the car getting closer between 2 and 5 s?", (2.0, 5.0), None, False),
        ("is the car getting closer from 2s to 5.5s?", (2.0, 5.5), None, False),
        ("between 2 and 5 seconds, is the car getting closer?", (2.0, 5.0), None, False),
        ("between 1 and 2 minutes is the car getting closer?", (60.0, 120.0), None, False),
        ("is the car getting closer in the last 3 s?", None, 3.0, False),
        ("did the car get closer over the past two seconds?", None, 2.0, False),
        ("is the car getting closer during the last minute?", None, 60.0, False),
        ("is the car getting closer at 3 s?", (3.0, 3.0), None, False),
        ("is the car getting closer right now?", None, None, True),
        ("did the car get closer in the last few seconds?", None, None, True),
        ("how does the distance between 2 and 5 change between 1 and 3 s?", (1.0, 3.0), None, False),
        ("does the car get closer?", None, None, False),
    ],
)
def test_times(text, window, last_s, recent):
    parsed = parse(text)
    assert parsed.query.kind == "distance"
    assert (parsed.query.window, parsed.last_s, parsed.recent) == (window, last_s, recent)


def test_given_window_and_viewpoint_count():
    parsed = parse("is the car to my left between 2 and 5 s?", window=(7.0, 8.0), viewpoint="bus")
    assert parsed.query.window == (7.0, 8.0)
    assert parsed.query.viewpoint == Viewpoint("bus")
    assert (
        parse("where is the car?", viewpoint={"agent": "bus", "mode": "absolute", "at": 1.0}).query.viewpoint.at == 1.0
    )


@pytest.mark.parametrize(
    "given",
    [{"window": 5}, {"window": (1.0,)}, {"window": ("a", "b")}, {"viewpoint": 3}, {"viewpoint": {"agent": ""}}],
)
def test_malformed_window_or_viewpoint_is_declined(given):
    with pytest.raises(DeclineError) as caught:
        parse("where is the car?", **given)
    assert caught.value.code == "BAD_REQUEST"


@pytest.mark.parametrize("sentence", SENTENCES, ids=lambda s: s.example)
def test_every_example_is_understood_as_its_own_sentence(sentence):
    """Candidates offered to a person must work, and no earlier sentence may take a later one's words."""
    parsed = parse(re.sub(r"\bB\b", "bus 2", re.sub(r"\bA\b", "car 1", sentence.example)))
    assert parsed.query.kind == sentence.kind
    assert parsed.form == sentence.form
    if isinstance(sentence.asked, tuple) or sentence.asked in ("value", "constant", "still", "moving"):
        assert (parsed.query.asked if sentence.of else parsed.asked) == sentence.asked


def test_all_kinds_can_be_asked():
    assert {s.kind for s in SENTENCES} | {s.stretch for s in SENTENCES} >= {*PUBLISHED_KINDS, *KINDS}


@pytest.mark.parametrize(
    "text, code",
    [
        ("", "BAD_REQUEST"),
        ("  ?! ", "BAD_REQUEST"),
        (None, "BAD_REQUEST"),
        (b"is it moving", "BAD_REQUEST"),
        ("x" * 2001, "BAD_REQUEST"),
        ("how far is the car with box [5,2,3,40]?", "BAD_REQUEST"),
        ("what is the weather like?", "NOT_UNDERSTOOD"),
        ("is it moving?", "NOT_UNDERSTOOD"),
        ("is the car red?", "NOT_UNDERSTOOD"),
        ("which of the two is approaching faster?", "NOT_UNDERSTOOD"),
        ("is the car in front of and behind the bus?", "NOT_UNDERSTOOD"),
        ("is the forklift ready?", "NOT_UNDERSTOOD"),
    ],
)
def test_declines(text, code):
    with pytest.raises(DeclineError) as caught:
        parse(text)
    assert caught.value.code == code
    if code == "NOT_UNDERSTOOD":
        assert caught.value.candidates
        assert set(caught.value.candidates) <= {s.example for s in SENTENCES}


def test_the_nearest_sentence_is_offered():
    with pytest.raises(DeclineError) as caught:
        parse("is car moving awya from bus really?")
    assert "is A moving away from B?" in caught.value.candidates


WORDS = (
    "is the car getting closer to me between 2 and 5 s from to of faster than which , ' 's a b [1,2,3,4] with initial"
    " bounding box at following perspective how does distance change left front-left -| moving or ⟦0⟧ 99999999999 the"
).split(" ")


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=2000), st.lists(st.sampled_from(WORDS), max_size=400).map(" ".join)))
def test_any_text_is_understood_or_declined_soon(text):
    start = time.perf_counter()
    try:
        parse(text)
    except DeclineError as error:
        assert error.code in ("NOT_UNDERSTOOD", "BAD_REQUEST")
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize(
    "unit",
    ["is a ", "is a and b getting ", "from the perspective of ", "between 1 and ", "to the left and ", "a's ", "' ",
     "box [1,2,3,", "how does the distance between a and b ", "in the last ", "right in ", ", ", "is a moving from left to ", "⟦"],
)  # fmt: skip
def test_long_repetitions_do_not_hang(unit):
    start = time.perf_counter()
    with pytest.raises(DeclineError):
        parse((unit * 2000)[:2000])
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize(
    "text, label",
    [
        ("Front|Left", "front|left"),
        ("to the left", "left"),
        ("behind-left", "behind|left"),
        ("in front and to the left", "front|left"),
        ("above and to the right, in front", "front|right|above"),
        ("forward", "front"),
        ("left right", None),
        ("sideways", None),
        ("", None),
    ],
)
def test_direction_labels(text, label):
    assert direction_label(text) == label


@pytest.mark.parametrize(
    "text, name",
    [
        ("The Forklifts'", "forklift"),
        ("a person's", "person"),
        ("people", "person"),
        ("REGULAR_VEHICLE", "regular vehicle"),
        ("buses", "bus"),
        ("glass", "glass"),
        ("Fork-Lift", "fork lift"),
    ],
)
def test_names_are_normalised(text, name):
    assert normalise_name(text) == name


@pytest.mark.parametrize(
    "asked, seen, same",
    [
        ("car", "Car", True),
        ("cars", "car", True),
        ("automobile", "REGULAR_VEHICLE", True),
        ("vehicle", "van", True),
        ("car", "van", False),
        ("person", "PEDESTRIAN", True),
        ("woman", "person", True),
        ("man", "dog", False),
        ("bike", "Cyclist", True),
        ("lift truck", "forklift", True),
        ("truck", "BOX_TRUCK", True),
        ("truck", "forklift", False),
        ("truck", "fork lift truck", False),
        ("red car", "car", False),
        ("", "car", False),
        ("thing-nobody-knows", "thing nobody knows", True),
    ],
)
def test_same_class(asked, seen, same):
    assert same_class(asked, seen) is same


def test_the_documentation_lists_every_sentence():
    root = Path(__file__).parents[1]
    text = (root / "docs" / "questions.md").read_text()
    assert [s.example for s in SENTENCES if f"* {s.example}" not in text] == []
    tool = runpy.run_path(str(root / "tools" / "list_sentences.py"))
    assert tool["page"](text) == text, "the list is old; run python tools/list_sentences.py"
