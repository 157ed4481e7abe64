"""TF frames as viewers: a frame that is the camera says what the camera says, from the scene to the bag."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import dsr_core
from dsr_core import Scene, cli
from dsr_core.errors import SceneError
from dsr_core.geometry import transforms as tf
from dsr_core.memory import MAX_FRAMES, MemoryConfig, SceneMemory
from dsr_core.sources.bag import Bag
from dsr_core.tracking.state import TrackSamples
from tests.bags import Messages, S, write_bag
from tests.data import shared
from tests.fakes import fake_scene, fake_track
from tests.test_sources_bag import CAMERA, in_order, robot

T_BODY = tf.make_transform(tf.R_BODY_OPTICAL, np.zeros(3))


@pytest.fixture
def scene():
    """A robot that drives; its camera's pose is known under two more names, with optical and with body axes."""
    scene = fake_scene(
        fake_track("1", "forklift", start=(20, 2, 0), velocity=(-2, 0, 0), duration_s=8, sigma_m=0.05, yaw=np.pi),
        fake_track("2", "person", start=(5, -3, 0), velocity=(0, 1, 0), duration_s=8, sigma_m=0.05, yaw=np.pi / 2),
        duration_s=8,
        ego_velocity=(0.5, 0.1, 0),
        ego_yaw=0.3,
    )
    frames = {"twin_optical_frame": scene.T_world_camera, "tool0": scene.T_world_camera @ tf.invert(T_BODY)}
    return replace(scene, frames=frames)


QUERIES = [
    {"kind": "distance", "subject": "forklift", "object": "WHO"},
    {"kind": "direction", "subject": "forklift", "object": "person", "viewpoint": {"agent": "WHO"}},
    {"kind": "direction", "subject": "forklift", "viewpoint": {"agent": "WHO", "mode": "absolute", "at": 1.0}},
    {"kind": "orientation", "subject": "forklift", "viewpoint": "WHO"},
    {"kind": "speed", "subject": "person", "viewpoint": "WHO"},
    {"kind": "speed_comparison", "subject": "forklift", "object": "person", "viewpoint": "WHO"},
    {"kind": "direction_prediction", "subject": "person", "viewpoint": "WHO"},
    {"kind": "motion", "subject": "WHO"},
    {"kind": "displacement", "subject": "WHO"},
    {"kind": "facing", "subject": "forklift", "object": "WHO"},
    {"kind": "direction", "subject": "the leftmost thing", "viewpoint": "WHO"},
]


def answers(scene, query, who):
    data = dsr_core.ask(scene, json.loads(json.dumps(query).replace("WHO", who))).to_dict()
    assert data["declined"] is None, data["declined"]
    for name in ("answer", "viewpoint"):
        data.pop(name)
    return data


@pytest.mark.parametrize("query", QUERIES, ids=json.dumps)
@pytest.mark.parametrize("frame", ["twin_optical_frame", "tool0"])
def test_a_frame_that_is_the_camera_says_what_the_camera_says(scene, query, frame):
    found, camera = answers(scene, query, f"frame:{frame}"), answers(scene, query, "camera")
    if frame == "twin_optical_frame":
        assert found == camera
    else:
        assert found["states"] == camera["states"] and found["value"] == pytest.approx(camera["value"], abs=1e-6)


@pytest.mark.parametrize("name", ["tool0", "frame:tool0", "frame:/tool0", "the frame tool0", "the tool0 frame"])
def test_names_of_frames(scene, name):
    answer = dsr_core.ask(scene, {"kind": "direction", "subject": "forklift", "viewpoint": name})
    assert answer.viewpoint["agent"] == "frame:tool0" and "frame tool0" in answer.answer


def test_a_question_in_words(scene):
    answer = dsr_core.ask(scene, "how far is the forklift from tool0?")
    assert answer.declined is None and "frame tool0" in answer.answer
    assert answer.value == pytest.approx(answers(scene, QUERIES[0], "camera")["value"])


def test_a_track_goes_before_a_frame_of_its_name(scene):
    named = replace(scene, frames={"1": scene.T_world_camera})
    assert dsr_core.ask(named, {"kind": "motion", "subject": "1"}).tracks == ("1",)
    assert dsr_core.ask(named, {"kind": "motion", "subject": "frame:1"}).tracks == ()


def test_a_frame_that_is_not_known_is_declined_with_those_that_are(scene):
    declined = dsr_core.ask(scene, {"kind": "distance", "subject": "forklift", "object": "frame:gripper"}).declined
    assert declined.code == "NO_POSE" and "gripper" in declined.message
    assert declined.candidates == ("frame:twin_optical_frame", "frame:tool0")
    assert dsr_core.ask(scene, {"kind": "motion", "subject": "gripper"}).declined.code == "NO_SUCH_OBJECT"
    unseen = replace(scene, frames={"gripper": np.full_like(scene.T_world_camera, np.nan)})
    assert dsr_core.ask(unseen, {"kind": "motion", "subject": "frame:gripper"}).declined.code == "NO_POSE"


