"""RGB-D folders: a made-up one with known motion, and the real kitchen."""

import json

import cv2
import numpy as np
import pytest

from dsr_core.errors import SourceError
from dsr_core.geometry import transforms as tf
from dsr_core.sources import open_source
from tests.data import shared

K = np.array([[100.0, 0, 32], [0, 100.0, 24], [0, 0, 1]])


def write_folder(folder, frames=5):
    """A camera moving along its x axis by 0.1 m a frame, 2 m in front of a wall, a box of 1.5 m depth before it."""
    folder.mkdir()
    np.savetxt(folder / "camera-intrinsics.txt", K)
    for i in range(frames):
        depth = np.full((48, 64), 2000, np.uint16)
        # The thing is 0.3 m wide: 20 pixels; it moves to the left in the image by 100 * 0.1 / 1.5 pixels a frame.
        x = round(40 - i * 100 * 0.1 / 1.5)
        depth[14:34, x : x + 20] = 1500
        depth[0, 0], depth[0, 1] = 0, 65535
        cv2.imwrite(str(folder / f"frame-{i:06d}.depth.png"), depth)
        cv2.imwrite(str(folder / f"frame-{i:06d}.color.png"), np.full((48, 64, 3), (10 * i, 0, 200), np.uint8))
        T = np.eye(4)
        T[0, 3] = 0.1 * i
        np.savetxt(folder / f"frame-{i:06d}.pose.txt", T)
    boxes = [
        [{"label": "box", "box": [round(40 - i * 100 * 0.1 / 1.5), 14, round(40 - i * 100 * 0.1 / 1.5) + 20, 34]}]
        for i in range(frames)
    ]
    (folder.parent / "boxes.json").write_text(json.dumps(boxes))
    return folder


def test_frames_are_as_written(tmp_path):
    frames = list(open_source(write_folder(tmp_path / "f")).frames())
    assert [f.stamp_ns for f in frames] == [0, 33333333, 66666667, 100000000, 133333333]
    assert frames[2].T_world_camera[0, 3] == pytest.approx(0.2)
    assert np.isnan(frames[0].depth_m[0, :2]).all() and frames[0].depth_m[5, 5] == 2.0
    assert frames[3].rgb[0, 0].tolist() == [200, 0, 30]
    assert frames[0].T_world_base is None
    assert frames[0].camera.image_size == (64, 48)


def test_boxes_are_lifted_to_one_place(tmp_path):
    source = open_source(write_folder(tmp_path / "f"), detections=tmp_path / "boxes.json")
    seen = [o for f in source.observations() for o in f.observations]
    assert [o.label for o in seen] == ["box"] * 5
    places = np.array([o.position_world_m for o in seen])
    # The camera moved by 0.4 m; the flat front is lifted to the middle of a thing as deep as it is wide, 10 % farther.
    assert np.ptp(places, axis=0).max() < 0.06
    assert 1.5 < places[0, 2] < 1.75
    slow = open_source(tmp_path / "f", detections=tmp_path / "boxes.json", rate_hz=5.0)
    assert [t.label for t in slow.scene().tracks.values()] == ["box"]


def test_world_to_camera_poses_lead_to_the_same_frames(tmp_path):
    there = open_source(write_folder(tmp_path / "f"))
    for i in range(5):
        path = tmp_path / "f" / f"frame-{i:06d}.pose.txt"
        expected = there.pose(f"{i:06d}")
        np.savetxt(path, np.linalg.inv(np.loadtxt(path)))
        got = open_source(tmp_path / "f", poses="world_to_camera").pose(f"{i:06d}")
        np.testing.assert_allclose(got, expected, atol=1e-12)


def test_a_mount_gives_the_robots_pose(tmp_path):
    T_base_camera = tf.make_transform(tf.R_BODY_OPTICAL, np.array([0.2, 0.0, 1.0]))
    frame = next(open_source(write_folder(tmp_path / "f"), T_base_camera=T_base_camera).frames())
    np.testing.assert_allclose(frame.T_world_base @ T_base_camera, frame.T_world_camera, atol=1e-12)


def test_bad_folders_are_told(tmp_path):
    folder = write_folder(tmp_path / "f")
    with pytest.raises(SourceError, match="camera_to_world, world_to_camera, visual or none"):
        open_source(folder, poses="both")
    with pytest.raises(SourceError, match="has no option wrong"):
        open_source(folder, wrong=1)
    pose = folder / "frame-000001.pose.txt"
    pose.write_text("nan " * 16)
    with pytest.raises(SourceError, match=r"frame-000001.pose.txt.*not finite"):
        list(open_source(folder).frames())
    pose.write_text("1 0 0")
    with pytest.raises(SourceError, match=r"frame-000001.pose.txt holds 3 numbers"):
        list(open_source(folder).frames())
    np.savetxt(pose, 2 * np.eye(4))
    with pytest.raises(SourceError, match=r"frame-000001.pose.txt is not rigid"):
        list(open_source(folder).frames())
    np.savetxt(pose, np.eye(4))
    (folder / "frame-000002.depth.png").write_bytes(b"no png")
    with pytest.raises(SourceError, match=r"frame-000002.depth.png cannot be decoded"):
        list(open_source(folder).frames())
    pose.unlink()
    with pytest.raises(SourceError, match=r"frame-000001.pose.txt is missing"):
        list(open_source(folder).frames())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("3", "must hold a list"),
        ('[[{"label": "a"}]]', "frame 0: KeyError"),
        ('{"4": [{"label": "a", "box": [1]}]}', "frame 4.*not x1"),
    ],
)
def test_bad_detection_files_are_told(tmp_path, text, message):
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(SourceError, match=message):
        open_source(write_folder(tmp_path / "f"), detections=tmp_path / "d.json")


def test_depth_without_one_valid_pixel_places_nothing(tmp_path):
    folder = write_folder(tmp_path / "f")
    for path in folder.glob("*.depth.png"):
        cv2.imwrite(str(path), np.zeros((48, 64), np.uint16))
    source = open_source(folder, detections=tmp_path / "boxes.json")
    scene = source.scene()
    assert not scene.tracks and len(scene.stamps_s) == 5
    assert source.dropped == {"too_few_depth_pixels": 5}


def test_real_kitchen():
    source = open_source(shared("seven_scenes_redkitchen"))
    assert len(source) == 200
    frames = source.frames()
    first = next(frames)
    assert first.rgb.shape == (480, 640, 3) and first.depth_m.shape == (480, 640)
    assert 0.5 < np.nanmedian(first.depth_m) < 5
    second = next(frames)
    assert np.linalg.norm(second.T_world_camera[:3, 3] - first.T_world_camera[:3, 3]) < 0.05
