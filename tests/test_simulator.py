"""The simulated warehouse: the same every time, true to its truth, and usable by the tracker."""

from dataclasses import replace

import numpy as np
import pytest

from dsr_core.errors import DependencyError, SourceError
from dsr_core.geometry import transforms as tf
from dsr_core.perception.lift import observe
from dsr_core.sources import simulator_script as script
from dsr_core.sources.simulator import Simulator, open_simulator, recognises
from dsr_core.sources.simulator_noise import DepthNoise, DetectorNoise, noisy_depth

IDS = {actor.label: actor.id for actor in script.ACTORS}
GENTLE = DetectorNoise(miss=0.0, false_alarms=0.0, pixel_sigma=0.0)


@pytest.fixture(scope="module")
def simulator():
    return Simulator(render=False)


@pytest.fixture(scope="module")
def rendered():
    """Eight rendered frames, 5 s apart, without a detector's errors."""
    source = Simulator(rate_hz=0.5, duration_s=40.0, detector_noise=GENTLE)
    source.stamps_ns, keep = source.stamps_ns[::3], slice(None, None, 3)
    source.stamps_s, source.T_map_base, source.T_odom_base = (
        source.stamps_s[keep],
        source.T_map_base[keep],
        source.T_odom_base[keep],
    )
    source.T_map_camera, source.T_odom_camera = source.T_map_camera[keep], source.T_odom_camera[keep]
    source.T_map_actor = {i: T[keep] for i, T in source.T_map_actor.items()}
    return source, rendered_frames(source)


def rendered_frames(source):
    try:
        return list(source.frames())
    except (SourceError, DependencyError) as error:
        pytest.skip(f"no off-screen rendering here: {error}")


def same(a, b):
    return all(
        np.array_equal(x.stamp_ns, y.stamp_ns)
        and np.array_equal(x.T_world_camera, y.T_world_camera)
        and len(x.detections) == len(y.detections)
        and all(
            d.label == e.label and d.score == e.score and np.array_equal(d.position_camera_m, e.position_camera_m)
            for d, e in zip(x.detections, y.detections, strict=True)
        )
        for x, y in zip(a, b, strict=True)
    )


def test_same_seed_same_recording_and_other_seed_another():
    first, again, other = (list(Simulator(duration_s=6, render=False, seed=s).frames()) for s in (4, 4, 5))
    assert same(first, again)
    assert not same(first, other)


def test_a_longer_recording_begins_like_a_shorter_one():
    short, long = (list(Simulator(duration_s=d, render=False).frames()) for d in (2, 4))
    assert same(short, long[: len(short)])


@pytest.mark.parametrize("rate_hz", [5.0, 10.0, 15.0])
def test_rate_and_length(rate_hz):
    source = Simulator(duration_s=4, rate_hz=rate_hz, render=False)
    stamps = np.array([f.stamp_ns for f in source.frames()])
    assert len(stamps) == len(source) == round(4 * rate_hz)
    assert np.allclose(np.diff(stamps) * 1e-9, 1 / rate_hz, atol=1e-8)


@pytest.mark.parametrize("world_frame", ["odom", "map"])
def test_velocities_are_the_derivatives_of_the_positions(simulator, world_frame):
    for track in simulator.truth(world_frame).tracks.values():
        slope = np.gradient(track.positions_world_m, track.stamps_s, axis=0)
        assert np.abs(slope - track.velocities)[1:-1].max() < 0.12
        assert np.median(np.abs(slope - track.velocities)) < 0.003


def test_both_truths_have_the_same_relative_geometry(simulator):
    odom, world = simulator.truth("odom"), simulator.truth("map")
    for id in odom.tracks:
        a, b = (tf.transform_points(tf.invert(s.T_world_base), s.tracks[id].positions_world_m) for s in (odom, world))
        assert np.allclose(a, b, atol=1e-9)


def test_odometry_drifts_without_jumps_and_only_while_the_robot_moves(simulator):
    gap = simulator.T_odom_base[:, :2, 3] - simulator.T_map_base[:, :2, 3]
    assert 0.01 < np.linalg.norm(gap[-1]) < 1.0
    assert np.linalg.norm(np.diff(gap, axis=0), axis=1).max() < 0.01
    stands = (simulator.stamps_s > 9.5) & (simulator.stamps_s < 10.5)
    assert np.ptp(gap[stands], axis=0).max() < 1e-4


