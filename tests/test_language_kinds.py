# ruff: noqa: E501  (one case a line)
"""Sentences of every kind: what they ask, of whom, through whose eyes and when."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_core.errors import DeclineError
from dsr_core.language import parse
from dsr_core.language.grammar import Table
from dsr_core.language.reasons import REASONS, reason_not_understood
from dsr_core.language.sentences import EXAMPLES, SENTENCES
from dsr_core.language.times import START_S, Times
from dsr_core.reasoning.query import Query

CARS = {"label": "cars", "select": "all"}
CAR = {"label": "car", "select": "all"}
ANYBODY = {"label": "person", "select": "all"}
TURNED = "turning_left|turning_right"
CROSSED = "left_to_right|right_to_left"

#: question, kind, subject, object, viewer, form, asked, recent
CASES = [
    # displacement, path length
    ("is the van parked or has it moved?", "displacement", "van", None, "robot", "open", None, False),
    ("has the van moved?", "displacement", "van", None, "robot", "yes_no", "moved", False),
    ("did the van change its place?", "displacement", "van", None, "robot", "yes_no", "moved", False),
    ("how far did the camera move?", "displacement", "camera", None, "robot", "open", "value", False),
    ("how far is the cart from where it was?", "displacement", "cart", None, "robot", "open", "value", False),
    ("how far did the cart travel?", "path_length", "cart", None, "robot", "open", "value", False),
    ("how many metres did the cart travel?", "path_length", "cart", None, "robot", "open", "value", False),
    ("how far have you driven?", "path_length", "robot", None, "robot", "open", "value", False),
    ("what distance did the cart cover?", "path_length", "cart", None, "robot", "open", "value", False),
    # which way
    ("in which direction did the camera move?", "moving_direction", "camera", None, "camera", "open", None, False),
    ("which way did the car go?", "moving_direction", "car", None, "robot", "open", None, False),
    ("did the car move to the right?", "moving_direction", "car", None, "robot", "yes_no", "right", False),
    ("was the car moving to the right?", "moving_direction", "car", None, "robot", "yes_no", "right", False),
    ("which way was the car going?", "moving_direction", "car", None, "robot", "open", None, False),
    ("did the truck back up?", "moving_direction", "truck", None, "truck", "yes_no", "behind", False),
    ("did the truck drive backwards?", "moving_direction", "truck", None, "truck", "yes_no", "behind", False),
    ("from my perspective, did the truck drive backwards?", "moving_direction", "truck", None, "robot", "yes_no", "behind", False),
    ("is the truck backing up?", "direction_prediction", "truck", None, "truck", "yes_no", "behind", True),
    ("is the truck moving forwards or backwards?", "direction_prediction", "truck", None, "truck", "open", None, True),
    ("is the truck moving forwards or backwards from its own perspective?", "direction_prediction", "truck", None, "truck", "open", None, True),
    ("from the camera perspective, what direction is the car moving towards?", "direction_prediction", "car", None, "camera", "open", None, True),
    ("which direction is the car going with respect to the cyclist?", "direction_prediction", "car", None, "cyclist", "open", None, True),
    # nearer, to the side, in depth
    ("how far is the nearest point of the truck from me?", "nearest_distance", "truck", "robot", "robot", "open", "value", False),
    ("how much closer did the car get to the bus?", "distance_change", "car", "bus", "robot", "open", "value", False),
    ("by how much did the distance between the car and the bus change?", "distance_change", "car", "bus", "robot", "open", "value", False),
    ("did the car end up closer to me?", "distance_change", "car", "robot", "robot", "yes_no", "decreasing", False),
    ("did the van move to the left or right?", "lateral_change", "van", None, "robot", "open", None, False),
    ("did the van move to the left of the picture?", "lateral_change", "van", None, "robot", "yes_no", "left", False),
    ("how does the depth of the car change?", "depth_change", "car", None, "robot", "open", None, False),
    ("did the depth of the car decrease?", "depth_change", "car", None, "robot", "yes_no", "closer", False),
    # turns
    ("did the van turn left?", "turning", "van", None, "robot", "yes_no", "turning_left", False),
    ("has the van turned to the right?", "turning", "van", None, "robot", "yes_no", "turning_right", False),
    ("did the van make a left turn?", "turning", "van", None, "robot", "yes_no", "turning_left", False),
    ("which way did the van turn?", "turning", "van", None, "robot", "open", None, False),
    ("is the van turning left or right from its own perspective?", "turning", "van", None, "robot", "open", None, True),
    ("from the car's perspective, is it turning to the left or right?", "turning", "car", None, "robot", "open", None, True),
    ("did the van turn?", "turning", "van", None, "robot", "yes_no", TURNED, False),
    ("how many degrees did the van turn?", "turning", "van", None, "robot", "open", "value", False),
    ("did the van go straight?", "turning", "van", None, "robot", "yes_no", "straight", False),
    # meetings
    ("when will the car reach me?", "closest_approach", "car", "robot", "robot", "open", "when", True),
    ("how many seconds until the car reaches me?", "closest_approach", "car", "robot", "robot", "open", "when", True),
    ("what is the time to closest approach of the car?", "closest_approach", "car", None, "robot", "open", "when", True),
    ("how close will the car get to the child?", "closest_approach", "car", "child", "robot", "open", "value", True),
    ("will the car get closer?", "closest_approach", "car", None, "robot", "yes_no", "approaching", True),
    ("is the car going to hit me?", "closest_approach", "car", "robot", "robot", "open", None, True),
    ("will the car and the bus meet?", "closest_approach", "car", "bus", "robot", "open", None, True),
    ("how close did the car come?", "closest_distance", "car", None, "robot", "open", "value", False),
    ("when was the car closest to the bus?", "closest_distance", "car", "bus", "robot", "open", "when", False),
    ("what was the smallest distance between the car and the bus?", "closest_distance", "car", "bus", "robot", "open", "value", False),
    ("did the car cross in front of me?", "crossing", "car", "robot", "robot", "yes_no", CROSSED, False),
    ("did the child cross my path?", "crossing", "child", "robot", "robot", "yes_no", CROSSED, False),
    ("did the child cross in front of the bus from left to right?", "crossing", "child", "bus", "bus", "yes_no", "left_to_right", False),
    ("when did the child cross in front of the bus?", "crossing", "child", "bus", "bus", "open", "when", False),
    ("did the truck overtake the bus?", "overtaking", "truck", "bus", "robot", "yes_no", "overtook", False),
    ("was the truck overtaken by the bus?", "overtaking", "truck", "bus", "robot", "yes_no", "overtaken", False),
    ("did the bus pass me?", "overtaking", "bus", "robot", "robot", "yes_no", "overtook|passed", False),
    ("is the dog following the child?", "following", "dog", "child", "robot", "yes_no", "following", True),
    ("is the child being followed by the dog?", "following", "dog", "child", "robot", "yes_no", "following", True),
    ("did the dog follow me?", "following", "dog", "robot", "robot", "yes_no", "following", False),
    # presence
    ("where was the car?", "position", "car", None, "robot", "open", None, False),
    ("what is the position of the car?", "position", "car", None, "robot", "open", "where", True),
    ("is the cart in view?", "visibility", "cart", None, "robot", "yes_no", "in_view", True),
    ("can you see the cart?", "visibility", "cart", None, "robot", "yes_no", "in_view", True),
    ("is the cart occluded?", "visibility", "cart", None, "robot", "yes_no", "occluded", True),
    ("is the cart visible or hidden?", "visibility", "cart", None, "robot", "open", None, True),
    ("how long was the cart visible?", "visibility", "cart", None, "robot", "open", "value", False),
    ("did the cart leave the picture?", "visibility", "cart", None, "robot", "yes_no", ("in_view", "out_of_view"), False),
    ("when was the person last seen?", "last_seen", "person", None, "robot", "open", "when", False),
    ("how long ago did you last see the person?", "last_seen", "person", None, "robot", "open", "value", False),
    ("where did you last see the person?", "last_seen", "person", None, "robot", "open", "where", False),
    ("is the man facing me or away?", "facing", "man", "robot", "robot", "open", None, True),
    ("is the man facing towards or away from the bus?", "facing", "man", "bus", "robot", "open", None, True),
    ("did the man face the bus?", "facing", "man", "bus", "robot", "yes_no", "facing", False),
    # sets
    ("who is nearest?", "nearest", ANYBODY, None, "robot", "open", None, True),
    ("which car is nearest to the bus?", "nearest", CAR, "bus", "robot", "open", None, True),
    ("what is the closest thing to me?", "nearest", "anything", "robot", "robot", "open", None, True),
    ("which of the cars is farthest away?", "farthest", CARS, None, "robot", "open", None, True),
    ("which car is approaching fastest?", "fastest_approaching", CAR, None, "robot", "open", None, True),
    ("what is approaching me fastest?", "fastest_approaching", "anything", "robot", "robot", "open", None, True),
    ("which car is moving away from me fastest?", "fastest_receding", CAR, "robot", "robot", "open", None, True),
    ("who is running fastest?", "fastest", ANYBODY, None, "robot", "open", None, True),
    ("which car was the slowest?", "slowest", CAR, None, "robot", "open", None, False),
    # what has been said before, in other words
    ("is the car parked or is it moving?", "motion", "car", None, "robot", "open", None, True),
    ("has the car stopped?", "motion", "car", None, "robot", "yes_no", "still", True),
    ("has the car been moving?", "motion", "car", None, "robot", "yes_no", "moving", False),
    ("has the car come closer to me?", "distance", "car", "robot", "robot", "yes_no", "decreasing", False),
    ("is the car moving towards or away from me?", "distance", "car", "robot", "robot", "open", None, True),
    ("please tell me, how far is the car?", "distance", "car", None, "robot", "open", "value", True),
    ("so, what's the distance to the car in feet?", "distance", "car", None, "robot", "open", "value", True),
    ("is the second nearest car approaching?", "distance", {"label": "car", "select": "nearest", "rank": 2}, None, "robot", "yes_no", "decreasing", True),
    ("is the person on the left side of the picture moving?", "motion", {"label": "person", "select": "leftmost"}, None, "robot", "yes_no", "moving", True),
    ("is the car on the left or right of the bus?", "direction", "car", "bus", "bus", "open", None, True),
    ("with respect to the sink, where is the fridge?", "direction", "fridge", "sink", "sink", "open", None, True),
    ("is the car still moving?", "motion", "car", None, "robot", "yes_no", "moving", True),
    ("is the car no longer moving?", "motion", "car", None, "robot", "yes_no", "still", True),
    ("at what time was the car closest?", "closest_distance", "car", None, "robot", "open", "when", False),
    ("speed of the car", "speed", "car", None, "map", "open", "value", True),
    ("is the van making a right turn?", "turning", "van", None, "robot", "yes_no", "turning_right", True),
    ("is the man with the black shirt and shorts moving?", "motion", "man with the black shirt and shorts", None, "robot", "yes_no", "moving", True),
]  # fmt: skip


@pytest.mark.parametrize("text, kind, subject, other, viewer, form, asked, recent", CASES)
def test_sentences_of_every_kind(text, kind, subject, other, viewer, form, asked, recent):
    for said in (text, text.upper(), text.capitalize().rstrip("?")):
        parsed = parse(said)
        query = parsed.query
        assert (query.kind, parsed.form, parsed.asked, parsed.recent) == (kind, form, asked, recent), said
        if said == text:
            assert (query.subject, query.object, query.viewpoint.agent) == (subject, other, viewer)
            assert query.asked is None and query.of is None


#: question, of, asked, object, viewer
COUNTS = [
    ("how many cars are moving?", "motion", "moving", None, "robot"),
    ("how many cars are parked?", "motion", "still", None, "robot"),
    ("how many cars are not moving?", "motion", "still", None, "robot"),
    ("how many cars stopped?", "motion", ("moving", "still"), None, "robot"),
    ("how many cars are approaching?", "distance", "decreasing", None, "robot"),
    ("how many cars are moving away from the bus?", "distance", "increasing", "bus", "robot"),
    ("how many cars are facing me?", "facing", "facing", "robot", "robot"),
    ("how many cars are facing away?", "facing", "away", None, "robot"),
    ("how many cars are facing to the left?", "orientation", "left", None, "robot"),
    ("how many cars are to my left?", "direction", "left", "robot", "robot"),
    ("how many cars are in front of the bus?", "direction", "front", "bus", "bus"),
    ("from my point of view, how many cars are in front of the bus?", "direction", "front", "bus", "robot"),
    ("how many cars are driving to the right?", "moving_direction", "right", None, "robot"),
    ("how many of the cars turned left?", "turning", "turning_left", None, "robot"),
    ("how many cars are slowing down?", "speed", "decreasing", None, "map"),
    ("how many cars are visible?", "visibility", "in_view", None, "robot"),
    ("how many cars are following the bus?", "following", "following", "bus", "robot"),
    ("how many cars overtook me?", "overtaking", "overtook", "robot", "robot"),
    ("how many cars are there?", None, None, None, "robot"),
    ("how many cars did you see?", None, None, None, "robot"),
]


@pytest.mark.parametrize("text, of, asked, other, viewer", COUNTS)
def test_counts(text, of, asked, other, viewer):
    parsed = parse(text)
    query = parsed.query
    assert (query.kind, query.subject, query.of, query.asked) == ("count", CARS, of, asked)
    assert (query.object, query.viewpoint.agent, parsed.form, parsed.asked) == (other, viewer, "open", None)
    # it can be sent as a typed query
    assert Query.from_dict(query.to_dict()) == query


@pytest.mark.parametrize(
    "text, times, in_scene",
    [
        ("did the car stop between 2 and 5 s?", Times(window=(2.0, 5.0)), (2.0, 5.0)),
        ("did the car stop in the last 3 s?", Times(last_s=3.0), (8.0, 11.0)),
        ("did the car stop in the first 3 seconds?", Times(first_s=3.0), (1.0, 4.0)),
        ("did the car stop at the beginning?", Times(first_s=START_S), (1.0, 3.0)),
        ("did the car stop in the first half of the video?", Times(part=(0.0, 0.5)), (1.0, 6.0)),
        ("in the second half, did the car stop?", Times(part=(0.5, 1.0)), (6.0, 11.0)),
        ("did the car stop since 3 s?", Times(start_s=3.0), (3.0, 11.0)),
        ("did the car stop after 5 s?", Times(start_s=5.0), (5.0, 11.0)),
        ("did the car stop from 3 s to the end?", Times(start_s=3.0), (3.0, 11.0)),
        ("did the car stop before 5 s?", Times(end_s=5.0), (1.0, 5.0)),
        ("until 5 s, did the car stop?", Times(end_s=5.0), (1.0, 5.0)),
        ("did the car stop since it appeared?", Times(since_appeared=True), (4.0, 11.0)),
        ("did the car stop since you first saw it?", Times(since_appeared=True), (4.0, 11.0)),
        ("did the car stop throughout the video?", Times(whole=True), None),
        ("over the whole recording, did the car stop?", Times(whole=True), None),
        ("did the car stop during the video?", Times(whole=True), None),
        ("was the car moving 3 seconds ago?", Times(ago_s=3.0), (8.0, 8.0)),
        ("was the car moving at 3 s?", Times(window=(3.0, 3.0)), (3.0, 3.0)),
        ("is the car moving at the end of the video?", Times(now=True), None),
        ("did the car stop?", Times(), None),
        # more than there is
        ("did the car stop in the last 300 s?", Times(last_s=300.0), (1.0, 11.0)),
        ("did the car stop in the first 300 s?", Times(first_s=300.0), (1.0, 11.0)),
        ("did the car stop after 50 s?", Times(start_s=50.0), (50.0, 50.0)),
    ],
)
def test_times(text, times, in_scene):
    parsed = parse(text)
    assert parsed.query.kind == "motion" and parsed.times == times
    assert parsed.query.window == times.window and parsed.last_s == times.last_s
    assert parsed.recent is times.now
    assert times.window_in(1.0, 11.0, appeared_s=4.0) == in_scene
    assert times.relative is (in_scene is not None and times.window is None)


@pytest.mark.parametrize(
    "text, kind",
    [
        ("which way is the car moving?", "direction_prediction"),
        ("which way is the car moving right now?", "direction_prediction"),
        ("which way was the car moving at 3 s?", "direction_prediction"),
        ("which way is the car moving at the end of the video?", "direction_prediction"),
        ("which way is the car moving between 2 and 5 s?", "moving_direction"),
        ("which way is the car moving throughout the video?", "moving_direction"),
        ("which way was the car moving?", "moving_direction"),
        ("which way did the car move?", "moving_direction"),
    ],
)
def test_where_it_goes_and_which_way_it_went(text, kind):
    assert parse(text).query.kind == kind


def test_the_nearest_point_now_is_that_of_one_instant():
    """Over a window the one stands where it was at the start, the other where it is at the end."""
    assert parse("how far is the nearest point of the truck from me?").times.window_in(0.0, 9.0) == (9.0, 9.0)
    windowed = parse("how far is the nearest point of the truck from me between 2 and 5 s?")
    assert windowed.query.window == (2.0, 5.0)


def test_a_window_from_outside_replaces_what_the_text_says():
    parsed = parse("did the car stop since it appeared?", window=(1.0, 2.0))
    assert (parsed.query.window, parsed.times) == ((1.0, 2.0), Times(window=(1.0, 2.0)))


@pytest.mark.parametrize(
    "text, reason",
    [
        ("which approaches faster, the car or the bus?", "two named things"),
        ("is the car next to the bus?", "vague words"),
        ("has it stopped?", "no thing is named"),
        ("isn't the car moving?", "denial"),
        ("how many times did the ball bounce?", "counting of repetitions"),
        ("which hand does the man use?", "body parts"),
        ("is the wheel turning clockwise?", "body parts"),
        ("is the dancer spinning clockwise or counter-clockwise?", "rotation"),
        ("is the skater turning to the left from the camera perspective?", "picture"),
        ("is the truck moving uphill or downhill?", "slopes"),
        ("in what direction did the cook move the bowl?", "handling"),
        ("which way does the man turn to open the fridge?", "handling"),
        ("which way does the man turn to go to the sink?", "order of events"),
        ("is the car closer than 5 m?", "limits"),
        ("how many bears are moving backwards from their own perspective?", "each from its own eyes"),
        ("is the car red?", "looks"),
    ],
)
def test_the_reason_is_named(text, reason):
    with pytest.raises(DeclineError) as caught:
        parse(text)
    assert caught.value.code == "NOT_UNDERSTOOD"
    assert f"({reason}: " in str(caught.value)
    assert len(caught.value.candidates) == 4 and set(caught.value.candidates) <= set(EXAMPLES)


def test_no_reason_is_made_up():
    assert reason_not_understood("please whistle a tune") is None
    assert len({reason.name for reason in REASONS}) == len(REASONS)


@pytest.mark.parametrize(
    "text",
    [
        "is the car getting closer and moving to the left?",
        "are the car and the bus moving?",
        "is the car that stopped first red?",
        "does the person turn his head to the right?",
        "which way did the lid move that the cook holds?",
        "what was the closest car the bus came to after it stopped?",
        "how many cars that are red are moving?",
        "is the car faster than 5 m/s?",
        "are the planes flying towards or away from each other?",
        "which way does the chair move with respect to him?",
        "did the car move the bus?",
        "where is everyone?",
        "is the car moving because the bus stopped?",
        "did the man who stopped turn left?",
        "is the car approaching me quickly?",
        "is either the car or the bus moving?",
    ],
)
def test_what_is_only_half_understood_is_declined(text):
    """A wrong reading is worse than none."""
    with pytest.raises(DeclineError) as caught:
        parse(text)
    assert caught.value.code == "NOT_UNDERSTOOD"


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_words_that_a_sentence_needs_are_in_all_it_matches(data):
    """Sentences are ruled out by words that a text lacks: never one that would match."""
    sentence = data.draw(st.sampled_from(SENTENCES))
    text = data.draw(st.from_regex(sentence.regex, fullmatch=True))
    if text.isascii():
        assert any(found is sentence for found, _ in Table([sentence]).matches(text)), sentence.needs


def test_every_sentence_needs_some_word():
    assert [s.example for s in SENTENCES if not s.needs] == []
