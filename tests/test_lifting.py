"""RGB-D lifting against analytically rendered boxes and spheres whose centres are known."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_core.errors import GeometryError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.geometry.lifting import DepthNoise, LiftingConfig, LiftingError, lift
from dsr_core.perception.lift import LiftConfig, default_covariance, observe, observe_with_report
from dsr_core.values import Detection, Frame

K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
CAMERA = Camera(K, (640, 480))


def rays(camera=CAMERA):
    width, height = camera.image_size
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    return camera.rays(np.stack([u, v], -1).reshape(-1, 2)).reshape(height, width, 3)


RAYS = rays()
NOISE = DepthNoise()


def sphere(centre, radius, directions=RAYS):
    """Depth (H, W) of a sphere, inf where it is missed."""
    c = np.asarray(centre, float)
    a = np.einsum("hwi,hwi->hw", directions, directions)
    b = directions @ c
    with np.errstate(invalid="ignore"):
        s = (b - np.sqrt(b * b - a * (c @ c - radius**2))) / a
    return np.where(np.isfinite(s) & (s > 0), s, np.inf)


def cuboid(centre, size, rotation=None, directions=RAYS):
    """Depth (H, W) of a box of `size` along its own axes, inf where it is missed."""
    R = np.eye(3) if rotation is None else rotation
    d, o = directions @ R, -np.asarray(centre, float) @ R
    half = np.asarray(size, float) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (-half - o) / d, (half - o) / d
    near, far = np.minimum(a, b).max(-1), np.maximum(a, b).min(-1)
    return np.where((near <= far) & (near > 0), near, np.inf)


def plane(depth, directions=RAYS):
    return np.full(directions.shape[:2], float(depth))


def floor(height, directions=RAYS):
    """Depth of a floor `height` metres below the camera."""
    with np.errstate(divide="ignore"):
        return np.where(directions[..., 1] > 1e-6, height / np.maximum(directions[..., 1], 1e-6), np.inf)


def render(*layers, rng=None, noise=NOISE):
    z = np.minimum.reduce(layers)
    if rng is not None:
        z = z + noise.sigma_m(np.where(np.isfinite(z), z, 0.0)) * rng.standard_normal(z.shape)
    return z.astype(np.float32)


def box_of(mask, loosen=0.0):
    v, u = np.nonzero(mask)
    box = np.array([u.min(), v.min(), u.max() + 1, v.max() + 1], float)
    side = box[2:] - box[:2]
    return np.concatenate([box[:2] - loosen * side, box[2:] + loosen * side])


def squared_error(lifted, centre):
    error = lifted.position_camera_m - centre
    return float(error @ np.linalg.solve(lifted.covariance_camera, error))


THINGS = [
    ("person", lambda c, d=RAYS: cuboid(c, (0.55, 1.75, 0.4), None, d)),
    (
        "turned crate",
        lambda c, d=RAYS: cuboid(c, (0.8, 0.7, 0.8), tf.Rotation.from_euler("y", 40, degrees=True).as_matrix(), d),
    ),
    ("ball", lambda c, d=RAYS: sphere(c, 0.35, d)),
]


@pytest.mark.parametrize("name, draw", THINGS)
@pytest.mark.parametrize("centre", [(0.0, 0.1, 3.0), (0.9, 0.2, 3.5), (-1.5, 0.1, 5.0)])
@pytest.mark.parametrize("by", ["box", "mask", "loose box"])
def test_centre_lies_within_its_covariance(name, draw, centre, by):
    z = draw(np.array(centre))
    depth = render(z, plane(9.0), floor(1.2), rng=np.random.default_rng(1))
    seen = z < np.minimum(plane(9.0), floor(1.2))
    box = box_of(seen, 0.06 if by == "loose box" else 0.0)
    lifted = lift(depth, CAMERA, box, seen if by == "mask" else None)
    assert squared_error(lifted, np.array(centre)) < 9.0
    assert np.linalg.norm(lifted.position_camera_m - centre) < 0.25
    assert np.sqrt(np.linalg.eigvalsh(lifted.covariance_camera)[2]) < 0.3
    assert not lifted.occluded and not lifted.truncated


def test_errors_are_as_large_as_the_covariance_says():
    rng = np.random.default_rng(5)
    squared = []
    for _ in range(60):
        centre = rng.uniform((-1.2, -0.2, 2.0), (1.2, 0.3, 6.0))
        size = rng.uniform((0.3, 0.4, 0.3), (0.9, 1.6, 0.9))
        z = cuboid(centre, size, tf.Rotation.from_euler("y", rng.uniform(-180, 180), degrees=True).as_matrix())
        depth = render(z, plane(8.0), rng=rng)
        box = box_of(z < 8.0)
        box += rng.normal(0, 0.02, 4) * np.tile(box[2:] - box[:2], 2)
        squared.append(squared_error(lift(depth, CAMERA, box), centre))
    assert 0.5 < np.mean(squared) < 6.0
    assert np.mean(np.array(squared) < 11.3) > 0.93


def test_known_size_puts_the_centre_half_its_depth_behind_the_front():
    z = cuboid((0, 0, 4.0), (1.8, 1.5, 4.0))
    depth = render(z, plane(30.0))
    without = lift(depth, CAMERA, box_of(z < 30))
    known = lift(depth, CAMERA, box_of(z < 30), size_lwh_m=np.array([4.0, 4.0, 1.5]))
    assert abs(known.position_camera_m[2] - 4.0) < 0.1
    assert known.covariance_camera[2, 2] < 1.0
    assert without.position_camera_m[2] < known.position_camera_m[2]


def test_background_through_the_box_is_not_the_thing():
    # A thin pole fills a fifth of its loose box, the rest shows the wall.
    z = cuboid((0, 0, 3.0), (0.12, 1.5, 0.12))
    depth = render(z, plane(7.0), rng=np.random.default_rng(0))
    box = box_of(z < 7) + np.array([-25, 0, 25, 0])
    assert abs(lift(depth, CAMERA, box).position_camera_m[2] - 3.0) < 0.25


def test_stray_pixels_of_a_mask_do_not_count():
    z = cuboid((0.8, 0, 3.0), (0.6, 1.0, 0.6))
    depth, mask = render(z, plane(7.0)), z < 7
    clean = lift(depth, CAMERA, mask=mask)
    stray = mask.copy()
    stray[10:50, 0] = True
    assert np.allclose(lift(depth, CAMERA, mask=stray).position_camera_m, clean.position_camera_m, atol=0.03)
    stray[:, 0] = True
    inside = lift(depth, CAMERA, box_of(mask), stray)
    assert np.allclose(inside.position_camera_m, clean.position_camera_m, atol=0.03) and not inside.truncated
    with pytest.raises(LiftingError, match="in its box"):
        lift(depth, CAMERA, np.array([10.0, 10, 100, 100]), mask)


def test_invalid_pixels_do_not_count():
    z = cuboid((0, 0, 3.0), (0.6, 1.0, 0.6))
    depth = render(z, plane(7.0))
    rng = np.random.default_rng(2)
    broken = depth.copy()
    for value in (np.nan, 0.0, np.inf, -np.inf, -3.0):
        broken[rng.random(depth.shape) < 0.12] = value
    whole, holes = lift(depth, CAMERA, box_of(z < 7)), lift(broken, CAMERA, box_of(z < 7))
    assert np.linalg.norm(whole.position_camera_m - holes.position_camera_m) < 0.02
    with pytest.raises(LiftingError) as caught:
        lift(np.full_like(depth, np.nan), CAMERA, box_of(z < 7))
    assert caught.value.reason == "too_few_depth_pixels"


def test_a_thing_cut_by_the_border_is_flagged_and_less_certain_across_it():
    centre = np.array([1.9, 0.0, 3.0])
    z = cuboid(centre, (0.8, 1.0, 0.6))
    cut = lift(render(z, plane(7.0)), CAMERA, box_of(z < 7))
    whole_z = cuboid((0.9, 0.0, 3.0), (0.8, 1.0, 0.6))
    whole = lift(render(whole_z, plane(7.0)), CAMERA, box_of(whole_z < 7))
    assert cut.truncated and not whole.truncated
    assert cut.covariance_camera[0, 0] > 4 * whole.covariance_camera[0, 0]
    assert squared_error(cut, centre) < 11.3


def test_a_thing_behind_another_is_flagged_and_keeps_its_depth():
    z = cuboid((0.0, 0.0, 4.0), (1.0, 1.6, 0.5))
    hider = cuboid((0.1, 0.0, 2.0), (0.07, 2.0, 0.1))
    free = lift(render(z, plane(9.0)), CAMERA, box_of(z < 9))
    seen = lift(render(z, hider, plane(9.0)), CAMERA, box_of(z < 9))
    masked = lift(render(z, hider, plane(9.0)), CAMERA, mask=(z < 9) & (z < hider))
    assert seen.occluded and not free.occluded
    for found in (free, seen, masked):
        assert abs(found.position_camera_m[2] - 4.0) < 0.35
    assert np.trace(seen.covariance_camera) > 1.5 * np.trace(free.covariance_camera)


@pytest.mark.parametrize("from_the", ["left", "right", "below"])
def test_what_moves_in_front_from_one_side_does_not_take_the_place_of_a_thing(from_the):
    z = cuboid((0.0, 0.0, 4.0), (1.0, 1.2, 0.4))
    box = box_of(z < 9)
    u, v = np.meshgrid(np.arange(640), np.arange(480))
    for part in np.arange(0.05, 0.41, 0.05):  # of the box
        hider = plane(2.2)
        if from_the == "below":
            hider[v < box[3] - part * (box[3] - box[1])] = np.inf
        else:
            inside = u - box[0] if from_the == "left" else box[2] - u
            hider[inside > part * (box[2] - box[0])] = np.inf
        lifted = lift(render(z, hider, plane(9.0), rng=np.random.default_rng(0)), CAMERA, box)
        assert abs(lifted.position_camera_m[2] - 4.0) < 0.5
        assert lifted.occluded or part < 0.3


def test_a_slanted_thing_that_fills_little_of_its_box_wins_over_the_wall():
    turned = tf.Rotation.from_euler("z", 40, degrees=True).as_matrix()
    z = cuboid((0.0, 0.0, 3.0), (0.3, 1.0, 0.15), turned)
    assert (z < 7).sum() < 0.45 * np.prod(box_of(z < 7)[2:] - box_of(z < 7)[:2])
    lifted = lift(render(z, plane(7.0), rng=np.random.default_rng(0)), CAMERA, box_of(z < 7))
    assert abs(lifted.position_camera_m[2] - 3.0) < 0.5


@settings(max_examples=20, deadline=None)
@given(
    st.tuples(st.floats(-0.7, 0.7), st.floats(-0.4, 0.4), st.floats(2.0, 5.0)),
    st.sampled_from([60, 200, 3200]),
    st.integers(0, 2**32 - 1),
)
def test_few_samples_tell_what_all_pixels_do(centre, max_samples, seed):
    z = cuboid(centre, (0.5, 0.8, 0.4), tf.Rotation.from_euler("y", seed % 90, degrees=True).as_matrix())
    depth, seen = render(z, plane(8.0), rng=np.random.default_rng(seed)), z < 8
    box = box_of(seen)
    for mask in (None, seen):
        every = lift(depth, CAMERA, box, mask, config=LiftingConfig(max_samples=10**6))
        some = lift(depth, CAMERA, box, mask, config=LiftingConfig(max_samples=max_samples))
        assert squared_error(every, some.position_camera_m) < 1.0
        assert some.occluded == every.occluded and some.truncated == every.truncated
        sigmas = [np.sqrt(np.trace(found.covariance_camera)) for found in (some, every)]
        assert 0.7 < sigmas[0] / sigmas[1] < 1.4


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 120), st.integers(0, 80), st.integers(0, 2**32 - 1))
def test_what_lies_outside_the_box_makes_no_difference(right, down, seed):
    """A picture cropped around a thing, with the camera's principal point moved alike, places it the same."""
    z = sphere((0.3, 0.1, 3.0), 0.4)
    depth, seen = render(z, plane(8.0), rng=np.random.default_rng(seed)), z < 8
    x1, y1, x2, y2 = (int(a) for a in box_of(seen))
    left, top = max(x1 - right - 5, 0), max(y1 - down - 5, 0)
    crop = np.s_[top : y2 + down + 5, left : x2 + right + 5]
    shifted = K.copy()
    shifted[:2, 2] -= (left, top)
    camera = Camera(shifted, (depth[crop].shape[1], depth[crop].shape[0]))
    for mask in (None, seen):
        whole = lift(depth, CAMERA, box_of(seen), mask)
        part = lift(depth[crop], camera, box_of(seen) - (left, top, left, top), None if mask is None else mask[crop])
        assert np.allclose(whole.position_camera_m, part.position_camera_m, atol=1e-9)
        assert np.allclose(whole.covariance_camera, part.covariance_camera, atol=1e-12)