def test_the_play(simulator):
    truth = simulator.truth("map")
    distance = {
        label: np.linalg.norm((truth.tracks[i].positions_world_m - truth.T_world_base[:, :3, 3])[:, :2], axis=1)
        for label, i in IDS.items()
    }
    forklift, t = distance["forklift"], truth.stamps_s
    assert forklift[t < 7].argmax() < forklift[t < 7].argmin()
    assert forklift[np.argmin(np.abs(t - 19))] > forklift[np.argmin(np.abs(t - 12))] + 3
    bearing = tf.transform_points(tf.invert(truth.T_world_base), truth.tracks[IDS["person"]].positions_world_m)[:, 1]
    assert bearing[0] > 1.0 and bearing[np.argmin(np.abs(t - 11))] < -1.0
    headings = truth.tracks[IDS["person"]].orientations_xyzw
    facing = tf.matrices_from_quaternions(headings)[:, :2, 0]
    assert facing[np.argmin(np.abs(t - 10))] @ facing[np.argmin(np.abs(t - 14))] < -0.95
    assert np.ptp(truth.tracks[script.PARKED_ID].positions_world_m, axis=0).max() == 0.0
    robot = np.unwrap(np.arctan2(truth.T_world_base[:, 1, 0], truth.T_world_base[:, 0, 0]))
    assert np.ptp(robot) > np.radians(15)


def test_things_are_in_view_for_most_of_the_time(simulator):
    for id, share in simulator.visibility.items():
        assert (share > 0.15).mean() > 0.85, id


