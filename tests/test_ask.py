"""`ask` from question to answer: the contract, the declines, and what a planner relies on."""

import numpy as np
import pytest

import dsr_core
from dsr_core import Query
from tests.fakes import fake_scene, fake_track


@pytest.fixture
def scene():
    """A robot at rest; a forklift comes closer, a person stands, a car was seen until 2 s."""
    return fake_scene(
        fake_track("1", "forklift", start=(20, 2, 0), velocity=(-2, 0, 0), duration_s=8, sigma_m=0.05, yaw=np.pi),
        fake_track("2", "person", start=(5, -3, 0), duration_s=8, sigma_m=0.05, yaw=np.pi / 2, size=(0.5, 0.5, 1.8)),
        fake_track("3", "car", start=(-10, 0, 0), velocity=(0, 1, 0), duration_s=2, sigma_m=0.05),
        duration_s=8,
    )


def test_the_answer_is_typed_and_explained(scene):
    answer = dsr_core.ask(scene, "Is the forklift getting closer to me?")
    data = answer.to_dict()
    assert data["declined"] is None and data["answer"].startswith("Yes")
    assert [s["label"] for s in data["states"]] == ["decreasing"]
    assert data["motion"] == {"ego": "still", "object": "moving"}
    assert data["evidence"]["tracks"] == ["1"] and data["evidence"]["window"] == [3.0, 8.0]
    assert data["value"] == pytest.approx(np.hypot(4, 2), abs=1e-6) and data["unit"] == "m"
    assert data["sigma"] == pytest.approx(0.05, abs=1e-6) and 0.9 < data["confidence"] <= 1


@pytest.mark.parametrize(
    ("query", "labels", "value"),
    [
        ({"kind": "direction", "subject": "person", "object": "robot"}, ["front|right"], np.arctan2(-3, 5)),
        ({"kind": "orientation", "subject": "2"}, ["left"], np.pi / 2),
        ({"kind": "speed", "subject": "1", "viewpoint": {"agent": "map"}}, ["constant"], 2.0),
        (
            {"kind": "speed_comparison", "subject": "1", "object": "2", "viewpoint": {"agent": "map"}},
            ["first_faster"],
            2.0,
        ),
        ({"kind": "direction_prediction", "subject": "1"}, ["behind"], np.pi),
        ({"kind": "motion", "subject": "2"}, ["still"], 0.0),
        # From the person, who faces left (+y) of the robot: the forklift passes from the right to behind-left's edge.
        (
            {"kind": "direction", "subject": "1", "object": "2", "viewpoint": {"agent": "2"}, "window": [0, 1]},
            ["front|right"],
            None,
        ),
    ],
)
def test_each_kind(scene, query, labels, value):
    answer = dsr_core.ask(scene, query)
    assert answer.declined is None, answer.declined
    assert [s.label for s in answer.states] == labels
    if value is not None:
        assert (
            np.cos(answer.value - value) == pytest.approx(1, abs=1e-3)
            if answer.unit == "rad"
            else answer.value == pytest.approx(value, abs=0.05)
        )


def test_until_uses_nothing_later(scene):
    now = dsr_core.ask(scene, "is the forklift getting closer?", until=5.0)
    assert now.window[1] <= 5.0 and now.value == pytest.approx(np.hypot(10, 2), abs=1e-6)
    assert (
        dsr_core.ask(scene, {"kind": "motion", "subject": "1", "window": [6, 7]}, until=5.0).declined.code
        == "BAD_WINDOW"
    )


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ("is the dog getting closer?", "NO_SUCH_OBJECT"),
        ({"kind": "motion", "subject": "3", "window": [4, 6]}, "NOT_OBSERVED"),
        ({"kind": "orientation", "subject": "3"}, "NO_ORIENTATION"),
        ({"kind": "direction", "subject": "1", "object": "3", "viewpoint": {"agent": "3"}}, "NO_ORIENTATION"),
        ({"kind": "motion", "subject": "1", "window": [5, 2]}, "BAD_WINDOW"),
        ({"kind": "motion", "subject": "1", "window": [50, 60]}, "BAD_WINDOW"),
        ({"kind": "distance", "subject": "1", "object": "1"}, "BAD_REQUEST"),
        ({"kind": "taste", "subject": "1"}, "BAD_REQUEST"),
        ({"subject": "1"}, "BAD_REQUEST"),
        ({"kind": "direction_prediction", "subject": "2"}, "TOO_UNCERTAIN"),
        ("", "BAD_REQUEST"),
        ("x" * 10_000, "BAD_REQUEST"),
        ("sing me a song", "NOT_UNDERSTOOD"),
        (7, "BAD_REQUEST"),
    ],
)
def test_declines_name_their_reason(scene, question, code):
    answer = dsr_core.ask(scene, question)
    assert answer.declined is not None and answer.declined.code == code, answer
    assert answer.declined.message and answer.answer
    assert answer.to_dict()["declined"]["code"] == code