def test_a_frame_known_for_a_part_of_the_time_counts_for_that_part(scene):
    T = scene.frames["twin_optical_frame"].copy()
    T[:30] = np.nan
    part = replace(scene, frames={"late_optical": T})
    answer = dsr_core.ask(part, {"kind": "distance", "subject": "forklift", "object": "frame:late_optical"})
    assert answer.window == pytest.approx((3.0, 8.0))
    before = {"kind": "distance", "subject": "forklift", "object": "frame:late_optical", "window": [0.5, 2.0]}
    assert dsr_core.ask(part, before).declined.code == "NOT_OBSERVED"


def test_until_scale_and_files_keep_frames(scene, tmp_path):
    assert scene.until(4.0).frames["tool0"].shape == (41, 4, 4)
    turned = scene.transformed(tf.make_transform(np.eye(3), np.array([1.0, 2.0, 3.0])), scale=2.0)
    assert np.allclose(turned.frames["tool0"], turned.T_world_camera @ tf.invert(T_BODY))
    holes = replace(scene, frames={**scene.frames, "a/b": np.full_like(scene.T_world_camera, np.nan)})
    loaded = Scene.load(holes.save(tmp_path / "frames.scene.npz"))
    assert list(loaded.frames) == ["twin_optical_frame", "tool0", "a/b"]
    for name, T in holes.frames.items():
        assert np.array_equal(loaded.frames[name], T, equal_nan=True)
    with pytest.raises(SceneError, match="'tool0'"):
        replace(scene, frames={"tool0": np.eye(4)})


def no_samples():
    from dsr_core.tracking.tracker import Tracker

    samples = Tracker().step(0.0, ())
    assert isinstance(samples, TrackSamples) and not len(samples)
    return samples


def test_the_memory_forgets_frames_as_it_forgets_the_rest():
    memory, none = SceneMemory(MemoryConfig(memory_s=2.0)), no_samples()
    for i in range(60):
        frames = {"always": np.eye(4)}
        if i % 2:
            frames["often"] = np.eye(4)
        if i < 5:
            frames["early"] = np.eye(4)
        memory.append(i * 100_000_000, none, np.eye(4), np.eye(4), T_world_frames=frames)
    scene = memory.scene()
    assert sorted(scene.frames) == ["always", "often"] and len(scene.stamps_s) == 21
    assert np.isfinite(scene.frames["always"]).all()
    assert np.isfinite(scene.frames["often"]).all(axis=(1, 2)).tolist() == [i % 2 == 1 for i in range(39, 60)]
    assert memory.scene(until=5.0).frames["always"].shape == (len(memory.scene(until=5.0).stamps_s), 4, 4)
    memory.append(6_000_000_000, none, np.eye(4), np.eye(4), T_world_frames={str(i): np.eye(4) for i in range(100)})
    assert len(memory.scene().frames) == MAX_FRAMES
    memory.clear()
    assert memory.scene().frames == {}


def test_a_frame_of_a_real_recording():
    scene = dsr_core.load_scene(shared("kitti_tracking"), sequence="0007")
    scene = replace(scene, frames={"left_color_optical_frame": scene.T_world_camera})
    track = max(scene.tracks.values(), key=len)
    for kind in ("distance", "direction", "speed"):
        query = {"kind": kind, "subject": track.id, "viewpoint": "WHO"}
        assert answers(scene, query, "frame:left_color_optical_frame") == answers(scene, query, "camera")


M, TIMES = Messages(), np.arange(50) / 10


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """A robot that drives along x; its gripper, which stops coming after 3 s, moves to its left."""
    grip = [
        ("/tf", stamp, M.tf(M.transform("base_link", "gripper", stamp, (0.5, 0.2 * t, 0.3))))
        for t in TIMES[:30]
        for stamp in [round((10 + t) * S)]
    ]
    cups = [
        ("/detections", stamp, M.detections(stamp, CAMERA, M.detection3d("cup", (0.0, 0.0, 5.0), id="5")))
        for t in TIMES
        for stamp in [round((10 + t) * S)]
    ]
    return write_bag(tmp_path_factory.mktemp("frames") / "gripper", in_order(robot(TIMES), cups, grip))


def test_a_bag_gives_the_frames_that_are_named(bag, caplog):
    assert Bag(bag).scene().frames == {}
    scene = Bag(bag, viewer_frames=["/gripper", "nowhere"]).scene()
    assert list(scene.frames) == ["gripper"]
    known = np.isfinite(scene.frames["gripper"]).all(axis=(1, 2))
    assert scene.stamps_s[known].max() == pytest.approx(3.0, abs=0.11) and len(scene.stamps_s) > 45
    places = scene.frames["gripper"][known][:, :3, 3]
    t = scene.stamps_s[known] + scene.origin_ns / 1e9 - 10.0
    inside = t < 2.95  # beyond the last pose the nearest is taken for a tenth of a second
    assert np.allclose(places[inside], np.column_stack([t + 0.5, 0.2 * t, 0.3 + 0 * t])[inside], atol=1e-6)
    assert "frames without a pose of 'nowhere'" in caplog.text


def test_frames_on_the_command_line(bag, capsys):
    words = ["ask", str(bag), "how far is the cup from gripper?", "--start", "1", "--end", "2", "--json"]
    assert cli.main([*words, "--frames", "gripper"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["value"] == pytest.approx(np.linalg.norm([5.0 - 0.5, -0.4, 1.0 - 0.3]), abs=0.05)
    assert cli.main([*words[:2], "--query", '{"kind": "motion", "subject": "frame:gripper"}', "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["declined"]["code"] == "NO_POSE"
