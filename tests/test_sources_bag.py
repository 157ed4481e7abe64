"""ROS 2 bags: what is read, how it is put together, and what is said about bad ones."""

import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest

from dsr_core.errors import SourceError
from dsr_core.geometry import transforms as tf
from dsr_core.sources import open_source
from dsr_core.sources.ros_types import typestore
from tests.bags import Messages, S, write_bag
from tests.data import shared

M = Messages()
K = np.array([[100.0, 0, 32], [0, 100.0, 24], [0, 0, 1]])
OPTICAL_XYZW = tf.quaternions_from_matrices(tf.R_BODY_OPTICAL)
CAMERA = "camera_optical_frame"


def robot(stamps_s, world="odom", base="base_link", camera=CAMERA):
    """TF of a robot that drives along x at 1 m/s with a camera 1 m above its base."""
    yield "/tf_static", 10 * S, M.tf(M.transform(base, camera, 0, (0, 0, 1), OPTICAL_XYZW))
    for t in stamps_s:
        yield "/tf", round((10 + t) * S), M.tf(M.transform(world, base, round((10 + t) * S), (t, 0, 0)))


def boxes3d(stamps_s, frame=CAMERA, at=(0.0, 0.0, 5.0)):
    """A thing 5 m in front of the camera, seen at each stamp."""
    for t in stamps_s:
        stamp = round((10 + t) * S)
        yield "/detections", stamp, M.detections(stamp, frame, M.detection3d("cup", at))


def rgbd(stamps_s, depth_mm=2000, encoding="16UC1", camera=CAMERA, info=True, depth_late_s=0.0):
    for t in stamps_s:
        stamp = round((10 + t) * S)
        late = stamp + round(depth_late_s * S)
        if info:
            yield "/camera/color/camera_info", stamp, M.camera_info(stamp, camera, K, (64, 48))
        picture = np.full((48, 64, 3), 7, np.uint8)
        yield "/camera/color/image_raw", stamp, M.image(stamp, camera, picture, "rgb8")
        depth = np.full((48, 64), depth_mm, np.uint16)
        yield "/camera/depth/image_raw", late, M.image(late, camera, depth, encoding)
        yield "/detections", stamp + S // 20, M.detections(stamp, camera, M.detection2d("cup", (22, 14, 42, 34)))


def in_order(*streams):
    return sorted((entry for stream in streams for entry in stream), key=lambda e: e[1])


def places(source):
    return np.array([[o.position_world_m for o in f.observations] for f in source.observations()])


TIMES = np.arange(10) / 10


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("compression", [None, "file", "message"])
def test_storages_and_compressions_give_the_same(tmp_path, storage, compression):
    write_bag(tmp_path / "b", in_order(robot(TIMES), boxes3d(TIMES)), storage, compression)
    source = open_source(tmp_path / "b")
    assert len(source) == 10
    got = places(source)
    np.testing.assert_allclose(got[:, 0], np.stack([TIMES + 5, 0 * TIMES, 0 * TIMES + 1], 1), atol=1e-12)
    frame = next(source.frames())
    np.testing.assert_allclose(frame.T_world_base[:3, 3], 0, atol=1e-12)
    assert frame.stamp_ns == 10 * S and source.world_frame == "odom"


def test_a_single_file_and_a_folder_without_metadata(tmp_path, caplog):
    write_bag(tmp_path / "b", in_order(robot(TIMES), boxes3d(TIMES)))
    assert places(open_source(tmp_path / "b" / "b.mcap")).shape == (10, 1, 3)
    (tmp_path / "b" / "metadata.yaml").unlink()
    with caplog.at_level(logging.WARNING):
        assert places(open_source(tmp_path / "b")).shape == (10, 1, 3)
    assert "no metadata.yaml" in caplog.text


def test_split_files_are_read_as_one(tmp_path):
    entries = in_order(robot(TIMES), boxes3d(TIMES))
    write_bag(tmp_path / "all", [e for e in entries if e[1] <= 10.45 * S])
    write_bag(tmp_path / "part2", [e for e in entries if e[1] > 10.45 * S])
    (tmp_path / "part2" / "part2.mcap").rename(tmp_path / "all" / "part2.mcap")
    metadata = tmp_path / "all" / "metadata.yaml"
    text = metadata.read_text().replace("  - all.mcap\n", "  - all.mcap\n  - part2.mcap\n")
    metadata.write_text(text)
    # The topic of the static mount is in the first file alone, its definition must serve both.
    np.testing.assert_allclose(places(open_source(tmp_path / "all"))[:, 0, 0], TIMES + 5, atol=1e-12)


