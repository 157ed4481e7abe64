"""TransformBuffer: lookups through the tree, interpolation, tolerance and exact errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from dsr_core.errors import GeometryError
from dsr_core.geometry import tf_tree
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.tf_tree import TransformBuffer

S = 1_000_000_000
NO_TURN = (0.0, 0.0, 0.0, 1.0)
quaternions = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1)
points = st.tuples(*[st.floats(-100, 100)] * 3)


def pose(translation, quaternion):
    return tf.make_transform(Rotation.from_quat(quaternion).as_matrix(), np.array(translation))


def robot(**options):
    buffer = TransformBuffer(**options)
    buffer.add("base", "camera", 0, (0.1, 0.2, 0.3), Rotation.from_euler("z", 90, degrees=True).as_quat(), static=True)
    for k in range(11):
        buffer.add("odom", "base", S + k * S // 10, (k, 0, 0), Rotation.from_euler("z", 9 * k, degrees=True).as_quat())
    return buffer


@given(points, quaternions, points, quaternions, st.floats(0, 1))
def test_interpolation_is_linear_and_spherical(p0, q0, p1, q1, share):
    buffer = TransformBuffer()
    buffer.add("odom", "base", 0, p0, q0)
    buffer.add("odom", "base", S, p1, q1)
    at = round(share * S)
    turn = Slerp([0, S], Rotation.from_quat([q0, q1]))(at)
    got = buffer.lookup("odom", "base", at)
    expected = tf.make_transform(turn.as_matrix(), np.array(p0) + at / S * (np.array(p1) - np.array(p0)))
    # Half a turn apart both ways round are the short way.
    if abs(np.dot(q0, q1)) > 1e-6:
        np.testing.assert_allclose(got, expected, atol=1e-9)
    tf.check_rigid(got, tolerance=1e-9)


@given(points, quaternions, points, quaternions, points, quaternions)
def test_lookup_goes_through_the_common_ancestor(p0, q0, p1, q1, p2, q2):
    buffer = TransformBuffer()
    buffer.add("odom", "base", S, p0, q0)
    buffer.add("base", "camera", 0, p1, q1, static=True)
    buffer.add("base", "arm", S, p2, q2)
    T_camera_arm = tf.invert(pose(p1, q1)) @ pose(p2, q2)
    np.testing.assert_allclose(buffer.lookup("camera", "arm", S), T_camera_arm, atol=1e-9)
    np.testing.assert_allclose(buffer.lookup("odom", "camera", S), pose(p0, q0) @ pose(p1, q1), atol=1e-9)
    there, back = buffer.lookup("odom", "arm", S), buffer.lookup("arm", "odom", S)
    np.testing.assert_allclose(there @ back, np.eye(4), atol=1e-9)


@given(points, quaternions)
def test_stored_stamps_are_bit_exact(p, q):
    buffer = TransformBuffer()
    for k in range(3):
        buffer.add("odom", "base", k * S, np.array(p) + k, q)
    assert np.array_equal(buffer.lookup("odom", "base", S), pose(np.array(p) + 1, q))


def test_frame_to_itself_is_the_identity_at_any_stamp():
    assert np.array_equal(robot().lookup("base", "base", -5), np.eye(4))
    assert np.array_equal(robot().lookup("anything", "anything", 0), np.eye(4))


def test_a_caller_cannot_change_the_buffer():
    buffer = robot()
    buffer.lookup("odom", "base", S)[:] = 7
    buffer.lookup("base", "camera", S)[:] = 7
    assert buffer.lookup("odom", "base", S)[3, 3] == 1 == buffer.lookup("base", "camera", S)[3, 3]


def test_tolerance_holds_the_nearest_pose_and_no_more():
    buffer = robot(tolerance_s=0.1)
    assert buffer.lookup("odom", "base", 2 * S + S // 10)[0, 3] == 10
    assert buffer.lookup("odom", "base", S - S // 10)[0, 3] == 0
    with pytest.raises(
        tf_tree.ExtrapolationIntoFuture, match=r"'odom' -> 'base'.*newest pose is 0.250 s older"
    ) as late:
        buffer.lookup("odom", "camera", 2 * S + S // 4)
    assert late.value.seconds == pytest.approx(0.25)
    with pytest.raises(tf_tree.ExtrapolationIntoPast, match=r"oldest pose is 0.500 s later"):
        buffer.lookup("odom", "camera", S // 2)
    with pytest.raises(tf_tree.ExtrapolationIntoFuture):
        buffer.lookup("odom", "base", 2 * S + S // 20, tolerance_s=0.0)


def test_a_hole_is_not_drawn_across():
    buffer = TransformBuffer(max_gap_s=1.0, tolerance_s=0.1)
    buffer.add("odom", "base", 0, (0, 0, 0), NO_TURN)
    buffer.add("odom", "base", 5 * S, (5, 0, 0), NO_TURN)
    with pytest.raises(tf_tree.TransformGap, match=r"hole of 5.000 s"):
        buffer.lookup("odom", "base", 2 * S)
    assert buffer.lookup("odom", "base", 5 * S - S // 20)[0, 3] == 5


def test_missing_links_are_named():
    buffer = robot()
    with pytest.raises(tf_tree.UnknownFrame, match=r"'lidar'.*base, camera, odom"):
        buffer.lookup("odom", "lidar", S)
    buffer.add("map", "marker", S, (0, 0, 0), NO_TURN)
    with pytest.raises(tf_tree.NotConnected, match=r"'camera' ends at 'odom' and 'marker' at 'map'"):
        buffer.lookup("marker", "camera", S)
    with pytest.raises(tf_tree.UnknownFrame, match=r"no /tf received"):
        TransformBuffer().lookup("odom", "base", 0)


def test_a_circle_of_parents_is_an_error():
    buffer = TransformBuffer()
    buffer.add("a", "b", 0, (0, 0, 0), NO_TURN)
    buffer.add("b", "a", 0, (0, 0, 0), NO_TURN)
    with pytest.raises(tf_tree.NotConnected, match="circle"):
        buffer.lookup("a", "c", 0)
    with pytest.raises(tf_tree.NotConnected, match="circle"):
        buffer.root("a")


def test_the_cache_is_bounded_and_takes_late_messages():
    buffer = TransformBuffer(cache_s=1.0, tolerance_s=0.0)
    for k in [0, 2, 1, *range(3, 1000)]:
        buffer.add("odom", "base", k * S // 100, (k, 0, 0), NO_TURN)
    assert len(buffer._links["base"].stamps_ns) == 101
    assert buffer.lookup("odom", "base", 999 * S // 100 - S)[0, 3] == pytest.approx(899)
    with pytest.raises(tf_tree.ExtrapolationIntoPast):
        buffer.lookup("odom", "base", 5 * S)
    assert not buffer.add("odom", "base", 0, (0, 0, 0), NO_TURN)
    assert not buffer.add("odom", "base", 999 * S // 100, (7, 7, 7), NO_TURN)


def test_clear_keeps_the_static_links():
    buffer = robot()
    buffer.clear()
    assert buffer.frames() == ["base", "camera"]
    buffer.clear(static=True)
    assert buffer.frames() == []


def test_newest_and_root():
    buffer = robot()
    assert buffer.newest_ns("odom", "camera") == 2 * S
    assert buffer.newest_ns("base", "camera") is None
    assert buffer.root("camera") == "odom"
    buffer.add("map", "odom", S, (0, 0, 0), NO_TURN)
    assert buffer.root("/camera") == "map"
    assert buffer.newest_ns("map", "camera") == S


@pytest.mark.parametrize(
    ("translation", "quaternion", "child"),
    [
        ((np.nan, 0, 0), NO_TURN, "b"),
        ((0, 0, 0), (0, 0, 0, 0), "b"),
        ((0, 0), NO_TURN, "b"),
        ((0, 0, 0), NO_TURN, "/a"),
        ((0, 0, 0), NO_TURN, ""),
    ],
)
def test_no_pose_is_refused(translation, quaternion, child):
    with pytest.raises(GeometryError):
        TransformBuffer().add("a", child, 0, translation, quaternion)


def test_bad_settings_are_refused():
    with pytest.raises(GeometryError, match="cache_s=0"):
        TransformBuffer(cache_s=0)