def test_declines_say_what_would_help(scene):
    assert "forklift 1" in dsr_core.ask(scene, "is the dog getting closer?").declined.candidates
    two = fake_scene(fake_track("1", "car"), fake_track("2", "car", start=(5, 0, 0)))
    declined = dsr_core.ask(two, "is the car moving?").declined
    assert declined.code == "AMBIGUOUS_OBJECT" and declined.candidates == ("car 1", "car 2")
    assert dsr_core.ask(two, "is car 2 moving?").declined is None


def test_no_pose_and_backends(scene):
    blind = fake_scene(fake_track("1", "car"), duration_s=5)
    blind = type(blind)(stamps_s=blind.stamps_s, tracks=blind.tracks)
    assert dsr_core.ask(blind, "is the car getting closer to me?").declined.code == "NO_POSE"
    assert dsr_core.ask(scene, "is the forklift moving?", backend="vlm").declined.code == "BACKEND_UNAVAILABLE"
    assert dsr_core.ask(scene, "is the forklift moving?", rules="harsh").declined.code == "BAD_REQUEST"
    assert dsr_core.ask(scene, "is the forklift moving?", choices="AB").declined.code == "BAD_REQUEST"


def test_the_present_is_not_answered_from_the_past(scene):
    stale = dsr_core.ask(scene, "is the car moving?", stale_s=5.0)
    assert stale.declined.code == "STALE_DATA" and "6.0 s ago" in stale.declined.message
    assert dsr_core.ask(scene, "is the forklift moving?", stale_s=5.0).declined is None
    assert dsr_core.ask(scene, {"kind": "motion", "subject": "3"}, stale_s=5.0).declined is None
    for question in ("is the forklift moving?", "did the forklift move in the last 3 s?"):
        assert dsr_core.ask(scene, question, now_s=30.0, stale_s=5.0).declined.code == "STALE_DATA"


def test_not_metric_scenes_get_states_without_numbers(scene):
    relative = type(scene)(**{**scene.__dict__, "metric": False})
    answer = dsr_core.ask(relative, "is the forklift getting closer to me?")
    assert [s.label for s in answer.states] == ["decreasing"]
    assert (answer.value, answer.unit) == (None, None)


def test_choices_are_matched_by_meaning(scene):
    options = [
        "A. (1) Become larger.",
        "B. (1) Become smaller.",
        "C. (1) Keep nearly constant.",
        "D. (1) Become smaller. (2) Become larger.",
    ]
    answer = dsr_core.ask(scene, {"kind": "distance", "subject": "1", "object": "robot"}, choices=options)
    assert (answer.choice, answer.choice_index) == (options[1], 1)
    assert sum(answer.choice_probabilities) == pytest.approx(1.0)


def test_a_box_names_a_track():
    boxes = np.tile([100.0, 100.0, 200.0, 200.0], (51, 1))
    first, second = fake_track("1", "car"), fake_track("2", "car", start=(5, 5, 0))
    scene = fake_scene(type(first)(**{**first.__dict__, "boxes_px": boxes, "image_size": (640, 480)}), second)
    who = {"label": "car", "box": [50, 50, 100, 100], "image_size": [320, 240], "at": 0.0}
    assert dsr_core.ask(scene, {"kind": "motion", "subject": who}).tracks == ("1",)
    nowhere = {**who, "box": [200, 200, 230, 230]}
    assert dsr_core.ask(scene, {"kind": "motion", "subject": nowhere}).declined.code == "NO_SUCH_OBJECT"


def test_nearest_and_fastest(scene):
    cars = fake_scene(
        fake_track("1", "car", start=(10, 0, 0)), fake_track("2", "car", start=(20, 0, 0), velocity=(0, 3, 0))
    )
    for select, expected in (("nearest", "1"), ("fastest", "2")):
        assert dsr_core.ask(cars, {"kind": "motion", "subject": {"label": "car", "select": select}}).tracks == (
            expected,
        )


def test_a_few_samples_tell_who_moves():
    scene = fake_scene(fake_track("1", "car", velocity=(14, 0, 0), duration_s=0.3, sigma_m=0.05), duration_s=0.3)
    answer = dsr_core.ask(scene, {"kind": "distance", "subject": "1", "object": "robot"})
    assert answer.motion == {"ego": "still", "object": "moving"}


def test_an_instant_is_a_window():
    scene = fake_scene(fake_track("1", "car", start=(10, -5, 0), velocity=(0, 2, 0)))
    at = dsr_core.ask(scene, {"kind": "direction", "subject": "1", "window": [5.0, 5.0]})
    assert [(s.label, s.start, s.end) for s in at.states] == [("front|left", 5.0, 5.0)]


def test_published_rules_use_32_samples_of_the_recording():
    scene = fake_scene(fake_track("1", "car", start=(10, 0, 0), velocity=(-0.3, 0, 0), duration_s=31), duration_s=31)
    answer = dsr_core.ask(
        scene, {"kind": "distance", "subject": "1", "object": "robot", "window": [2, 12]}, rules="dsr"
    )
    assert answer.samples == 11 and answer.window == (2.0, 12.0)
    # 9.4, 9.1 ... 6.4 m: constant until below 0.8 of 9.4 (7.52 at 8 s and 7.3 at 9 s leave it), then from there on.
    assert [s.label for s in answer.states] == ["constant", "decreasing", "constant"]
    assert answer.answer == "(1) Keep nearly constant and then become smaller. (2) Keep nearly constant."