def test_depth_lifts_boxes_and_the_nearest_image_is_taken(tmp_path):
    write_bag(tmp_path / "b", in_order(robot(TIMES), rgbd(TIMES, depth_late_s=0.004)))
    source = open_source(tmp_path / "b")
    frames = list(source.frames())
    assert len(frames) == 10 and not source.skipped
    assert frames[0].depth_m[3, 3] == 2.0 and frames[0].rgb[0, 0].tolist() == [7, 7, 7]
    got = places(source)[:, 0]
    assert ((got[:, 0] - TIMES > 2.0) & (got[:, 0] - TIMES < 2.4)).all()
    late = open_source(tmp_path / "b", pair_tolerance_s=0.001)
    assert [f.depth_m is None for f in late.frames()] == [True] * 10
    assert any("without a depth image within 0.001 s" in reason for reason in late.skipped)


def test_frames_are_the_same_in_whatever_order_messages_were_recorded(tmp_path):
    entries = in_order(robot(TIMES), rgbd(TIMES))
    write_bag(tmp_path / "a", entries)
    rng = np.random.default_rng(3)
    # Each message is recorded up to 0.2 s late, every topic in its own order.
    late = {topic: rng.uniform(0, 0.2) for topic in ("/tf", "/detections", "/camera/depth/image_raw")}
    moved = [(topic, at + round(late.get(topic, 0) * S), message) for topic, at, message in entries]
    write_bag(tmp_path / "b", sorted(moved, key=lambda e: e[1]))
    a, b = open_source(tmp_path / "a"), open_source(tmp_path / "b")
    assert np.array_equal(places(a), places(b))
    assert [f.stamp_ns for f in a.frames()] == [f.stamp_ns for f in b.frames()]


def test_tf_between_two_poses_is_interpolated_at_the_stamp(tmp_path):
    write_bag(tmp_path / "b", in_order(robot([0.0, 0.5, 1.0]), boxes3d([0.3, 0.7])))
    np.testing.assert_allclose(places(open_source(tmp_path / "b"))[:, 0, 0], [5.3, 5.7], atol=1e-9)


def test_detections_in_another_frame_are_moved_to_the_camera(tmp_path):
    write_bag(tmp_path / "b", in_order(robot(TIMES), boxes3d(TIMES, "base_link", (5.0, 0.0, 1.0))))
    source = open_source(tmp_path / "b")
    np.testing.assert_allclose(places(source)[:, 0], np.stack([TIMES + 5, 0 * TIMES, 0 * TIMES + 1], 1), atol=1e-12)
    # No camera is known: a virtual one at the base looks forward.
    np.testing.assert_allclose(next(source.frames()).T_world_camera[:3, :3], tf.R_BODY_OPTICAL, atol=1e-12)


def test_odometry_stands_in_for_missing_tf(tmp_path, caplog):
    static = [("/tf_static", 10 * S, M.tf(M.transform("base_link", CAMERA, 0, (0, 0, 1), OPTICAL_XYZW)))]
    odometry = [
        ("/odom", round((10 + t) * S), M.odometry("odom", "base_link", round((10 + t) * S), (t, 0, 0))) for t in TIMES
    ]
    write_bag(tmp_path / "b", in_order(static, odometry, boxes3d(TIMES)))
    with caplog.at_level(logging.WARNING):
        got = places(open_source(tmp_path / "b"))
    np.testing.assert_allclose(got[:, 0, 0], TIMES + 5, atol=1e-12)
    assert "odometry is used" in caplog.text


def test_the_world_falls_back_to_map_and_says_so(tmp_path, caplog):
    write_bag(tmp_path / "b", in_order(robot(TIMES, world="map", base="base_footprint"), boxes3d(TIMES)))
    source = open_source(tmp_path / "b")
    with caplog.at_level(logging.WARNING):
        scene = source.scene()
    assert scene.world_frame == "map" and len(scene.tracks) == 1
    assert "'odom' is in no transform; 'map' is used" in caplog.text


def test_a_looped_recording_clears_the_memory(tmp_path, caplog):
    times = np.arange(30) / 10
    once = in_order(robot(times), boxes3d(times))
    write_bag(tmp_path / "once", once)
    write_bag(tmp_path / "twice", once + [(topic, at + 4 * S, message) for topic, at, message in once])
    with caplog.at_level(logging.WARNING):
        twice = open_source(tmp_path / "twice").scene()
    assert "the memory is cleared" in caplog.text
    first = open_source(tmp_path / "once").scene()
    assert np.array_equal(twice.stamps_s, first.stamps_s)
    for a, b in zip(first.tracks.values(), twice.tracks.values(), strict=True):
        assert np.array_equal(a.positions_world_m, b.positions_world_m)


