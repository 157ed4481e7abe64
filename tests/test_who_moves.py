"""Who causes a change of distance, and what a thing's motion came to."""

import numpy as np
import pytest

from dsr_core import ask
from dsr_core.language.who_moves import trend_of, who_moves
from dsr_core.reasoning.answer import State
from dsr_core.reasoning.kinds.series import motion_details
from tests.fakes import fake_scene, fake_track

CAR = {"subject": "car 12", "object": "robot", "viewer": "robot"}


@pytest.mark.parametrize(
    "names, ego, thing, trend, expected",
    [
        (CAR, "moving", "still", "decreasing", "; car 12 is parked, the robot approaches it"),
        (CAR, "moving", "still", "increasing", "; car 12 is parked, the robot moves away from it"),
        (CAR, "still", "moving", "decreasing", "; car 12 approaches, the robot stands still"),
        (CAR, "still", "moving", "increasing", "; car 12 moves away, the robot stands still"),
        (CAR, "moving", "still", None, "; car 12 is parked, the robot moves"),
        (CAR, "moving", "moving", "decreasing", "; both move"),
        (CAR, "still", "still", None, "; both stand still"),
        (CAR, None, "moving", "decreasing", "; car 12 moves"),
        (CAR, "moving", None, "decreasing", "; the robot moves"),
        (CAR, None, None, None, ""),
        (
            {"subject": "robot", "object": "person 3", "viewer": "robot"},
            "moving",
            "still",
            "decreasing",
            "; person 3 stands still, the robot approaches it",
        ),
        # of two things only the first one's motion is known
        ({"subject": "car 12", "object": "person 3", "viewer": "robot"}, "moving", "moving", None, "; car 12 moves"),
    ],
)
def test_clauses(names, ego, thing, trend, expected):
    assert who_moves(names, {"ego": ego, "object": thing}, trend) == expected


def test_a_trend_is_one_that_nothing_contradicts():
    def states(*labels):
        return [State(label, float(i), i + 1.0) for i, label in enumerate(labels)]

    assert trend_of(states("decreasing", "constant")) == "decreasing"
    assert trend_of(states("decreasing", "increasing")) is None
    assert trend_of(states("decreasing", "increasing"), recent=True) == "increasing"
    assert trend_of(states("constant")) is None


@pytest.mark.parametrize(
    "ego, thing, words",
    [
        ((2, 0, 0), (0, 0, 0), "car 1 is parked, the robot approaches it"),
        ((0, 0, 0), (-2, 0, 0), "car 1 approaches, the robot stands still"),
        ((1, 0, 0), (-2, 0, 0), "both move"),
    ],
)
def test_a_distance_says_who_moves(ego, thing, words):
    scene = fake_scene(fake_track("1", "car", (30, 0, 0), thing), ego_velocity=ego)
    for kind in ("distance", "distance_change"):
        answer = ask(scene, {"kind": kind, "subject": "1", "asked": "decreasing"})
        assert answer.answer.startswith("Yes: ") and answer.answer.endswith(f"; {words}.")


@pytest.mark.parametrize(
    "stops, events, summary",
    [
        ((), [], "moving"),
        ((0.0, 9.0), [], "parked"),
        ((3.0, 9.0), ["stopped"], "moved"),
        ((2.0, 5.0), ["stopped", "started"], "moving"),
        ((0.0, 4.0), ["started"], "moving"),
    ],
)
def test_motion_has_events_and_a_summary(stops, events, summary):
    stop, go = stops or (99.0, 99.0)

    def positions(t):
        return np.stack([2 * np.minimum(t, stop) + 2 * np.maximum(t - go, 0.0), 0 * t, 0 * t], axis=1)

    scene = fake_scene(fake_track("1", "car", positions=positions, duration_s=8.0), duration_s=8.0)
    details = ask(scene, {"kind": "motion", "subject": "1"}).details
    assert [e["event"] for e in details["events"]] == events
    assert details["summary"] == summary
    for event in details["events"]:
        assert event["at_s"] == pytest.approx(stop if event["event"] == "stopped" else go, abs=0.15)


def test_events_follow_the_states():
    states = (State("still", 0.0, 1.0), State("moving", 1.0, 2.5), State("still", 2.5, 4.0))
    assert motion_details(states) == {
        "events": [{"event": "started", "at_s": 1.0}, {"event": "stopped", "at_s": 2.5}],
        "summary": "moved",
    }


def test_a_thing_that_has_stopped_stands_still_since():
    def positions(t):
        return np.stack([2 * np.minimum(t, 3.0), 0 * t, 0 * t], axis=1)

    scene = fake_scene(fake_track("1", "car", positions=positions))
    answer = ask(scene, "is the car moving?").answer
    assert answer.startswith("No: car 1 moves from 0.0 s to ") and " s, and stands still since " in answer
    past = ask(scene, "is the car moving between 1 and 5 s?").answer
    assert past.startswith("Yes: ") and past.endswith("then stands still until 5.0 s.")
