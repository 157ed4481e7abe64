"""Choosing one of several things in a scene, against what is computed here by hand."""

from __future__ import annotations

import numpy as np
import pytest

import dsr_core
from dsr_core.language.resolve import resolve
from tests.data import shared
from tests.fakes import fake_scene, fake_track


@pytest.fixture
def cars():
    """The robot at the origin looks along x; four cars and a person, who looks back at the robot."""
    return fake_scene(
        fake_track("a", "car", start=(10, 4, 0), duration_s=6, size=(4, 2, 1.5)),
        fake_track("b", "car", start=(20, -6, 0), velocity=(1, 0, 0), duration_s=6, size=(5, 2, 2)),
        fake_track("c", "car", start=(30, 1, 0), velocity=(-3, 0, 0), duration_s=6, size=(3, 1.5, 1.4)),
        fake_track("d", "car", start=(5, 0, 0), duration_s=2)[slice(10, None)],  # seen from 1 to 2 s
        fake_track("p", "person", start=(40, 0, 0), duration_s=6, yaw=np.pi),
        duration_s=6,
    )


@pytest.mark.parametrize(
    "who, expected",
    [
        ({"select": "nearest"}, "a"),  # d was nearer, but is gone at the end
        ({"select": "nearest", "at": 1.5}, "d"),
        ({"select": "nearest", "rank": 2}, "c"),
        ({"select": "farthest"}, "b"),
        ({"select": "fastest"}, "c"),
        ({"select": "slowest"}, "a"),
        ({"select": "slowest", "rank": 2}, "b"),
        ({"select": "leftmost"}, "a"),
        ({"select": "rightmost"}, "b"),
        ({"select": "rightmost", "rank": 3}, "a"),
        ({"select": "biggest"}, "b"),
        ({"select": "smallest"}, "c"),
        ({"select": "first"}, "a"),
        ({"select": "last"}, "d"),
    ],
)
def test_one_of_the_cars(cars, who, expected):
    answer = dsr_core.ask(cars, {"kind": "motion", "subject": {"label": "car", **who}, "window": [0, 6]})
    assert answer.tracks == (expected,), answer.declined


def test_left_and_right_are_those_of_the_viewer(cars):
    query = {"kind": "direction", "subject": {"label": "car", "select": "leftmost"}, "viewpoint": "person"}
    assert dsr_core.ask(cars, query).tracks == ("b", "p")
    for viewer in ("robot", "camera", "map"):
        assert "a" in dsr_core.ask(cars, {**query, "viewpoint": viewer}).tracks


def test_the_viewer_is_not_one_of_those_on_its_left(cars):
    query = {"kind": "direction", "subject": {"select": "leftmost"}, "viewpoint": "person"}
    assert dsr_core.ask(cars, query).tracks == ("b", "p")


def test_names_choose_in_words(cars):
    def motion(name):
        return dsr_core.ask(cars, {"kind": "motion", "subject": name, "window": [0, 6]})

    assert motion("the second nearest car").tracks == ("c",)
    assert motion("the car on the right").tracks == ("b",)
    assert motion("the nearest thing").tracks == ("a",)
    assert motion("the third car").declined is None


def test_the_one_that_moves():
    scene = fake_scene(
        fake_track("1", "car", start=(10, 0, 0), velocity=(1, 0, 0), duration_s=5, sigma_m=0.05),
        fake_track("2", "car", start=(10, 5, 0), duration_s=5, sigma_m=0.05),
        fake_track("3", "van", start=(10, 9, 0), duration_s=5, sigma_m=0.05),
        fake_track("4", "van", start=(15, 9, 0), duration_s=5, sigma_m=0.05),
    )

    def motion(name):
        return dsr_core.ask(scene, {"kind": "motion", "subject": name})

    assert motion("the moving car").tracks == ("1",)
    assert motion("the parked car").tracks == ("2",)
    assert motion("the moving van").declined.code == "NO_SUCH_OBJECT"
    assert motion("the parked van").declined.code == "AMBIGUOUS_OBJECT"
    assert motion("the parked van").declined.candidates == ("van 3", "van 4")


def test_choices_that_nothing_fits(cars):
    def declined(who):
        return dsr_core.ask(cars, {"kind": "motion", "subject": who}).declined

    few = declined({"label": "car", "select": "nearest", "rank": 9})
    assert few.code == "NO_SUCH_OBJECT" and "9" in few.message and len(few.candidates) == 3
    other = declined("the other car")
    assert other.code == "AMBIGUOUS_OBJECT" and len(other.candidates) == 4
    assert declined("the other bus").code == "NO_SUCH_OBJECT"
    assert declined({"label": "car", "select": "all"}).code == "AMBIGUOUS_OBJECT"
    empty = fake_scene()
    assert dsr_core.ask(empty, {"kind": "motion", "subject": {"select": "nearest"}}).declined.code == "NO_SUCH_OBJECT"


def test_the_size_must_be_known():
    nan = (np.nan, np.nan, np.nan)
    scene = fake_scene(
        fake_track("1", "box", start=(5, 0, 0), size=nan),
        fake_track("2", "box", start=(6, 0, 0), size=nan),
    )
    answer = dsr_core.ask(scene, {"kind": "motion", "subject": "the biggest box"})
    assert answer.declined.code == "TOO_UNCERTAIN"


def test_the_very_class_goes_before_a_wider_name():
    scene = fake_scene(fake_track("1", "Cyclist", start=(5, 0, 0)), fake_track("2", "Pedestrian", start=(6, 0, 0)))
    assert dsr_core.ask(scene, {"kind": "motion", "subject": "person"}).tracks == ("2",)
    assert dsr_core.ask(scene, {"kind": "motion", "subject": "the bike"}).tracks == ("1",)


def test_a_label_that_sounds_like_a_choice_is_a_label():
    scene = fake_scene(fake_track("1", "moving box", start=(5, 0, 0)), fake_track("2", "box", start=(6, 0, 0)))
    assert dsr_core.ask(scene, {"kind": "motion", "subject": "the moving box"}).tracks == ("1",)


@pytest.mark.parametrize("at_s", [5.0, 12.0, 20.0])
def test_cars_of_kitti(at_s):
    scene = dsr_core.load_scene(shared("kitti_tracking"), sequence="0011")
    i = int(np.abs(scene.stamps_s - at_s).argmin())
    at_s = float(scene.stamps_s[i])
    T_base_world = np.linalg.inv(scene.T_world_base[i])
    places = {}
    for track in scene.tracks.values():
        now = np.flatnonzero((track.stamps_s > at_s - 0.25) & (track.stamps_s < at_s + 0.01))
        if track.label == "car" and len(now):
            places[track.id] = T_base_world[:3, :3] @ track.positions_world_m[now[-1]] + T_base_world[:3, 3]
    assert len(places) > 2
    by_distance = sorted(places, key=lambda i: np.linalg.norm(places[i]))
    by_bearing = sorted(places, key=lambda i: -np.arctan2(places[i][1], places[i][0]))
    for select, rank, expected in (
        ("nearest", 1, by_distance[0]),
        ("nearest", 2, by_distance[1]),
        ("farthest", 1, by_distance[-1]),
        ("leftmost", 1, by_bearing[0]),
        ("rightmost", 2, by_bearing[-2]),
    ):
        who = {"label": "car", "select": select, "rank": rank}
        assert resolve(scene, who, (at_s - 0.25, at_s + 0.001)).track.id == expected, (select, rank)
