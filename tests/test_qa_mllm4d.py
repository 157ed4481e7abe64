"""Questions of MLLM-4D: one convention of poses, the engine's answers, states for a reward."""

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from dsr_core import ask, load_scene
from dsr_core.geometry import transforms as tf
from dsr_core.qa.config import QaConfig
from dsr_core.qa.making.generate import candidates
from dsr_core.qa.making.mllm4d import TASKS, TYPES
from dsr_core.reasoning.query import Query
from dsr_core.scene import Scene
from tests.data import shared
from tests.fakes import fake_track

CONFIG = QaConfig(style="mllm4d", per_scene=120)
STAMPS = np.arange(101) / 10.0
NUMERIC = [t for t, task in TASKS.items() if task.words is None]


def camera_poses(centres_m, yaw_rad):
    """(T, 4, 4) optical poses of a level camera at `centres_m` (T, 3) whose forward axis turns by `yaw_rad` (T,)."""
    R = tf.matrices_from_quaternions(tf.yaw_to_quaternion_xyzw(np.broadcast_to(yaw_rad, len(STAMPS))))
    return tf.make_transform(R @ tf.R_BODY_OPTICAL, np.broadcast_to(centres_m, (len(STAMPS), 3)))


def made_scene(centres_m, yaw_rad=0.0, **fields):
    """A camera at `centres_m` and a car that goes 1 m/s to the left, 20 m ahead of the world's origin."""
    track = fake_track(
        "7", "car", positions=lambda t: np.stack([20 + 0 * t, t - 5, 0 * t], axis=1), yaw=np.pi / 2,
        duration_s=10.0, rate_hz=10.0, sigma_m=0.01, rng=np.random.default_rng(0),
    )  # fmt: skip
    return Scene(stamps_s=STAMPS, tracks={"7": track}, T_world_camera=camera_poses(centres_m, yaw_rad), **fields)


def made(scene, config=CONFIG, seed=0):
    drops = Counter()
    return candidates(scene, config, seed, "a", drops=drops), drops


def all_dropped(drops, type_, reason):
    """Whether every question of a type that was tried was dropped for this reason, until the type was given up."""
    why = {r: n for (t, r), n in drops.items() if t == type_ and r != "repeated"}
    return set(why) == {reason} and why[reason] + drops[type_, "repeated"] == CONFIG.max_failures


def forward(speed):
    return np.stack([speed * STAMPS, 0 * STAMPS, 0 * STAMPS], axis=1)


def test_a_pure_rotation_moves_no_camera():
    found, drops = made(made_scene(np.array([3.0, 2.0, 1.0]), STAMPS / 10.0))
    types = {c.type for c in found}
    assert "camera_absolute_distance" not in types and "camera_relative_direction" not in types
    assert all_dropped(drops, "camera_absolute_distance", "too short a distance")
    assert all_dropped(drops, "camera_relative_direction", "no change")


@pytest.mark.parametrize(
    ("way", "word"), [((1, 0, 0), "Forward"), ((-1, 0, 0), "Backward"), ((0, 1, 0), "Left"), ((0, 0, 1), "Up")]
)
def test_a_step_of_a_camera_that_faces_another_way_than_the_world(way, word):
    """The camera faces the world's y axis."""
    R = tf.matrices_from_quaternions(tf.yaw_to_quaternion_xyzw(np.array([np.pi / 2])))[0]
    scene = made_scene(STAMPS[:, None] * (R @ np.array(way, float)), np.pi / 2)
    assert {c.answer for c in made(scene)[0] if c.type == "camera_relative_direction"} == {word}


def test_a_way_is_told_in_the_cameras_frame_at_the_start():
    """The camera goes along the world's x axis and turns to the left by 90 degrees in 10 s."""
    seen = set()
    for c in made(made_scene(forward(1.0), STAMPS * (np.pi / 20)))[0]:
        if c.type == "camera_relative_direction":
            turned = c.window[0] * 9.0  # degrees; what is ahead in the world comes to lie on the right
            assert (turned < 27 and c.answer == "Forward") or (turned > 63 and c.answer == "Right"), c.window
            seen.add(c.answer)
    assert seen == {"Forward", "Right"}


