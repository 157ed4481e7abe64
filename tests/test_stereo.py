"""Stereo: rectification, matching and honest sigmas on rendered pairs; folders in the EuRoC layout; the real room."""

import cv2
import numpy as np
import pytest

from dsr_core.errors import GeometryError, SourceError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.geometry.lifting import DepthNoise
from dsr_core.perception.depth.sensor import SensorDepth
from dsr_core.perception.depth.stereo import SgbmMatcher, StereoDepth, StereoRig
from dsr_core.sources import open_source
from dsr_core.values import Frame
from tests.data import shared
from tests.rendered import at, render, room
from tests.static_scene import drift_of_static_things

SIZE = (320, 240)
K = np.array([[260.0, 0, 160], [0, 260.0, 120], [0, 0, 1]])
D = np.array([-0.28, 0.07, 0.0002, 0.0])
#: The right camera lies 0.12 m to the right, turned a little; its focal length differs, too: all is rectified away.
T_LEFT_RIGHT = at(0.12, 0.002, -0.003, turn=(0.01, -0.02, 0.015))


def cameras(distorted=True):
    return Camera(K, SIZE, D if distorted else ()), Camera(K * [[1.01], [1.01], [1]], SIZE, D if distorted else ())


def rig(distorted=True):
    return StereoRig(*cameras(distorted), tf.invert(T_LEFT_RIGHT))


def a_pair(distorted=True, T_world_left=None):
    T = at() if T_world_left is None else T_world_left
    return [render(c, T @ m, room())[0] for c, m in zip(cameras(distorted), (np.eye(4), T_LEFT_RIGHT), strict=True)]


@pytest.mark.parametrize("distorted", [False, True])
def test_depth_is_metric_and_its_sigma_covers_the_error(distorted):
    pair = rig(distorted)
    estimate = StereoDepth(pair)(*a_pair(distorted))
    _, truth_m = render(pair.camera, pair.T_left_rectified, room())
    assert estimate.metric and estimate.depth_m.dtype == np.float32
    known = np.isfinite(estimate.depth_m)
    assert known.mean() > 0.6
    error = (estimate.depth_m - truth_m)[known]
    assert np.abs(np.median(error / truth_m[known])) < 0.005
    assert np.mean(np.abs(error) > 0.1 * truth_m[known]) < 0.03
    z = np.abs(error) / estimate.sigma_m[known]
    assert np.mean(z < 1) > 0.6 and np.mean(z < 3) > 0.94


def test_sigma_grows_with_the_square_of_the_distance():
    pair = rig()
    noise = StereoDepth(pair, disparity_sigma_px=0.4).noise
    expected = 0.4 * 9.0 / (pair.camera.K[0, 0] * pair.baseline_m)
    assert noise.sigma_m(3.0) == pytest.approx(expected, rel=0.01)
    assert noise.sigma_m(6.0) == pytest.approx(4 * expected, rel=0.01)
    assert pair.baseline_m == pytest.approx(np.linalg.norm(T_LEFT_RIGHT[:3, 3]), rel=1e-6)


def test_what_one_camera_alone_sees_has_no_depth():
    pair = rig(False)
    _, truth_m = render(pair.camera, pair.T_left_rectified, room())
    depth_m = StereoDepth(pair)(*a_pair(False)).depth_m
    # Left of the poster the wall is hidden from the right camera, for (1/2.5 - 1/5) f b pixels.
    row = truth_m[120]
    edge = int(np.flatnonzero(np.diff(row) < -1.5)[0]) + 1
    hidden = int((1 / 2.5 - 1 / row[edge - 2]) * pair.camera.K[0, 0] * pair.baseline_m)
    strip = depth_m[100:140, edge - hidden + 1 : edge - 1]
    wrong = np.abs(strip - truth_m[100:140, edge - hidden + 1 : edge - 1]) > 0.5
    assert hidden > 4 and (np.isnan(strip) | wrong).mean() > 0.5
    unchecked = SgbmMatcher(left_right_px=1e9)
    loose = StereoDepth(pair, unchecked)(*a_pair(False)).depth_m
    assert np.isfinite(strip).mean() < np.isfinite(loose[100:140, edge - hidden + 1 : edge - 1]).mean()


