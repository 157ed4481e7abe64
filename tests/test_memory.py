"""SceneMemory: a bounded rolling window whose views stay true while the memory moves on."""

import numpy as np
import pytest

from dsr_core.errors import TrackingError
from dsr_core.memory import MemoryConfig, SceneMemory
from dsr_core.pipeline import WorldConfig, WorldModel
from dsr_core.scene import Scene
from dsr_core.tracking.state import TrackSamples
from dsr_core.values import FrameObservations, Observation

START_NS = 1_700_000_000_000_000_000


def samples(ids, stamp_s, value=0.0, label="car", observed=True, size=(4.0, 1.8, 1.5)):
    n = len(ids)
    return TrackSamples(
        ids=list(ids),
        labels=[label] * n,
        stamps_s=np.full(n, stamp_s),
        positions_world_m=np.full((n, 3), value),
        covariances=np.broadcast_to(np.eye(3) * 0.01, (n, 3, 3)),
        velocities=np.full((n, 3), 1.0),
        orientations_xyzw=np.full((n, 4), np.nan),
        orientation_sigmas_rad=np.full(n, 0.1),
        sizes_lwh_m=np.broadcast_to(np.array(size), (n, 3)),
        boxes_px=np.full((n, 4), np.nan),
        scores=np.ones(n),
        observed=np.full(n, observed),
    )


def filled(memory, count, ids=("1", "2"), rate_hz=10.0, start=0, **poses):
    poses = poses or {"T_world_camera": np.eye(4), "T_world_base": np.eye(4)}
    for k in range(start, start + count):
        memory.append(START_NS + round(k * 1e9 / rate_hz), samples(ids, k / rate_hz, float(k)), **poses)
    return memory


def stored(memory):
    return sum(len(t) for t in memory.scene().tracks.values())


def test_what_goes_in_comes_out_and_is_a_valid_scene(tmp_path):
    memory = SceneMemory(world_frame="map")
    memory.append(START_NS, samples(["1"], 0.0, 5.0), np.eye(4), np.eye(4), np.eye(3), (640, 480))
    filled(memory, 20, ids=("1",), start=1)
    scene = memory.scene()
    assert (scene.origin_ns, scene.world_frame, scene.image_size) == (START_NS, "map", (640, 480))
    track = scene.tracks["1"]
    assert len(track) == 21 and track.positions_world_m[0, 0] == 5.0 and track.image_size == (640, 480)
    assert track.covariances.shape == (21, 3, 3) and track.covariances[3, 1, 1] == 0.01
    assert np.allclose(track.size_lwh_m, (4.0, 1.8, 1.5))
    # Built without checks; the checked constructors must agree with it, and so must a saved copy.
    again = Scene.load(scene.save(tmp_path / "a.scene.npz"))
    for name, value in vars(track).items():
        if isinstance(value, np.ndarray):
            assert np.array_equal(getattr(again.tracks["1"], name), value, equal_nan=True), name
        else:
            assert getattr(again.tracks["1"], name) == value, name


def test_window_rolls():
    memory = filled(SceneMemory(MemoryConfig(memory_s=5.0)), 200)
    scene = memory.scene()
    assert scene.stamps_s[0] == pytest.approx(14.9) and scene.stamps_s[-1] == pytest.approx(19.9)
    assert len(scene.tracks["1"]) == 51 and len(memory) == 102 == stored(memory)
    filled(memory, 60, ids=("3",), start=200)
    assert list(memory.scene().tracks) == ["3"]