def hidden_spans(track):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (~track.observed).astype(int), [0]])))
    return [(track.stamps_s[a], track.stamps_s[b - 1]) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def test_one_thing_is_hidden_for_about_two_seconds(simulator):
    cart = simulator.truth().tracks[script.HIDDEN_ID]
    longest = max(hidden_spans(cart), key=lambda s: s[1] - s[0])
    assert 1.5 <= longest[1] - longest[0] <= 2.5
    assert (
        np.linalg.norm(cart.velocities[(cart.stamps_s > longest[0]) & (cart.stamps_s < longest[1])], axis=1).min() > 0.5
    )
    seen = [
        f.stamp_ns
        for f in simulator.frames()
        for d in f.detections
        if d.label == "cart" and d.score > 0.56
        and longest[0] <= (f.stamp_ns - simulator.stamps_ns[0]) * 1e-9 <= longest[1]
    ]  # fmt: skip
    assert not seen


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_thing_keeps_one_id_through_the_whole_recording(seed):
    """The hidden cart too: one track covers its time before and after."""
    source = Simulator(render=False, seed=seed, detections="simulator")
    truth, scene = source.truth(), source.scene()
    for label, id in IDS.items():
        tracks = [t for t in scene.tracks.values() if t.label == label and len(t) > 20]
        assert len(tracks) == 1, f"{label}: {[(t.id, len(t)) for t in tracks]}"
        rows = np.searchsorted(truth.stamps_s, tracks[0].stamps_s - 1e-6)
        error = np.linalg.norm(tracks[0].positions_world_m - truth.tracks[id].positions_world_m[rows], axis=1)
        assert np.median(error) < 0.15, label
        assert tracks[0].stamps_s[0] < 2.0 and tracks[0].stamps_s[-1] > 37.0


def test_detector_misses_and_false_alarms_come_at_their_rates():
    noise = DetectorNoise(miss=0.2, false_alarms=0.5)
    source = Simulator(render=False, detector_noise=noise)
    seen = alarms = due = 0
    for i, frame in enumerate(source.frames()):
        alarms += sum(d.orientation_camera_xyzw is None for d in frame.detections)
        whole = {a.label for a in script.ACTORS if source.visibility[a.id][i] >= noise.well_visible}
        seen += sum(d.orientation_camera_xyzw is not None and d.label in whole for d in frame.detections)
        due += len(whole)
    assert abs(1 - seen / due - 0.2) < 0.04
    assert abs(alarms / len(source) - 0.5) < 0.12


def test_depth_noise_grows_with_range_and_leaves_holes():
    noise = DepthNoise()
    rng = np.random.default_rng(0)
    spread = {}
    for z in (2.0, 10.0):
        measured = noisy_depth(np.full((100, 100), z, np.float32), noise, rng)
        spread[z] = np.std(measured - z)
        assert spread[z] == pytest.approx(noise.constant_m + noise.quadratic_per_m * z * z, rel=0.1)
        assert np.abs(measured * 1000 - np.round(measured * 1000)).max() < 0.01
    step = np.full((50, 50), 3.0, np.float32)
    step[:, 25:] = 20.0
    measured = noisy_depth(step, noise, rng)
    assert np.isnan(measured[:, 25:]).all()
    assert 0.3 < np.isnan(measured[:, 24]).mean() < 0.9
    assert not np.isnan(measured[:, :23]).any()


def test_settings_in_the_name():
    assert recognises("sim:") and recognises("sim:seed=3") and not recognises("simulation.mcap")
    source = open_simulator("sim:seed=3,duration=20,render=0", rate=5.0)
    assert (source.seed, len(source), source.render) == (3, 100, False)
    for bad in ("sim:speed=3", "sim:seed=x"):
        with pytest.raises(SourceError, match="seed"):
            open_simulator(bad)
    with pytest.raises(SourceError, match="duration"):
        Simulator(duration_s=0)
    with pytest.raises(SourceError, match="odom"):
        Simulator(render=False).truth("world")


def test_truth_lies_inside_the_rendered_boxes(rendered):
    source, frames = rendered
    checked = 0
    for i, frame in enumerate(frames):
        for d in frame.detections:
            id = IDS[d.label]
            if source.visibility[id][i] < 0.99:
                continue
            centre = source.T_map_actor[id][i][:3, 3]
            u, v = source.camera.project(tf.transform_points(tf.invert(source.T_map_camera[i]), centre))[0]
            x1, y1, x2, y2 = d.box_px
            assert x1 < u < x2 and y1 < v < y2, (d.label, i)
            amodal = source.truth().tracks[id].boxes_px[i]
            # A walker's feet reach out of its box.
            spare = 20 if d.label == "person" else 5
            assert (d.box_px[:2] > amodal[:2] - spare).all() and (d.box_px[2:] < amodal[2:] + spare).all(), (d.label, i)
            checked += 1
    assert checked >= 8


def test_rendering_is_the_same_every_time_and_depth_is_of_the_things(rendered):
    source, frames = rendered
    again = next(source.frames())
    assert np.array_equal(frames[0].rgb, again.rgb)
    assert np.array_equal(frames[0].depth_m, again.depth_m, equal_nan=True)
    assert frames[0].rgb.dtype == np.uint8 and frames[0].depth_m.dtype == np.float32
    assert frames[0].rgb.std() > 20
    floor = frames[0].depth_m[470, 320]
    v = source.camera.rays(np.array([[320.0, 470.0]]))[0]
    down = (source.T_map_camera[0][:3, :3] @ v)[2]
    assert floor == pytest.approx(-source.T_map_camera[0][2, 3] / down, rel=0.02)


def lifted_errors(source, frames):
    """Distances of lifted centres from the truth, of wholly visible things."""
    truth, errors = source.truth(), []
    for i, frame in enumerate(frames):
        for o in observe(frame).observations:
            id = IDS[o.label]
            if source.visibility[id][i] > 0.95:
                errors.append(np.linalg.norm(o.position_world_m - truth.tracks[id].positions_world_m[i]))
    return np.array(errors)


def test_lifted_positions_are_near_the_truth(rendered):
    """Half of the whole things within 0.2 m, and all within 0.6 m, at up to 13 m."""
    errors = lifted_errors(*rendered)
    assert len(errors) >= 8
    assert np.median(errors) < 0.2 and max(errors) < 0.6, np.round(errors, 2)


def test_a_known_heading_makes_lifting_better(rendered):
    source, frames = rendered
    blind = [
        replace(f, detections=tuple(replace(d, orientation_camera_xyzw=None) for d in f.detections)) for f in frames
    ]
    assert np.median(lifted_errors(source, frames)) < 0.8 * np.median(lifted_errors(source, blind))


def test_hidden_cart_is_not_rendered():
    truth = Simulator(render=False).truth().tracks[script.HIDDEN_ID]
    start, end = max(hidden_spans(truth), key=lambda s: s[1] - s[0])
    source = Simulator(duration_s=end + 0.3, rate_hz=10, detector_noise=GENTLE)
    source.stamps_ns = source.stamps_ns[round((start + end) / 2 * 10) :][:1]
    middle = slice(round((start + end) / 2 * 10), None)
    source.T_map_camera, source.T_odom_camera = source.T_map_camera[middle], source.T_odom_camera[middle]
    source.T_odom_base, source.stamps_s = source.T_odom_base[middle], source.stamps_s[middle]
    source.T_map_actor = {i: T[middle] for i, T in source.T_map_actor.items()}
    frame = rendered_frames(source)[0]
    assert "cart" not in {d.label for d in frame.detections}
    assert {"forklift", "person"} <= {d.label for d in frame.detections}


def test_the_simulator_is_a_source_by_name():
    import dsr_core
    from dsr_core.errors import SourceError
    from dsr_core.sources import open_source

    scene = dsr_core.load_scene("sim:duration=3,rate=10,render=0,seed=2")
    assert {t.label for t in scene.tracks.values()} >= {"forklift", "person"}
    assert len(open_source("sim:duration=3,render=0")) == 30
    with pytest.raises(SourceError, match="colour"):
        open_source("sim:colour=red")


def test_a_shifted_mask_does_not_wrap_round():
    from dsr_core.sources.simulator import shifted

    mask = np.zeros((4, 5), bool)
    mask[0, 4] = mask[2, 2] = True
    assert shifted(mask, -1, 1).tolist() == [[False] * 5, [False, False, False, True, False], [False] * 5, [False] * 5]