def test_another_matcher_can_be_used():
    pair = rig()
    depth_m = StereoDepth(pair, lambda left, right: np.full(left.shape, 10.0, np.float32))(*a_pair()).depth_m
    assert depth_m[5, 5] == pytest.approx(pair.camera.K[0, 0] * pair.baseline_m / 10, rel=1e-6)
    far = StereoDepth(pair, lambda left, right: np.full(left.shape, 0.5, np.float32))(*a_pair()).depth_m
    assert np.isnan(far).all()  # half a pixel of disparity with 0.3 px of sigma is no depth


def test_a_wrong_calibration_is_said():
    left, right = cameras()
    with pytest.raises(GeometryError, match="swap the cameras"):
        StereoRig(left, right, T_LEFT_RIGHT)
    with pytest.raises(GeometryError, match="alike"):
        StereoRig(left, Camera(K, (640, 480)), tf.invert(T_LEFT_RIGHT))
    with pytest.raises(GeometryError, match="does not fit to the calibration"):
        StereoDepth(rig())(np.zeros((480, 640), np.uint8), np.zeros((480, 640), np.uint8))
    for bad in ({"max_disparity_px": 50}, {"block_px": 4}):
        with pytest.raises(GeometryError):
            SgbmMatcher(**bad)


def test_a_sensors_depth_is_taken_within_its_range():
    depth_m = np.array([[0.05, 1.0, np.nan, 100.0]], np.float32)
    estimate = SensorDepth(DepthNoise(0.01, 0.002))(Frame(0, depth_m=depth_m))
    assert np.isnan(estimate.depth_m).tolist() == [[True, False, True, True]]
    assert estimate.sigma_m[0, 1] == pytest.approx(0.012) and np.isnan(estimate.sigma_m[0, 2])
    assert estimate.metric
    with pytest.raises(GeometryError, match="no depth image"):
        SensorDepth()(Frame(7))


def sensor_yaml(camera, T_body_camera, model="radial-tangential"):
    fu, fv, cu, cv = camera.K[0, 0], camera.K[1, 1], camera.K[0, 2], camera.K[1, 2]
    data = ", ".join(str(v) for v in T_body_camera.ravel())
    return (
        f"%YAML:1.0\nsensor_type: camera\nT_BS:\n  cols: 4\n  rows: 4\n  data: [{data}]\nresolution: {list(SIZE)}\n"
        f"camera_model: pinhole\nintrinsics: [{fu}, {fv}, {cu}, {cv}]\ndistortion_model: {model}\n"
        f"distortion_coefficients: {D.tolist()}\n"
    )


#: The body: x up, y right, z forward, the left camera 5 cm above it.
T_BODY_CAMERA = tf.make_transform(np.array([[0, -1.0, 0], [1, 0, 0], [0, 0, 1]]), np.array([0.05, 0, 0]))
START_NS = 1_403_715_274_312_143_104


def write_folder(folder, frames=3, truth=True, model="radial-tangential"):
    """A rig that moves to the right by 0.04 m a frame at 10 Hz."""
    lines = ["#timestamp, p, q w x y z"]
    for i in range(frames):
        T_world_left = at(0.04 * i)
        stamp = START_NS + i * 100_000_000
        for side, picture in enumerate(a_pair(T_world_left=T_world_left)):
            (folder / f"cam{side}" / "data").mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f"cam{side}" / "data" / f"{stamp}.png"), picture[:, :, 0])
        T_world_body = T_world_left @ tf.invert(T_BODY_CAMERA)
        x, y, z, w = tf.quaternions_from_matrices(T_world_body[:3, :3])
        lines.append(
            " ".join(f"{v:.9f}" for v in (stamp, *T_world_body[:3, 3], w, x, y, z)).replace(
                f"{stamp:.9f}", f"{stamp}.0"
            )
        )
    left, right = cameras()
    (folder / "cam0" / "sensor.yaml").write_text(sensor_yaml(left, T_BODY_CAMERA, model))
    (folder / "cam1" / "sensor.yaml").write_text(sensor_yaml(right, T_BODY_CAMERA @ T_LEFT_RIGHT))
    if truth:
        (folder / "groundtruth.txt").write_text("\n".join(lines))
    return folder