@pytest.mark.parametrize(
    "model, D", [("plumb_bob", [-0.25, 0.08, 0.001, -0.001, 0.0]), ("equidistant", [0.05, -0.02, 0.01, 0.0])]
)
def test_lens_distortion_is_removed(model, D):
    camera = Camera(K, (640, 480), np.array(D), model)
    centre = np.array([1.3, 0.6, 3.0])
    z = sphere(centre, 0.3, rays(camera))
    depth = render(z, plane(8.0))
    assert np.linalg.norm(lift(depth, camera, box_of(z < 8)).position_camera_m - centre) < 0.12
    blind = lift(depth, CAMERA, box_of(z < 8))
    assert np.linalg.norm(blind.position_camera_m - centre) > 0.04


@pytest.mark.parametrize(
    "reason, kwargs",
    [
        ("nothing_to_lift", {}),
        ("bad_box", {"box_px": np.array([10.0, 10, 5, 20])}),
        ("bad_box", {"box_px": np.array([np.nan, 10, 50, 20])}),
        ("outside_image", {"box_px": np.array([700.0, 10, 800, 20])}),
        ("empty_mask", {"mask": np.zeros((480, 640), bool)}),
        ("mask_size_differs", {"mask": np.zeros((48, 64), bool)}),
        ("too_few_depth_pixels", {"box_px": np.array([10.0, 10, 12, 12])}),
    ],
)
def test_what_cannot_be_lifted_says_why(reason, kwargs):
    with pytest.raises(LiftingError) as caught:
        lift(render(plane(3.0)), CAMERA, **kwargs)
    assert caught.value.reason == reason and reason.split("_")[0]