def test_published_rules_take_the_whole_recording():
    scene = fake_scene(fake_track("1", "car", start=(10, 0, 0), velocity=(-0.3, 0, 0), duration_s=31), duration_s=31)
    answer = dsr_core.ask(scene, "is the car getting closer?", rules="dsr")
    assert answer.declined is None and answer.window == (0.0, 29.0)
    assert (
        dsr_core.ask(scene, "is the car getting closer?", rules="dsr", now_s=50.0, stale_s=5.0).declined.code
        == "STALE_DATA"
    )
    still = fake_scene(fake_track("1", "car", start=(10, 0, 0), duration_s=31), duration_s=31)
    for rules in ("dsr", "robust"):
        declined = dsr_core.ask(still, {"kind": "direction_prediction", "subject": "1"}, rules=rules).declined
        assert (
            declined.code == "TOO_UNCERTAIN" and declined.message == "car 1 moves at 0.00 m/s: no direction to predict"
        )


def test_query_from_dict_refuses_nonsense():
    with pytest.raises(dsr_core.DsrError, match="window"):
        Query.from_dict({"kind": "motion", "subject": "1", "window": [0]})
    with pytest.raises(dsr_core.DsrError, match="unknown fields"):
        Query.from_dict({"kind": "motion", "subject": "1", "colour": "red"})


@pytest.mark.parametrize(
    "question, window",
    [
        ("how does the distance to the late car change since it appeared?", (2.0, 10.0)),
        ("how does the distance to the person change in the first 4 seconds?", (0.0, 4.0)),
        ("how does the distance to the person change after 5 s?", (5.0, 10.0)),
        ("how does the distance to the person change before 5 s?", (0.0, 5.0)),
        ("how does the distance to the person change in the first half?", (0.0, 5.0)),
        ("how does the distance to the person change over the whole recording?", (0.0, 10.0)),
        ("where was the person 3 seconds ago?", (7.0, 7.0)),
    ],
)
def test_times_that_only_the_scene_can_tell(question, window):
    t = np.linspace(0, 10, 101)
    late = dsr_core.Track("1", "late car", t[20:], np.stack([10 + 2 * t[20:], 0 * t[20:], 0 * t[20:]], axis=1))
    person = dsr_core.Track("2", "person", t, np.stack([5 + 0 * t, 3 - 0.5 * t, 0 * t], axis=1))
    scene = dsr_core.Scene(t, {"1": late, "2": person}, T_world_base=np.broadcast_to(np.eye(4), (101, 4, 4)))
    answer = dsr_core.ask(scene, question)
    assert answer.declined is None, answer.answer
    assert answer.window == pytest.approx(window)


def test_a_relative_time_outside_the_recording_is_declined():
    t = np.linspace(0, 10, 101)
    person = dsr_core.Track("2", "person", t, np.stack([5 + 0 * t, 3 - 0.5 * t, 0 * t], axis=1))
    scene = dsr_core.Scene(t, {"2": person}, T_world_base=np.broadcast_to(np.eye(4), (101, 4, 4)))
    for question in ("where was the person after 30 s?", "where was the person 40 seconds ago?"):
        assert dsr_core.ask(scene, question).declined.code == "BAD_WINDOW"


def test_how_far_needs_a_scale(scene):
    from dataclasses import replace

    unscaled = replace(scene, metric=False)
    for question in ("how far is the forklift?", "how fast is the forklift?", "how far did the forklift travel?"):
        declined = dsr_core.ask(unscaled, question).declined
        assert declined.code == "NOT_METRIC" and "scale" in declined.message
    answer = dsr_core.ask(unscaled, "is the forklift getting closer to me?")
    assert answer.declined is None and answer.value is None and answer.unit is None


def test_a_thing_of_unknown_range_has_a_direction():
    """A camera alone knows the bearing of what it sees; how far off it is turns no direction."""
    t = np.linspace(0.0, 3.0, 31)
    ray = np.array([3.0, 2.0, 0.0]) / np.sqrt(13.0)
    along = np.outer(ray, ray)
    covariance = 4.0**2 * along + 0.05**2 * (np.eye(3) - along)
    places, covariances = np.tile(8.0 * ray, (31, 1)), np.tile(covariance, (31, 1, 1))
    thing = dsr_core.Track("1", "dog", t, places, covariances=covariances)
    scene = dsr_core.Scene(t, {"1": thing}, T_world_base=np.broadcast_to(np.eye(4), (31, 4, 4)))
    answer = dsr_core.ask(scene, {"kind": "direction", "subject": "1", "object": "robot"})
    assert [s.label for s in answer.states] == ["front|left"], answer.answer
    assert answer.confidence > 0.95 and answer.sigma < 0.05
