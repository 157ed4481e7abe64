"""From a sentence to a chosen option, in a scene whose truth is plain."""

import numpy as np
import pytest

import dsr_core
from tests.fakes import fake_scene, fake_track


@pytest.fixture(scope="module")
def scene():
    """A robot at rest for 10 s; a car drives by from left to right, a van stands ahead, a person walks up."""
    return fake_scene(
        fake_track("1", "car", start=(12, 15, 0), velocity=(0, -3, 0), duration_s=10, sigma_m=0.05, yaw=-np.pi / 2),
        fake_track("2", "van", start=(20, 4, 0), duration_s=10, sigma_m=0.05, yaw=np.pi),
        fake_track("3", "person", start=(16, -2, 0), velocity=(-1.2, 0, 0), duration_s=10, sigma_m=0.05, yaw=np.pi),
        duration_s=10,
    )


@pytest.mark.parametrize(
    "question, choices, expected",
    [
        ("what direction is the car moving towards?", ["not moving", "right", "towards the camera", "left"], "right"),
        ("what direction is the person moving towards?", ["left", "right", "towards the camera"], "towards the camera"),
        ("which way did the car move?", ["left", "right", "not moving"], "right"),
        ("which way did the van move?", ["left", "right", "not moving"], "not moving"),
        ("did the car move to the left or right?", ["left", "right", "neither"], "right"),
        ("did the car cross in front of me?", ["Yes", "No"], "Yes"),
        ("did the van cross in front of me?", ["Yes", "No"], "No"),
        ("did the car cross from left to right?", ["yes", "no"], "yes"),
        ("is the van parked or has it moved?", ["parked", "it has moved"], "parked"),
        ("how far did the car travel?", ["3 m", "30 m", "300 m"], "30 m"),
        ("how far did the car travel between 2 and 4 s?", ["200 cm", "20 ft", "20 m"], "20 ft"),
        ("how fast is the car?", ["3 km/h", "11 km/h", "30 km/h"], "11 km/h"),
        ("is the person coming closer or going away?", ["coming closer", "going away", "neither"], "coming closer"),
        ("which car is fastest?", ["the car", "the van"], "the car"),
        ("what is approaching me fastest?", ["the car", "the van", "the person"], "the person"),
        ("who is nearest?", ["the car", "the person"], "the person"),
        ("how many things are moving?", ["1", "2", "3"], "2"),
        ("which things are parked?", ["the car", "the van", "the person"], "the van"),
        ("is anyone approaching me?", ["Yes", "No"], "Yes"),
        ("are there any cars to my left?", ["Yes", "No"], "No"),
        (
            "where was the car in the first second?",
            ["in front and to the left", "to the right"],
            "in front and to the left",
        ),
        ("was the car on my right 9 seconds ago?", ["Yes", "No"], "No"),
        ("is the car on my right?", ["Yes", "No"], "Yes"),
        ("when was the car closest to the van?", ["0.5 s", "3.7 s", "9 s"], "3.7 s"),
        ("when will the person reach me?", ["3.3 s", "13.3 s"], "3.3 s"),
    ],
)
def test_options_are_chosen(scene, question, choices, expected):
    answer = dsr_core.ask(scene, question, choices=choices)
    assert answer.declined is None, answer.declined
    assert answer.choice == expected, answer.answer


@pytest.mark.parametrize(
    "question, window",
    [
        ("did the car move in the first 3 s?", (0.0, 3.0)),
        ("did the car move in the second half?", (5.0, 10.0)),
        ("did the car move after 4 s?", (4.0, 10.0)),
        ("did the car move before 4 s?", (0.0, 4.0)),
        ("did the car move since it appeared?", (0.0, 10.0)),
        ("did the car move throughout the recording?", (0.0, 10.0)),
        ("did the car move in the last 2 s?", (8.0, 10.0)),
        ("how far was the car 4 seconds ago?", (6.0, 6.0)),
    ],
)
def test_times_reach_the_answer(scene, question, window):
    answer = dsr_core.ask(scene, question)
    assert answer.declined is None, answer.declined
    assert answer.window == pytest.approx(window, abs=0.11)


def test_times_outside_what_is_known_are_declined(scene):
    for question in ("did the car move after 40 s?", "where was the car 40 seconds ago?"):
        assert dsr_core.ask(scene, question).declined.code == "BAD_WINDOW"