def test_depth_of_another_size_is_refused():
    with pytest.raises(LiftingError, match="register"):
        lift(np.ones((240, 320), np.float32), CAMERA, np.array([0.0, 0, 50, 50]))


@pytest.mark.parametrize(
    "change",
    [{"inner_fraction": 0.0}, {"min_depth_m": 5.0, "max_depth_m": 2.0}, {"min_pixels": 0}, {"box_sigma": -1.0}],
)
def test_config_is_checked(change):
    with pytest.raises(GeometryError):
        LiftingConfig(**change)


SCENE_Z = cuboid((0.5, 0.1, 3.0), (0.6, 1.0, 0.5))
SCENE_DEPTH = render(SCENE_Z, plane(7.0))


def frame(T_world_camera, *detections, depth=SCENE_DEPTH):
    return Frame(1_000, T_world_camera, depth_m=depth, camera=CAMERA, detections=detections)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3), st.lists(st.floats(-100, 100), min_size=3, max_size=3))
def test_observations_follow_the_pose(rotation, translation):
    """A rigid motion of the world moves positions and turns covariances and orientations, and changes nothing else."""
    T = tf.make_transform(tf.Rotation.from_rotvec(rotation).as_matrix(), np.array(translation))
    detections = (
        Detection("crate", box_px=box_of(SCENE_Z < 7)),
        Detection(
            "car", position_camera_m=np.array([1.0, 0.5, 12.0]), orientation_camera_xyzw=np.array([0.1, 0.2, 0.3, 0.9])
        ),
    )
    here = observe(frame(np.eye(4), *detections)).observations
    there = observe(frame(T, *detections)).observations
    for a, b in zip(here, there, strict=True):
        assert np.allclose(tf.transform_points(T, a.position_world_m), b.position_world_m, atol=1e-9)
        assert np.allclose(tf.rotate_covariances(T[:3, :3], a.covariance_world), b.covariance_world, atol=1e-12)
    turned = T[:3, :3] @ tf.matrices_from_quaternions(here[1].orientation_world_xyzw)
    assert np.allclose(turned, tf.matrices_from_quaternions(there[1].orientation_world_xyzw), atol=1e-9)