def test_types_come_from_the_bag_itself(tmp_path):
    """A recording of an older release, whose Detection had other fields, is read by its own definitions."""
    folder = Path(__file__).resolve().parents[1] / "msg"
    old = {f"dsr_ros/msg/{n}": (folder / f"{n}.msg").read_text() for n in ("Detection", "DetectionArray")}
    old["dsr_ros/msg/Detection"] = "string extra\n" + old["dsr_ros/msg/Detection"]
    messages = Messages(old)
    entries = in_order(robot(TIMES))
    for t in TIMES:
        stamp = round((10 + t) * S)
        array = messages.detections(stamp, CAMERA, messages.detection3d("cup", (0, 0, 5), extra="x"))
        entries.append(("/detections", stamp, array))
    write_bag(tmp_path / "b", sorted(entries, key=lambda e: e[1]), store=messages.store)
    np.testing.assert_allclose(places(open_source(tmp_path / "b"))[:, 0, 0], TIMES + 5, atol=1e-12)


VISION_MSGS = {
    "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score",
    "vision_msgs/msg/ObjectHypothesisWithPose": (
        "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose"
    ),
    "vision_msgs/msg/Point2D": "float64 x\nfloat64 y",
    "vision_msgs/msg/Pose2D": "vision_msgs/Point2D position\nfloat64 theta",
    "vision_msgs/msg/BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "vision_msgs/msg/BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size",
    "vision_msgs/msg/Detection2D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
        "vision_msgs/BoundingBox2D bbox\nstring id"
    ),
    "vision_msgs/msg/Detection3D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
        "vision_msgs/BoundingBox3D bbox\nstring id"
    ),
    "vision_msgs/msg/Detection2DArray": "std_msgs/Header header\nvision_msgs/Detection2D[] detections",
    "vision_msgs/msg/Detection3DArray": "std_msgs/Header header\nvision_msgs/Detection3D[] detections",
}