def test_a_folder_is_recognised_and_its_frames_are_right(tmp_path):
    source = open_source(write_folder(tmp_path / "f"), T_base_camera=tf.make_transform(tf.R_BODY_OPTICAL, np.zeros(3)))
    frames = list(source.frames())
    assert len(source) == 3 and source.poses == "recorded"
    assert [f.stamp_ns for f in frames] == [START_NS + i * 100_000_000 for i in range(3)]
    turn = source.rig.T_left_rectified
    np.testing.assert_allclose(frames[2].T_world_camera, at(0.08) @ turn, atol=1e-6)
    # The robot looks along the world's z, whatever rectification turned the picture by.
    np.testing.assert_allclose(frames[2].T_world_base[:3, 0], [0, 0, 1], atol=1e-6)
    assert "rgb" not in frames[0].__dict__ and "depth_m" not in frames[0].__dict__
    _, truth_m = render(frames[1].camera, frames[1].T_world_camera, room())
    error = np.abs(frames[1].depth_m - truth_m) / truth_m
    assert np.nanmedian(error) < 0.04 and frames[1].rgb.shape == (240, 320, 3)
    assert source.lift_config().depth.noise == source.depth.noise


def test_mav0_and_images_without_a_partner(tmp_path):
    write_folder(tmp_path / "f" / "mav0")
    (tmp_path / "f" / "mav0" / "cam1" / "data" / f"{START_NS}.png").unlink()
    source = open_source(tmp_path / "f")
    assert len(source) == 2 and source.skipped == {"images of cam0 without one of cam1": 1}


def test_without_recorded_poses_they_are_seen(tmp_path):
    source = open_source(write_folder(tmp_path / "f", frames=4, truth=False))
    assert source.poses == "visual"
    poses = np.array([f.T_world_camera for f in source.frames()])
    # 0.04 m a frame to the right, which is -y of the first camera's body.
    np.testing.assert_allclose(poses[-1][:3, 3] - poses[0][:3, 3], [0, -0.12, 0], atol=0.01)
    assert all(f.T_world_camera is None for f in open_source(tmp_path / "f", poses="none").frames())
    with pytest.raises(SourceError, match="visual"):
        open_source(tmp_path / "f", poses="recorded")


def test_poses_far_from_an_image_are_not_used(tmp_path):
    folder = write_folder(tmp_path / "f")
    lines = (folder / "groundtruth.txt").read_text().splitlines()
    (folder / "groundtruth.txt").write_text(lines[1])
    known = [f.T_world_camera is not None for f in open_source(folder).frames()]
    assert known == [True, True, False]


def test_damage_is_named(tmp_path):
    folder = write_folder(tmp_path / "f", frames=1)
    (folder / "cam0" / "data" / f"{START_NS}.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=f"{START_NS}.png"):
        next(iter(open_source(folder).frames())).rgb  # noqa: B018
    (folder / "cam0" / "sensor.yaml").write_text("T_BS: 5")
    with pytest.raises(SourceError, match=r"cam0/sensor\.yaml"):
        open_source(folder)
    folder = write_folder(tmp_path / "g", frames=1, model="double-sphere")
    with pytest.raises(SourceError, match="double-sphere"):
        open_source(folder)
    (folder / "cam0" / "sensor.yaml").write_text(sensor_yaml(cameras()[0], T_BODY_CAMERA))
    (folder / "groundtruth.txt").write_text("1 2 3")
    with pytest.raises(SourceError, match="line 1"):
        open_source(folder)


def test_the_real_room_stays_put():
    source = open_source(shared("euroc_stereo"))
    assert len(source) == 40
    found = drift_of_static_things(source)
    assert found.things >= 15
    assert found.median_drift_m < 0.05 and found.median_relative_drift < 0.02
    judged, moving = found.judge_motion()
    assert judged >= 10 and not moving
