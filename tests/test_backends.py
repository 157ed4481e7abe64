"""Perceptions: every choice loaded from folders of tiny networks, frames filled in, and what cannot be said counted."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from dsr_core.errors import DependencyError, GeometryError, ModelError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.geometry.lifting import DepthNoise
from dsr_core.perception.backends import Perception, PerceptionConfig, changed, load, load_reconstructor
from dsr_core.perception.depth.protocol import DepthEstimate
from dsr_core.perception.depth.reconstructed import ReconstructedDepth
from dsr_core.perception.headings import Headings
from dsr_core.perception.lift import LiftConfig, observe
from dsr_core.perception.orientation.circle import moments, normal, wrap
from dsr_core.perception.orientation.protocol import OrientationEstimate
from dsr_core.sources.base import LazyFrame
from dsr_core.values import Detection, Frame
from tests.network_folders import save_networks
from tests.networks import need
from tests.pi3_stand_in import pi3_checkout, save_weights
from tests.rendered import at, render, room
from tests.test_reconstruction import Recorded, truth

CAMERA = Camera(np.array([[100.0, 0, 80], [0, 100.0, 60], [0, 0, 1]]), (160, 120))
#: A level camera that looks along the world's x axis.
LEVEL = tf.make_transform(tf.R_BODY_OPTICAL, np.array([0.0, 0.0, 1.0]))
BOX = np.array([40.0, 30.0, 90.0, 100.0])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_networks(tmp_path_factory.mktemp("networks"))


def a_frame(index=0, size=(120, 160), **fields):
    rgb = np.random.default_rng(index).integers(0, 256, (*size, 3), dtype=np.uint8)
    camera = Camera(CAMERA.K, size[::-1])
    return Frame(**{"stamp_ns": index * 100_000_000, "rgb": rgb, "camera": camera, "T_world_camera": LEVEL} | fields)


class Finder:
    """A detector that finds what the test says."""

    def __init__(self, find):
        self.find, self.resets = find, 0

    def detect(self, frame):
        return self.find(frame)

    def reset(self):
        self.resets += 1


# -- the configuration -------------------------------------------------------------------------------------------------


def test_the_default_adds_nothing_and_imports_nothing_heavy():
    config = PerceptionConfig()
    assert config.adds_nothing and not PerceptionConfig(poses="visual").adds_nothing
    frame = Frame(5, detections=(Detection("cup"),))
    perception = load(config)
    assert perception.step(frame) is frame and not perception.counts
    assert not (perception.detects or perception.adds_depth or perception.adds_poses) and perception.metric


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"detctor": "sam2"}, "detctor is not known; known: detector, names"),
        ({"detector": "yolo"}, "detector = 'yolo' is none of external, embedded"),
        ({"depth": "lidar"}, "depth = 'lidar' is none of sensor"),
        ({"orientation": "yes"}, "orient_anything"),
        ({"poses": "guess"}, "given, visual"),
        ({"dtype": "int8"}, "float32"),
        ({"detector": "sam3"}, "needs names"),
        ({"detector": "sam3", "names": [" "]}, "needs names"),
        ({"detector": "sam3", "names": "person"}, "must be a list"),
        ({"weights": {"yolo": "x"}}, "weights of yolo are not known; known: grounding_dino"),
        ({"weights": ["sam2"]}, "must map"),
        ({"interval": 0}, "1 or more"),
        ({"depth": "pi3", "poses": "visual"}, "choose depth_anything"),
        (["sam2"], "must be a mapping"),
    ],
)
def test_wrong_settings_are_told(values, message):
    with pytest.raises(ModelError, match=message):
        PerceptionConfig.from_dict(values)


def test_yaml(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("detector: sam2\nnames: [person, red mug]\nweights: {sam2: /w/sam2}\ninterval: 5\n")
    config = PerceptionConfig.from_yaml(path)
    assert config.names == ("person", "red mug") and config.weights == {"sam2": "/w/sam2"} and config.interval == 5
    for text, message in (
        ("a: [", "cannot be read"),
        ("[a]", "must hold settings"),
        ("a: 1", "p.yaml.*a is not known"),
    ):
        path.write_text(text)
        with pytest.raises(ModelError, match=message):
            PerceptionConfig.from_yaml(path)
    with pytest.raises(ModelError, match="cannot be read"):
        PerceptionConfig.from_yaml(tmp_path / "none.yaml")


def test_the_example_in_the_repository_is_valid():
    from pathlib import Path

    config = PerceptionConfig.from_yaml(Path(__file__).parents[1] / "config" / "perception.yaml")
    assert config.detector == "sam2" and config.names


# -- every network, loaded from its folder -----------------------------------------------------------------------------


@pytest.mark.parametrize("detector", ["grounding_dino", "sam2", "sam3"])
def test_detectors_find_depth_and_headings_are_added(detector, weights):
    chosen = {"depth": "depth_anything", "orientation": "orient_anything", "weights": weights, "device": "cpu"}
    perception = load(PerceptionConfig(detector=detector, names=("red mug", "chair"), interval=2, **chosen))
    assert perception.detects and perception.adds_depth and not perception.adds_poses and perception.metric
    before = [a_frame(i) for i in range(2)]
    after = [perception.step(frame) for frame in before]
    assert not perception.counts
    for frame, given in zip(after, before, strict=True):
        assert frame.depth_m.shape == (120, 160) and frame.depth_m.dtype == np.float32
        assert 0 < np.nanmin(frame.depth_m) and np.nanmax(frame.depth_m) <= 20
        assert frame.rgb is given.rgb and frame.stamp_ns == given.stamp_ns and given.depth_m is None
        assert frame.detections
        for d in frame.detections:
            assert d.label in ("red mug", "chair") and 0.35 < d.score <= 1 and d.box_px.shape == (4,)
            assert (d.mask is not None) == (d.id != "") == (detector != "grounding_dino")
    turned = [d for d in after[0].detections if d.orientation_camera_xyzw is not None]
    assert turned and all(0 < d.orientation_sigma_rad <= 1 for d in turned)
    # What comes out can be placed, with the noise of a network's depth.
    lift = perception.lift_config(LiftConfig(min_sigma_m=0.02))
    assert lift.min_sigma_m == 0.02 and lift.depth.noise.relative == 0.15
    assert observe(after[0], lift).observations
    perception.reset()
    again = perception.step(a_frame(0))
    if detector != "grounding_dino":
        assert not {d.id for d in again.detections} & {d.id for f in after for d in f.detections}


def test_the_embedded_detector_is_loaded():
    need("pose-detection", "pose-landmark-full", "ssd-openimages")
    perception = load(PerceptionConfig(detector="embedded"))
    assert perception.missing == ""
    assert perception.step(a_frame(1)).detections is not None and perception.counts == {}


def test_reconstructors_are_loaded(tmp_path):
    with pi3_checkout(tmp_path / "Pi3") as checkout:
        save_weights(checkout, tmp_path / "weights")
        named = {"pi3": str(tmp_path / "weights"), "pi3_checkout": str(checkout)}
        config = PerceptionConfig(depth="pi3", weights=named, device="cpu")
        found = load_reconstructor(config)(np.stack([a_frame(i).rgb for i in range(3)]))
        assert len(found) == 3 and not found.metric
        perception = load(config)
        # The stand-in's camera goes 0.1 a picture; the odometry says 0.2 m, so depth is twice what the network says.
        way = [tf.make_transform(LEVEL[:3, :3], np.array([0.0, -0.2 * i, 1.0])) for i in range(5)]
        frames = [perception.step(a_frame(i, T_world_camera=T)) for i, T in enumerate(way)]
    assert [f.depth_m is None for f in frames] == [True, True, False, False, False]
    assert perception.counts == {"depth: the camera has not moved enough to tell the scale": 2}
    known = np.isfinite(frames[3].depth_m)
    assert known.any() and 4 < np.nanmin(frames[3].depth_m) and np.nanmax(frames[3].depth_m) < 6.01
    with pytest.raises(ModelError, match="pi3 or depth_anything_3"):
        load_reconstructor(PerceptionConfig())


def test_all_that_is_missing_is_told_at_once_with_licences(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError) as error:
        load(PerceptionConfig(detector="sam2", names=("cup",), orientation="orient_anything", device="cpu"))
    for part in (
        "`hf download IDEA-Research/grounding-dino-tiny` (licence: Apache-2.0)",
        "`hf download facebook/sam2.1-hiera-large` (licence: Apache-2.0)",
        "`hf download Viglong/Orient-Anything croplargeEX2/dino_weight.pt` (licence: CC-BY-4.0)",
    ):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_a_checkpoint_of_sam2s_authors_needs_their_package(tmp_path, weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "sam2", None)
    (tmp_path / "sam2.1_hiera_tiny.pt").write_bytes(b"")
    for source in (tmp_path, tmp_path / "sam2.1_hiera_tiny.pt"):
        named = weights | {"sam2": str(source)}
        with pytest.raises(DependencyError, match="pip install --no-deps sam2"):
            load(PerceptionConfig(detector="sam2", names=("chair",), weights=named, device="cpu"))


# -- frames ------------------------------------------------------------------------------------------------------------


def test_pictures_are_not_decoded_where_nothing_asks_for_them():
    def never():
        raise AssertionError("decoded")

    frame = LazyFrame.make(never, never, stamp_ns=1, camera=CAMERA)
    assert load(PerceptionConfig()).step(frame) is frame
    moved = changed(frame, T_world_camera=LEVEL)
    assert load(PerceptionConfig(poses="visual")).step(moved) is moved, "its pose is given"
    assert moved.T_world_camera is LEVEL and frame.T_world_camera is None
    with pytest.raises(AssertionError, match="decoded"):
        _ = moved.rgb
    made = changed(LazyFrame.make(lambda: a_frame().rgb, never, stamp_ns=1), depth_m=None)
    assert made.depth_m is None and made.rgb.shape == (120, 160, 3)


def test_a_frame_without_a_picture_passes_and_is_counted():
    perception = Perception(detector=Finder(lambda frame: (Detection("cup"),)))
    frame = Frame(1, detections=(Detection("fork"),))
    assert perception.step(frame) is frame
    assert perception.counts == {"frames without a picture": 1}
    assert [d.label for d in perception.step(a_frame(1)).detections] == ["cup"]


def test_time_goes_forward_until_reset():
    perception = Perception(detector=Finder(lambda frame: ()))
    perception.step(a_frame(3))
    with pytest.raises(GeometryError, match="300000000 ns does not follow the one at 300000000 ns"):
        perception.step(a_frame(3))
    perception.reset()
    assert perception.step(a_frame(1)).detections == ()


def test_a_part_that_fails_costs_its_word_on_one_frame():
    def find(frame):
        if frame.stamp_ns == 100_000_000:
            raise RuntimeError("CUDA out of memory: 12.5 GiB")
        if frame.stamp_ns == 200_000_000:
            raise GeometryError("mask of shape (3, 4)")
        return (Detection("cup", 0.9, BOX),)

    class Blind:
        noise, metric = DepthNoise(), True

        def __call__(self, frame):
            return DepthEstimate(np.full((120, 160), 2, np.float32), self.noise, True)

    finder = Finder(find)
    perception = Perception(detector=finder, depth=Blind())
    out = [perception.step(a_frame(i, detections=(Detection("old"),))) for i in range(4)]
    assert [[d.label for d in f.detections] for f in out] == [["cup"], [], [], ["cup"]]
    assert all(f.depth_m is not None for f in out), "the other parts go on"
    assert perception.counts == {
        "detections failed: RuntimeError: CUDA out of memory: N GiB": 1,
        "detections: mask of shape (N, N)": 1,
    }
    assert finder.resets == 1, "what broke down begins anew"


def test_reasons_cannot_fill_the_memory():
    def find(frame):
        raise GeometryError("".join(chr(97 + int(c)) for c in str(frame.stamp_ns)))

    perception = Perception(detector=Finder(find))
    for i in range(300):
        perception.step(a_frame(i))
    assert len(perception.counts) <= 101 and perception.counts["other reasons"] == 200


def test_the_sensors_depth_wins_over_an_estimate():
    class Ones:
        noise, metric = DepthNoise(relative=0.2), True

        def __call__(self, frame):
            return DepthEstimate(np.ones((120, 160), np.float32), self.noise, True)

    perception = Perception(depth=Ones())
    own = np.full((120, 160), 3, np.float32)
    assert perception.step(a_frame(0, depth_m=own)).depth_m is own
    assert (perception.step(a_frame(1)).depth_m == 1).all()


def test_followers_begin_anew_where_the_pictures_size_changes(weights):
    config = PerceptionConfig(detector="sam2", names=("chair",), weights=weights, device="cpu")
    perception = load(config)
    first = perception.step(a_frame(0))
    second = perception.step(a_frame(1, size=(90, 120)))
    assert first.detections and second.detections
    assert {d.mask.shape for d in second.detections} == {(90, 120)}
    assert perception.counts == {"changes of the picture's size": 1}


# -- poses by visual odometry ------------------------------------------------------------------------------------------

VO_CAMERA = Camera(np.array([[260.0, 0, 160], [0, 260.0, 120], [0, 0, 1]]), (320, 240))
WAY = [at(0.03 * k, 0.0, 0.02 * k, turn=(0.0, -0.008 * k, 0.0)) for k in range(6)]


@pytest.fixture(scope="module")
def walk():
    """Frames in a rendered room, without poses."""
    frames = []
    for i, T in enumerate(WAY):
        rgb, depth_m = render(VO_CAMERA, T, room())
        frames.append(Frame(i * 100_000_000, rgb=rgb, depth_m=depth_m, camera=VO_CAMERA))
    return frames


def test_frames_without_poses_get_them_by_visual_odometry(walk):
    perception = load(PerceptionConfig(poses="visual"))
    assert perception.adds_poses
    found = [perception.step(frame).T_world_camera for frame in walk]
    np.testing.assert_allclose(found[0], tf.make_transform(tf.R_BODY_OPTICAL, np.zeros(3)), atol=1e-12)
    for T, expected in zip(found, WAY, strict=True):
        np.testing.assert_allclose(tf.invert(found[0]) @ T, expected, atol=0.01)
    blank = replace(walk[0], rgb=np.zeros_like(walk[0].rgb), stamp_ns=10**9)
    assert perception.step(blank).T_world_camera is None
    assert [k for k in perception.counts if k.startswith("pose: too few corners")]
    perception.step(replace(walk[1], stamp_ns=2 * 10**9, depth_m=None))
    assert any("no depth_m" in reason for reason in perception.counts)


def test_odometry_that_breaks_down_goes_on_in_the_same_world(walk, monkeypatch):
    perception = load(PerceptionConfig(poses="visual"))
    first = [perception.step(frame).T_world_camera for frame in walk[:3]]
    with monkeypatch.context() as patch:
        patch.setattr("cv2.calcOpticalFlowPyrLK", None)
        assert perception.step(walk[3]).T_world_camera is None
    after = perception.step(walk[4])
    assert np.linalg.norm(after.T_world_camera[:3, 3] - first[2][:3, 3]) < 0.1, "what was missed is not known"
    assert [reason for reason in perception.counts if reason.startswith("pose failed: TypeError")]


def test_odometry_goes_on_from_the_last_pose_that_was_given(walk):
    start = at(5.0, 2.0, 1.0, turn=(0.1, 0.2, 0.3))
    perception = load(PerceptionConfig(poses="visual"))
    for i, frame in enumerate(walk):
        given = None if i in (2, 3) else start @ WAY[i]
        out = perception.step(replace(frame, T_world_camera=given))
        np.testing.assert_allclose(out.T_world_camera, start @ WAY[i], atol=0.01)
        if given is not None:
            assert out.T_world_camera is given
    assert not perception.counts


def test_poses_that_come_late_do_not_break_the_world(walk):
    perception = load(PerceptionConfig(poses="visual"))
    elsewhere = at(50.0, 0.0, 0.0)
    mount = at(0.0, 0.3, 0.0)
    out = []
    for i, frame in enumerate(walk[:4]):
        given = {"T_world_camera": elsewhere @ WAY[i], "T_world_base": elsewhere @ WAY[i] @ mount} if i >= 2 else {}
        out.append(perception.step(replace(frame, **given)))
    for i, frame in enumerate(out):
        np.testing.assert_allclose(tf.invert(out[0].T_world_camera) @ frame.T_world_camera, WAY[i], atol=0.01)
    np.testing.assert_allclose(out[3].T_world_base, out[3].T_world_camera @ mount, atol=1e-9)
    (reason,) = perception.counts
    assert "given poses replaced" in reason


# -- depth by reconstruction -------------------------------------------------------------------------------------------


def test_reconstructed_depth_is_in_metres_by_the_poses():
    T, points = truth(25)
    estimator = ReconstructedDepth(Recorded(T, points, outliers=0.0))
    perception = Perception(depth=estimator)
    errors = []
    for i in range(25):
        frame = Frame(i * 10**8, rgb=np.full((48, 64, 3), i, np.uint8), T_world_camera=T[i])
        out = perception.step(frame)
        assert (out.depth_m is None) == (i < 2)
        if out.depth_m is not None:
            assert out.depth_m.shape == (48, 64)
            errors.append(np.abs(out.depth_m[::2, ::2] / points[i, ..., 2] - 1).max())
    assert max(errors) < 0.03, "noise of half a per cent, and the scale"
    assert perception.metric and perception.lift_config(LiftConfig()).depth.noise is estimator.noise
    assert sum(perception.counts.values()) == 2


def test_a_scale_that_nothing_tells_gives_no_depth():
    T, points = truth(12)
    calls = []

    class Counted(Recorded):
        def __call__(self, rgb):
            calls.append(len(rgb))
            return super().__call__(rgb)

    def run(poses):
        perception = Perception(depth=ReconstructedDepth(Counted(T, points, outliers=0.0)))
        frames = [
            Frame(i * 10**8, rgb=np.full((24, 32, 3), i, np.uint8), T_world_camera=P) for i, P in enumerate(poses)
        ]
        return [perception.step(f) for f in frames], perception.counts

    out, counts = run([T[0]] * 12)
    assert all(f.depth_m is None for f in out)
    assert counts == {"depth: the camera has not moved enough to tell the scale": 12} and not calls
    out, counts = run([None] * 12)
    assert all(f.depth_m is None for f in out) and not calls
    assert counts == {"depth: no pose, which would tell the scale": 12}
    # Odometry that has nothing to do with the camera's way.
    rng = np.random.default_rng(0)
    wild = [tf.make_transform(T[0, :3, :3], rng.normal(0, 3, 3)) for _ in range(12)]
    out, counts = run(wild)
    assert calls and all(f.depth_m is None for f in out)
    assert counts["depth: the poses do not tell the scale"] >= 9
    assert max(calls) <= 8, "a window is bounded"


def test_a_network_that_knows_the_metre_needs_no_poses():
    T, points = truth(4)
    perception = Perception(depth=ReconstructedDepth(Recorded(T, points, outliers=0.0, own_scale=False)))
    perception.step(Frame(0, rgb=np.full((24, 32, 3), 0, np.uint8), T_world_camera=T[0]))
    for i in (1, 2):
        perception.step(Frame(i, rgb=np.full((24, 32, 3), i, np.uint8), T_world_camera=T[i]))
    out = perception.step(Frame(3, rgb=np.full((24, 32, 3), 3, np.uint8)))
    np.testing.assert_allclose(out.depth_m, points[3, ..., 2], rtol=0.03)


# -- headings ----------------------------------------------------------------------------------------------------------


class Seen:
    """An estimator that says what the test hands it for each detection."""

    def __init__(self):
        self.say = []

    def estimate(self, rgb, detections, camera=None):
        return tuple(self.say)


def facing(yaw, sigma=0.3, density=None):
    """What a network says of a thing whose heading in the world is `yaw`, seen by the level camera."""
    R = LEVEL[:3, :3].T @ tf.matrices_from_quaternions(tf.yaw_to_quaternion_xyzw(np.array(yaw)))
    return OrientationEstimate(tf.quaternions_from_matrices(R), sigma, 1.0, density)


def heading(detection):
    forward = LEVEL[:3, :3] @ tf.matrices_from_quaternions(detection.orientation_camera_xyzw)[:, 0]
    return float(np.arctan2(forward[1], forward[0]))


def two_ends(rng, yaw, sigma, weight):
    """A density with two ends, of which the likelier is the front as often as it says; the network's argmax flips."""
    is_right = rng.random() < weight
    likelier = yaw + rng.normal(0, sigma) + (0 if is_right else np.pi)
    density = weight * normal(0.0, sigma) + (1 - weight) * normal(np.pi, sigma)
    return facing(likelier, float(moments(density)[1]), density)