def test_bounds_hold_for_tracks_samples_and_arrays():
    memory = SceneMemory(MemoryConfig(memory_s=1e6, max_tracks=5, max_samples=300))
    for k in range(2000):
        memory.append(START_NS + k * 100_000_000, samples([str(k // 10), "always"], k / 10), np.eye(4), np.eye(4))
        assert len(memory._histories) <= 5 and len(memory) <= 300
    assert stored(memory) == len(memory)
    assert "always" in memory.scene().tracks and "199" in memory.scene().tracks
    kept = sum(h.columns._arrays["stamps_s"].size for h in memory._histories.values())
    assert kept < 1500


def test_arrays_do_not_grow_with_time():
    memory = filled(SceneMemory(MemoryConfig(memory_s=2.0)), 3000)
    assert memory._histories["1"].columns._arrays["stamps_s"].size < 200
    assert memory._cameras._arrays["stamps_s"].size < 200


def test_an_older_scene_does_not_change_while_the_memory_moves_on():
    memory = filled(SceneMemory(MemoryConfig(memory_s=3.0)), 40)
    scene = memory.scene()
    before = {
        name: getattr(scene.tracks["1"], name).copy() for name in ("stamps_s", "positions_world_m", "covariances")
    }
    filled(memory, 500, start=40)
    for name, value in before.items():
        assert np.array_equal(getattr(scene.tracks["1"], name), value)


def test_snapshot_is_cached_and_made_of_views():
    memory = filled(SceneMemory(), 50)
    scene = memory.scene()
    assert memory.scene() is scene and memory.scene(99.0) is scene and memory.scene(2.0) is memory.scene(2.0)
    assert np.shares_memory(scene.tracks["1"].positions_world_m, memory._histories["1"].columns._arrays["rows"])
    other = scene.tracks["2"]
    filled(memory, 1, ids=("1",), start=50)
    assert memory.scene() is not scene and memory.scene().tracks["2"] is other
    for until in np.linspace(0, 4, 40):
        memory.scene(float(until))
    assert len(memory._scenes) <= 4


def test_until_is_what_was_known_then():
    """Labels, sizes and tracks that became known later are not in an earlier scene."""
    memory = SceneMemory()
    memory.append(START_NS, samples([], 0.0), np.eye(4))
    memory.append(START_NS + 100_000_000, samples(["1"], 0.1, label="car", size=(4, 2, 1)), np.eye(4))
    late = TrackSamples.joined(
        [samples(["2"], 0.0), samples(["2"], 0.1), samples(["1", "2"], 0.2, label="truck", size=(6, 2, 2))]
    )
    memory.append(START_NS + 200_000_000, late, np.eye(4))
    then, now = memory.scene(0.1), memory.scene()
    assert (
        list(then.tracks) == ["1"]
        and then.tracks["1"].label == "car"
        and np.allclose(then.tracks["1"].size_lwh_m, (4, 2, 1))
    )
    assert list(now.tracks) == ["1", "2"] and now.tracks["1"].label == "truck" and len(now.tracks["2"]) == 3
    assert len(then.stamps_s) == 2 and memory.scene(-1.0).tracks == {}


def test_poses_that_are_missing_are_left_out():
    eye = np.eye(4)
    memory = SceneMemory()
    assert memory.scene().T_world_camera is None and len(memory.scene().stamps_s) == 0
    for k in range(6):
        memory.append(START_NS + k, samples([], 0.0), eye if k % 2 else None, eye if k != 3 else None)
    scene = memory.scene()
    assert len(scene.stamps_s) == 2 and scene.T_world_camera.shape == scene.T_world_base.shape == (2, 4, 4)
    only = filled(SceneMemory(), 5, T_world_base=eye).scene()
    assert only.T_world_camera is None and len(only.T_world_base) == 5 == len(only.stamps_s)


def test_clear_forgets():
    memory = filled(SceneMemory(), 10)
    memory.clear()
    assert memory.origin_ns is None and len(memory) == 0 and memory.scene().tracks == {}
    assert filled(memory, 3).scene().tracks["1"].stamps_s[0] == 0.0


@pytest.mark.parametrize(
    "change", [{"memory_s": 0}, {"max_tracks": 0}, {"max_samples": -1}, {"memory_s": float("nan")}]
)
def test_config_is_checked(change):
    with pytest.raises(TrackingError):
        MemoryConfig(**change)
    with pytest.raises(TrackingError):
        WorldConfig(**change)


def test_world_online_at_t_equals_offline_until_t():
    """Each scene taken while the recording ran equals the finished world's `scene(until)`."""
    rng = np.random.default_rng(0)
    world, online = WorldModel(), []
    for k in range(80):
        seen = [
            Observation(
                "person",
                np.array([0.1 * k, i * 3.0, 0]) + rng.normal(0, 0.05, 3),
                np.eye(3) * 0.0025,
                size_lwh_m=rng.normal(1, 0.1, 3),
            )
            for i in range(3)
            if rng.random() > 0.3 and k > 15 * i
        ]
        world.step(FrameObservations(START_NS + k * 100_000_000, tuple(seen), np.eye(4), np.eye(4)))
        scene = world.scene()
        online.append(
            (
                world.newest_s,
                {
                    i: (len(t), t.label, t.size_lwh_m.copy(), t.positions_world_m.copy())
                    for i, t in scene.tracks.items()
                },
            )
        )
    assert len(world.scene().tracks) >= 3
    whole = world.scene()
    for stamp_s, tracks in online:
        assert {i: len(t) for i, t in whole.until(stamp_s).tracks.items()} == {i: t[0] for i, t in tracks.items()}
        offline = world.scene(stamp_s).tracks
        assert list(offline) == list(tracks)
        for i, (n, label, size, positions) in tracks.items():
            assert len(offline[i]) == n and offline[i].label == label
            assert np.array_equal(offline[i].size_lwh_m, size) and np.array_equal(
                offline[i].positions_world_m, positions
            )