@pytest.mark.parametrize("dimensions", [2, 3])
def test_vision_msgs_are_read_by_the_bags_definitions(tmp_path, dimensions):
    v = Messages(VISION_MSGS)

    def guess(label, score):
        hypothesis = v.make("vision_msgs/msg/ObjectHypothesis", class_id=label, score=score)
        pose = v.make("geometry_msgs/msg/PoseWithCovariance", covariance=np.zeros(36))
        return v.make("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=hypothesis, pose=pose)

    entries = [e for e in in_order(robot(TIMES), rgbd(TIMES)) if e[0] != "/detections"]
    for t in TIMES:
        stamp = round((10 + t) * S)
        if dimensions == 2:
            centre = v.make("vision_msgs/msg/Pose2D", position=v.make("vision_msgs/msg/Point2D", x=32.0, y=24.0))
            box = v.make("vision_msgs/msg/BoundingBox2D", center=centre, size_x=20.0, size_y=20.0)
        else:
            centre = v.make("geometry_msgs/msg/Pose", position=v.make("geometry_msgs/msg/Point", z=2.1))
            box = v.make("vision_msgs/msg/BoundingBox3D", center=centre)
        results = [guess("plate", 0.2), guess("cup", 0.7)]
        thing = v.make(f"vision_msgs/msg/Detection{dimensions}D", results=results, bbox=box, id="7")
        array = f"vision_msgs/msg/Detection{dimensions}DArray"
        entries.append(("/yolo", stamp, v.make(array, header=v.header(stamp, CAMERA), detections=[thing])))
    write_bag(tmp_path / "b", sorted(entries, key=lambda e: e[1]), store=v.store)
    source = open_source(tmp_path / "b")
    seen = [o for f in source.observations() for o in f.observations]
    assert {(o.label, o.score, o.id) for o in seen} == {("cup", 0.7, "7")} and len(seen) == 10
    assert abs(seen[0].position_world_m[0] - 2.1) < 0.2


# --- bad input


def test_a_truncated_mcap_gives_its_whole_part(tmp_path, caplog):
    times = np.arange(4000) / 10
    write_bag(tmp_path / "b", in_order(robot(times), boxes3d(times)))
    file = tmp_path / "b" / "b.mcap"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * 2 // 3])
    with caplog.at_level(logging.WARNING):
        got = places(open_source(tmp_path / "b"))
    assert "is cut off" in caplog.text
    assert 1000 < len(got) < 4000
    np.testing.assert_allclose(got[:, 0, 0], times[: len(got)] + 5, atol=1e-9)


@pytest.mark.parametrize("keep", [0, 5, 20, 200])
@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_cut_to_nothing_is_told(tmp_path, storage, keep):
    write_bag(tmp_path / "b", in_order(robot(TIMES), boxes3d(TIMES)), storage)
    file = next(p for p in (tmp_path / "b").iterdir() if p.suffix in (".mcap", ".db3"))
    file.write_bytes(file.read_bytes()[:keep])
    for path in (tmp_path / "b", file):
        with pytest.raises(SourceError):
            open_source(path).scene()


def test_a_truncated_sqlite_bag_is_told(tmp_path):
    times = np.arange(3000) / 10
    write_bag(tmp_path / "b", in_order(robot(times), boxes3d(times)), "sqlite3")
    file = tmp_path / "b" / "b.db3"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(SourceError, match=r"cannot be read as a bag|is damaged"):
        open_source(tmp_path / "b").scene()


def test_boxes_without_camera_info_are_told_with_the_topics(tmp_path):
    write_bag(tmp_path / "b", in_order(robot(TIMES), rgbd(TIMES, info=False)))
    with pytest.raises(SourceError, match=r"no camera_info .*topics there: .*/camera/depth/image_raw .*info_topic"):
        open_source(tmp_path / "b").scene()


def test_boxes_without_depth_are_told(tmp_path):
    entries = [e for e in in_order(robot(TIMES), rgbd(TIMES)) if "depth" not in e[0]]
    write_bag(tmp_path / "b", entries)
    with pytest.raises(SourceError, match=r"no depth image .*depth_topic"):
        open_source(tmp_path / "b").scene()


def test_an_uncalibrated_camera_is_told(tmp_path):
    entries = [e for e in in_order(robot(TIMES), rgbd(TIMES, info=False))]
    zeros = ("/camera/color/camera_info", 10 * S, M.camera_info(10 * S, CAMERA, np.zeros((3, 3)), (64, 48)))
    write_bag(tmp_path / "b", [zeros, *entries])
    with pytest.raises(SourceError, match=r"camera_info.*calibrate it"):
        open_source(tmp_path / "b").scene()


def test_an_unknown_depth_encoding_is_told(tmp_path):
    write_bag(tmp_path / "b", in_order(robot(TIMES), rgbd(TIMES, encoding="Z16Y8")))
    with pytest.raises(SourceError, match="'Z16Y8' is not known; publish one of"):
        open_source(tmp_path / "b").scene()


def test_depth_that_is_nan_everywhere_places_nothing(tmp_path):
    entries = []
    for topic, at, message in in_order(robot(TIMES), rgbd(TIMES)):
        if "depth" in topic:
            message = M.image(at, CAMERA, np.full((48, 64), np.nan, np.float32), "32FC1")
        entries.append((topic, at, message))
    source = open_source(write_bag(tmp_path / "b", entries))
    scene = source.scene()
    assert len(scene.stamps_s) == 10 and not scene.tracks
    assert source.dropped == {"too_few_depth_pixels": 10}


def test_zero_stamps_are_counted_and_told(tmp_path):
    entries = list(robot(TIMES))
    entries += [("/detections", 10 * S + i, M.detections(0, CAMERA, M.detection3d("cup", (0, 0, 5)))) for i in range(4)]
    source = open_source(write_bag(tmp_path / "b", sorted(entries, key=lambda e: e[1])))
    with pytest.raises(SourceError, match=r"no frame could be used: 4 x detections messages with stamp zero"):
        source.scene()


def test_missing_tf_is_told(tmp_path):
    write_bag(tmp_path / "b", in_order(robot([0.0, 0.1]), boxes3d(TIMES)))
    source = open_source(tmp_path / "b")
    scene = source.scene()
    assert len(scene.stamps_s) == 3
    assert any("ExtrapolationIntoFuture: 'odom' -> 'base_link'" in reason for reason in source.skipped)
    write_bag(tmp_path / "none", list(boxes3d(TIMES)))
    with pytest.raises(SourceError, match=r"no transform mentions|in no transform"):
        open_source(tmp_path / "none").scene()


def test_a_bag_of_nothing_useful_is_told(tmp_path):
    text = M.make("std_msgs/msg/String", data="hello")
    write_bag(tmp_path / "b", [("/chatter", S, text)])
    with pytest.raises(SourceError, match=r"topics there: /chatter \(std_msgs/msg/String\)"):
        open_source(tmp_path / "b")
    write_bag(tmp_path / "c", in_order(robot(TIMES), boxes3d(TIMES)))
    with pytest.raises(SourceError, match="no messages on detections_topic='/yolo'"):
        open_source(tmp_path / "c", detections_topic="/yolo")


def test_what_is_no_recording_is_told(tmp_path):
    with pytest.raises(SourceError, match="does not exist"):
        open_source(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SourceError, match=r"holds notes.txt.*looked for: .*metadata.yaml"):
        open_source(tmp_path)
    with pytest.raises(SourceError, match=r"a .txt file"):
        open_source(tmp_path / "notes.txt")


# --- types and real recordings


def test_type_hashes_are_those_of_rosidl():
    folder = Path(sys.prefix) / "share" / "dsr_ros" / "msg"
    files = sorted(folder.glob("*.json"))
    if not files:
        pytest.skip(f"the interfaces are not built in {folder}")
    for path in files:
        name = f"dsr_ros/msg/{path.stem}"
        hashes = {h["type_name"]: h["hash_string"] for h in json.loads(path.read_text())["type_hashes"]}
        assert typestore().hash_rihs01(name) == hashes[name]


def test_turtlebot_recording_gives_the_robots_path():
    scene = open_source(shared("bags") / "nav2_turtlebot.mcap").scene()
    assert scene.world_frame == "odom" and scene.T_world_camera is None and not scene.tracks
    assert 90 < scene.end_s < 100 and len(scene.stamps_s) > 2500
    np.testing.assert_allclose(scene.T_world_base[0, :3, 3], [-2.8019166, 1.0977902, 0], atol=1e-6)
    on_map = open_source(shared("bags") / "nav2_turtlebot.mcap", world_frame="map").scene()
    assert on_map.world_frame == "map" and not np.allclose(on_map.T_world_base[5], scene.T_world_base[5])


def test_tf_recording_gives_the_robots_path():
    scene = open_source(shared("bags") / "tf_example").scene()
    assert len(scene.stamps_s) == 517
    np.testing.assert_allclose(scene.T_world_base[0, :2, 3], [1.1603797, -2.9424269], atol=1e-6)


def test_costmap_recording_gives_the_obstacle():
    source = open_source(shared("bags") / "cm_moving_obstacle")
    start_ns = next(source.frames()).stamp_ns
    seen_s = np.array([f.stamp_ns * 1e-9 for f in source.observations() if f.observations])
    # The obstacle is present from 3 s to 8 s of the recording's own clock.
    assert 2.9 < seen_s[0] < 3.2 and 7.8 < seen_s[-1] < 8.1
    scene = source.scene()
    assert [t.label for t in scene.tracks.values()] == ["obstacle"]
    assert scene.origin_ns == start_ns


def test_depth_of_another_camera_is_moved_over(tmp_path):
    """A depth camera 0.1 m beside the colour camera, with its own camera_info, as in an RGB-D camera's raw topics."""
    entries = []
    for topic, at, message in rgbd(TIMES):
        entries.append((topic, at, message))
        if "depth" in topic:
            message.header.frame_id = "depth_optical_frame"
            info = M.camera_info(at, "depth_optical_frame", K, (64, 48))
            entries.append(("/camera/depth/camera_info", at, info))
    mount = ("/tf_static", 10 * S, M.tf(M.transform(CAMERA, "depth_optical_frame", 0, (0.1, 0, 0))))
    write_bag(tmp_path / "b", in_order([mount], robot(TIMES), entries))
    source = open_source(tmp_path / "b")
    assert source.topics.depth_info == "/camera/depth/camera_info" and source.topics.info == "/camera/color/camera_info"
    frame = next(source.frames())
    # 100 * 0.1 / 2 = 5 columns of the colour image are not seen by the depth camera.
    assert np.isnan(frame.depth_m[:, :5]).all() and (frame.depth_m[:, 5:] == 2.0).all()
    write_bag(
        tmp_path / "c", [e for e in in_order([mount], robot(TIMES), entries) if e[0] != "/camera/depth/camera_info"]
    )
    with pytest.raises(SourceError, match="is not registered to the colour image"):
        open_source(tmp_path / "c").scene()