def test_dropped_detections_are_counted():
    detections = (
        Detection("a", box_px=np.array([700.0, 0, 800, 50])),
        Detection("b", position_camera_m=np.array([np.nan, 0, 1])),
        Detection("c", position_camera_m=np.array([0.0, 0, 5])),
        Detection("d"),
    )
    found, dropped = observe_with_report(frame(np.eye(4), *detections))
    assert [o.label for o in found.observations] == ["c"]
    assert dropped == Counter(outside_image=1, not_finite=1, nothing_to_lift=1)
    flat = Detection("a", box_px=np.array([0.0, 0, 9, 9]))
    assert observe_with_report(frame(np.eye(4), flat, detections[2], depth=None))[1] == {"no_depth": 1}


def test_frames_without_a_pose_are_refused():
    with pytest.raises(GeometryError, match="T_world_camera"):
        observe(Frame(5, None, detections=(Detection("a"),)))
    with pytest.raises(GeometryError):
        observe(frame(np.full((4, 4), np.nan)))
    assert observe(Frame(5, None, np.eye(4))).T_world_base is not None


@pytest.mark.parametrize("bad", [None, np.full((3, 3), np.nan), np.zeros((3, 3)), np.diag([1.0, -1.0, 1.0]), np.eye(2)])
def test_unusable_covariances_give_way_to_the_default(bad):
    p = np.array([0.0, 0.0, 10.0])
    found = observe(frame(np.eye(4), Detection("c", position_camera_m=p, covariance_camera=bad))).observations[0]
    assert np.allclose(found.covariance_world, default_covariance(p))
    assert np.all(np.linalg.eigvalsh(found.covariance_world) > 0)


def test_default_covariance_grows_with_range_along_the_ray():
    near, far = default_covariance(np.array([0, 0, 5.0])), default_covariance(np.array([0, 0, 50.0]))
    assert far[2, 2] > near[2, 2] > near[0, 0]
    with pytest.raises(GeometryError):
        LiftConfig(min_sigma_m=0.0)