def test_the_fused_heading_does_not_flip_and_its_sigma_is_honest():
    flips, fused_flips, squares, sigmas = 0, 0, [], []
    frames = 0
    for run in range(12):
        rng = np.random.default_rng(run)
        seen = Seen()
        headings = Headings(seen)
        yaw = rng.uniform(-np.pi, np.pi)
        for k in range(40):
            yaw += rng.normal(0, headings.config.turn_sigma_rad_s * np.sqrt(0.5))
            seen.say = [two_ends(rng, yaw, 0.3, rng.uniform(0.55, 0.9))]
            frame = Frame(k * 500_000_000, rgb=a_frame().rgb, T_world_camera=LEVEL)
            (out,) = headings.step(replace(frame, detections=(Detection("mug", 0.9, BOX, id="7"),)))
            if k < 8:
                continue
            frames += 1
            flips += (
                abs(wrap(heading(replace(out, orientation_camera_xyzw=seen.say[0].orientation_camera_xyzw)) - yaw))
                > 1.6
            )
            if out.orientation_camera_xyzw is not None:
                error = float(wrap(heading(out) - yaw))
                fused_flips += abs(error) > 1.6
                squares.append((error / out.orientation_sigma_rad) ** 2)
                sigmas.append(out.orientation_sigma_rad)
    assert flips > 0.15 * frames and len(squares) > 0.8 * frames
    assert fused_flips < 0.02 * frames
    assert 0.4 < np.mean(squares) < 1.7, "mean squared error over the squared sigma"
    assert np.median(sigmas) < 0.45