def test_poses_of_both_conventions_give_the_same_questions():
    scene = made_scene(forward(1.0), 0.1 * STAMPS)
    same = Scene.from_world_to_camera(
        T_camera_world=tf.invert(scene.T_world_camera), stamps_s=STAMPS, tracks=scene.tracks
    )
    found, again = made(scene)[0], made(same)[0]
    assert len(found) > 20 and [c.question for c in found] == [c.question for c in again]
    assert [c.answer for c in found] == [c.answer for c in again]


@pytest.mark.parametrize("seed", range(3))
def test_no_answer_depends_on_the_worlds_frame(seed):
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=4)
    R = tf.matrices_from_quaternions(axis / np.linalg.norm(axis))
    scene = made_scene(forward(1.5), 0.05 * STAMPS)
    found, moved = made(scene)[0], made(scene.transformed(tf.make_transform(R, rng.uniform(-50, 50, 3))))[0]
    assert len(found) > 20
    for a, b in zip(found, moved, strict=True):
        assert (a.question, a.labels) == (b.question, b.labels)
        assert a.value == pytest.approx(b.value, abs=1e-6)
        for name, points in a.spatial_states.items():
            assert np.array(points, float) == pytest.approx(
                np.array(b.spatial_states[name], float), abs=0.0011, nan_ok=True
            )


def test_metres_of_known_motion():
    """The camera goes 1 m/s forward, the car 1 m/s to the left, 20 m ahead of where the camera starts."""
    samples = STAMPS[np.round(np.linspace(0, 100, 32)).astype(int)]
    found, _ = made(made_scene(forward(1.0)))
    assert {c.type for c in found} >= set(NUMERIC)
    for c in found:
        (start, end), length = c.window, c.window[1] - c.window[0]
        assert start in samples and end in samples
        assert f"frame {int(np.flatnonzero(samples == end)[0]) + 1}" in c.question
        if c.type in ("camera_absolute_distance", "object_absolute_distance"):
            assert c.value == pytest.approx(length, abs=0.1)
            assert c.answer == f"{c.value:.1f} m" and c.unit == "m"
        camera, thing = c.spatial_states["camera_center"], c.spatial_states["object_center"]
        assert np.array(camera) == pytest.approx(np.array([[0, 0, start], [0, 0, end]]), abs=0.002)
        if thing is not None:  # x right, y down, z forward of the first frame
            assert np.array(thing) == pytest.approx(np.array([[5 - start, 0, 20], [5 - end, 0, 20]]), abs=0.1)
        if c.type == "object_camera_relative_direction_lateral":
            assert c.answer == "Left"
        assert c.type != "object_camera_relative_direction_depth"  # the car goes across


def test_without_scale_there_are_no_metres():
    found, drops = made(made_scene(forward(1.0), metric=False))
    assert found and not {c.type for c in found} & set(NUMERIC)
    assert all(c.value is None and c.spatial_states is None for c in found)
    assert all(all_dropped(drops, t, "NOT_METRIC") for t in NUMERIC)


SCENES = {
    "kitti": lambda: load_scene(shared("kitti_tracking"), sequence="0011"),
    "av2": lambda: load_scene(shared("av2") / "3b3570b4-7b0b-3268-a571-b0889dbf40b6"),
    "simulator": lambda: load_scene("sim:seed=1,duration=20,render=0"),
}


@pytest.mark.parametrize("source", SCENES)
def test_ask_gives_every_answer(source):
    scene = SCENES[source]()
    found, _ = made(scene)
    assert len(found) >= 60 and {c.type for c in found} == set(TYPES)
    rng = random.Random(0)
    for c in found:
        words = TASKS[c.type].words
        others = (
            [f"{c.value * f:.1f} m" for f in (0.5, 1.3, 1.6)]
            if words is None
            else sorted({*words.values()} - {c.answer})
        )
        options = [c.answer, *others[:3]]
        rng.shuffle(options)
        answer = ask(scene, Query.from_dict(c.query), choices=options)
        assert answer.declined is None and answer.choice == c.answer, (c.question, options, answer)
        assert c.value is None or answer.value == c.value


def test_a_seed_gives_the_same_questions():
    scene = made_scene(forward(1.0))
    assert made(scene)[0] == made(scene)[0]
    assert [c.question for c in made(scene)[0]] != [c.question for c in made(scene, seed=1)[0]]


def test_objects_too_far_away_are_left_out():
    found, drops = made(made_scene(forward(0.5)), replace(CONFIG, max_objects_m=10.0))
    assert {c.things for c in found} == {("camera",)}
    assert all_dropped(drops, "object_absolute_distance", "too far away")
