"""Which of two named things: questions to answers, and the typed query that they become."""

import numpy as np
import pytest

import dsr_core
from dsr_core.errors import QueryError
from dsr_core.language.parse import parse

T = np.linspace(0, 10, 101)


def _track(track_id, label, start, speed):
    places = np.stack([start[0] + speed * T, start[1] + 0 * T, 0 * T], axis=1)
    return dsr_core.Track(track_id, label, T, places, covariances=np.tile(0.0025 * np.eye(3), (101, 1, 1)))


@pytest.fixture(scope="module")
def scene():
    """At 10 s: the person 15 m, the car 20 m and the forklift 20 m away; the car comes fastest."""
    tracks = [
        _track("1", "car", (40, 2), -2.0),
        _track("2", "person", (20, 3), -0.5),
        _track("3", "forklift", (15, -3), 0.5),
    ]
    bases = np.broadcast_to(np.eye(4), (101, 4, 4))
    return dsr_core.Scene(T, {track.id: track for track in tracks}, T_world_base=bases)


@pytest.mark.parametrize(
    "question, kind, winner, choice",
    [
        ("which is nearer to me, the car or the person?", "nearest", "2", "the person"),
        ("is the car or the person closer?", "nearest", "2", "the person"),
        ("which of the car and the person is nearer?", "nearest", "2", "the person"),
        ("which is farther from me, the car or the person?", "farthest", "1", "the car"),
        ("which of the two is approaching faster, the car or the person?", "fastest_approaching", "1", "the car"),
        ("who is approaching me faster, the person or the car?", "fastest_approaching", "1", "the car"),
        ("which of car 1 and person 2 is approaching me faster?", "fastest_approaching", "1", "the car"),
        ("which came closer to me between 2 and 8 s, the car or the person?", "nearest", "2", "the person"),
    ],
)
def test_which_of_two(scene, question, kind, winner, choice):
    answer = dsr_core.ask(scene, question, choices=["the car", "the person", "neither"])
    assert (answer.kind, answer.states[0].label, answer.choice) == (kind, winner, choice), answer.answer


@pytest.mark.parametrize(
    "question, verdict",
    [
        ("is the person closer to me than the car?", "Yes"),
        ("is the car closer to me than the person?", "No"),
        ("is the car farther from the person than the forklift?", "No"),
        ("is the car approaching me faster than the person?", "Yes"),
        ("is the person approaching me faster than the car?", "No"),
    ],
)
def test_is_the_first_it(scene, question, verdict):
    answer = dsr_core.ask(scene, question, choices=["yes", "no"])
    assert answer.answer.startswith(verdict + ":")
    assert answer.choice == verdict.lower()


def test_the_third_is_not_asked(scene):
    """The forklift comes nearest to the person; among the car and the robot's others it does not count."""
    query = {"kind": "farthest", "subject": {"among": ["2", "1"]}, "window": [9.0, 10.0]}
    answer = dsr_core.ask(scene, query)
    assert answer.tracks[:2] == ("1", "2")
    assert "3" not in answer.tracks


def test_the_typed_form():
    parsed = parse("which is nearer to the bus, the car or the person?")
    assert parsed.query.subject == {"among": ["car", "person"]}
    assert parsed.query.object == "bus"
    assert dsr_core.Query.from_dict(parsed.query.to_dict()) == parsed.query


@pytest.mark.parametrize(
    "kind, subject, words",
    [
        ("distance", {"among": ["1", "2"]}, "kinds of many things"),
        ("nearest", {"among": ["1"]}, "two to"),
        ("nearest", {"among": ["1", ""]}, r"among\[1\]"),
        ("nearest", {"among": ["1", "2"], "label": "car"}, "two to"),
        ("nearest", {"among": "1, 2"}, "two to"),
    ],
)
def test_what_cannot_be_listed(kind, subject, words):
    with pytest.raises(QueryError, match=words):
        dsr_core.Query(kind, subject)


def test_no_place_is_taken_for_a_name(scene):
    answer = dsr_core.ask(scene, "will the person pass in front of me?")
    assert answer.declined.code == "NOT_UNDERSTOOD"


def test_one_of_them_is_unknown(scene):
    answer = dsr_core.ask(scene, "which is nearer, the car or the zebra?")
    assert answer.declined.code == "NO_SUCH_OBJECT" and "zebra" in answer.answer


def test_options_may_be_numbers(scene):
    answer = dsr_core.ask(scene, "how many things are moving?", choices=[1, 2, 3, 7])
    assert (answer.choice, answer.choice_index) == ("3", 2)


def test_the_nearest_point_now_is_not_told_from_old_data(scene):
    answer = dsr_core.ask(scene, "how far is the nearest point of the car?", now_s=60.0, stale_s=5.0)
    assert answer.declined.code == "STALE_DATA"