def test_the_detectors_own_heading_is_fused_too():
    seen, rng = Seen(), np.random.default_rng(1)
    headings = Headings(seen)
    last = []
    for k in range(60):
        own = facing(1.0 + rng.normal(0, 0.35), 0.35)
        body = Detection("person", 0.9, BOX, id="body 1", orientation_camera_xyzw=own.orientation_camera_xyzw,
                         orientation_sigma_rad=0.35)  # fmt: skip
        seen.say = [None]
        frame = Frame(k * 100_000_000, rgb=a_frame().rgb, T_world_camera=LEVEL, detections=(body,))
        (out,) = headings.step(frame)
        last.append((wrap(heading(out) - 1.0), out.orientation_sigma_rad))
    error, sigma = np.array(last[20:]).T
    assert np.abs(error).max() < 0.6 and np.std(error) < 0.25
    # Views within half a second are taken to repeat each other, so that the sigma stays above that of the errors.
    assert np.std(error) < sigma.min() and sigma.max() < 0.4


def test_what_has_no_id_or_no_pose_gets_what_its_picture_says():
    seen = Seen()
    headings = Headings(seen)
    seen.say = [facing(0.5, 0.3), facing(1.0, 2.0), None]
    things = tuple(Detection("mug", 0.9, BOX) for _ in range(3))
    out = headings.step(Frame(0, rgb=a_frame().rgb, T_world_camera=LEVEL, detections=things))
    assert heading(out[0]) == pytest.approx(0.5) and out[0].orientation_sigma_rad == 0.3
    assert out[1].orientation_camera_xyzw is None and out[2].orientation_camera_xyzw is None
    seen.say = [facing(0.5, 0.3)]
    lost = Frame(1, rgb=a_frame().rgb, detections=(Detection("mug", 0.9, BOX, id="1"),))
    assert headings.step(lost)[0].orientation_sigma_rad == 0.3


def test_headings_are_forgotten():
    seen = Seen()
    headings = Headings(seen)
    seen.say = [facing(0.5)]
    for k in range(200):
        thing = Detection("mug", 0.9, BOX, id=str(k))
        headings.step(Frame(k * 10**9, rgb=a_frame().rgb, T_world_camera=LEVEL, detections=(thing,)))
        assert len(headings._fusion._filters) <= headings.config.max_age_s + 2
    headings.reset()
    assert not headings._fusion._filters
    # After a reset time may begin anew.
    headings.step(Frame(0, rgb=a_frame().rgb, T_world_camera=LEVEL, detections=(Detection("mug", 0.9, BOX, id="0"),)))
