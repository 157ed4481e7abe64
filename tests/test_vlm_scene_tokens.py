"""Tracks and camera as tokens: they say what the engine measures, and nothing that the question may not know."""

from dataclasses import replace

import numpy as np
import pytest

from dsr_core import load_scene
from dsr_core.geometry import transforms as tf
from dsr_core.reasoning.agents import Agent
from dsr_core.reasoning.quantities import Viewer, direction, distance, position_in_view, speed
from dsr_core.scene import Scene
from dsr_core.vlm.compose import compose, read_off
from dsr_core.vlm.sources import make_source, make_sources
from dsr_core.vlm.sources.scene import _CHANGE, _LENGTH, _SPEED, _WHOLE
from dsr_core.vlm.values import ROLES, Context, GeometryTokens, VlmError
from tests.data import shared
from tests.smooth_scenes import smooth_scene

QUESTION = (
    "Between {:.1f}s and {:.1f}s, following the perspective of camera, how does the distance between {} and {} change?"
)
SPEEDS = "Between {:.1f}s and {:.1f}s, {}, compare the speed between {} and {}."
#: Where some numbers of an instant stand.
KNOWN, SEEN, APART, APART_UNIT, LOG_APART, SINCE_START = 0, slice(2, 5), slice(9, 12), slice(12, 15), 15, 17
SPEED = 21


@pytest.fixture(scope="module")
def scene():
    return smooth_scene(3)


@pytest.fixture(scope="module")
def pair(scene):
    """Two tracks and a window in which both are observed all the time."""
    for a in scene.tracks.values():
        for b in scene.tracks.values():
            both = a.observed & b.observed
            for start in range(0, len(both) - 40, 10):
                if a is not b and both[start : start + 31].all():
                    return a, b, (start / 10, start / 10 + 3.0)
    raise AssertionError("no two things are seen together")


def name(track):
    return f"{track.label} {track.id}"


def asked_tokens(scene, pair, **settings) -> GeometryTokens:
    a, b, window = pair
    question = QUESTION.format(*window, name(a), name(b))
    return compose(question, scene=scene, sources=make_sources({"scene": settings})).geometry["scene"]


def instants(tokens: GeometryTokens, label: str, samples: int = 16) -> np.ndarray:
    """(samples, numbers) of a thing whose token holds all of them."""
    return tokens.features[tokens.labels.index(label), :-_WHOLE].reshape(samples, -1)


def test_a_token_tells_the_distance_and_the_direction_that_the_engine_measures(scene, pair):
    a, b, window = pair
    stamps_s = np.linspace(*window, 16)
    first, second, camera = Agent(a.id, a), Agent(b.id, b), Viewer(Agent("camera"))
    told = instants(asked_tokens(scene, pair), name(a))
    away_m = distance(scene, first, second, stamps_s).values
    np.testing.assert_allclose(np.exp(told[:, LOG_APART]) * _LENGTH, away_m, rtol=1e-4)
    np.testing.assert_allclose(told[:, SINCE_START] / _CHANGE, np.log(away_m / away_m[0]), atol=1e-4)
    unit = direction(scene, first, second, camera, stamps_s).values
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    np.testing.assert_allclose(told[:, APART_UNIT], unit, atol=1e-4)
    assert told[:, KNOWN].all()


@pytest.mark.parametrize(
    "viewpoint", ["following the perspective of camera", "from the perspective of camera at {:.1f}s"]
)
def test_real_tracks_tell_what_the_engine_measures(viewpoint):
    scene = load_scene(shared("kitti_tracking"), sequence="0011")
    track = max(scene.tracks.values(), key=lambda t: t.observed.sum())
    first_s = float(track.stamps_s[0])
    window = (first_s, first_s + 3.0)
    at_s = first_s + 1.0 if "{" in viewpoint else None
    asked = SPEEDS.format(*window, viewpoint.format(at_s), name(track), "camera")
    source = make_sources({"scene": {"samples": 31, "per_token": 31}})
    tokens = compose(asked, scene=scene, window=window, sources=source).geometry["scene"]
    told = instants(tokens, name(track), 31)
    stamps_s = np.linspace(*window, 31)
    thing = Agent(track.id, track)
    away_m = distance(scene, thing, Agent("camera"), stamps_s).values
    np.testing.assert_allclose(np.exp(told[:, LOG_APART]) * _LENGTH, away_m, rtol=1e-4)
    # the labels come at 10 Hz: these instants are their stamps
    speed_mps = speed(position_in_view(scene, thing, Viewer(Agent("camera"), at_s), stamps_s)).values
    np.testing.assert_allclose(told[:, SPEED] * _SPEED, speed_mps, rtol=1e-4, atol=1e-6)


def test_roles_stand_by_those_whom_the_question_names(scene, pair):
    a, b, window = pair
    tokens = asked_tokens(scene, pair)
    roles = {label: row for label, row in zip(tokens.labels, tokens.features[:, -len(ROLES) :].tolist(), strict=True)}
    assert roles[name(a)] == [1, 0, 0] and roles[name(b)] == [0, 1, 0] and roles["camera"] == [0, 0, 1]
    others = [row for label, row in roles.items() if label not in (name(a), name(b), "camera")]
    assert not np.any(others)
    _, viewer, named = read_off(QUESTION.format(*window, name(a), "camera"), scene)
    assert viewer.agent.name == "camera" and named == {a.id: ("subject",), "camera": ("object", "viewer")}
    unmarked = asked_tokens(scene, pair, marked=False)
    assert not unmarked.features[:, -len(ROLES) :].any() and sorted(unmarked.labels) == sorted(tokens.labels)
    np.testing.assert_array_equal(instants(unmarked, name(a))[:, SEEN], instants(tokens, name(a))[:, SEEN])
    unread = asked_tokens(scene, pair, as_asked=False)
    assert not unread.features[:, -len(ROLES) :].any() and len(unread) >= len(tokens)


@pytest.mark.parametrize("seed", range(5))
def test_a_rigid_motion_of_the_world_changes_nothing(scene, pair, seed):
    rng = np.random.default_rng(seed)
    turn = tf.matrices_from_quaternions(rng.normal(size=(1, 4)))[0]
    moved = scene.transformed(tf.make_transform(turn, rng.uniform(-100.0, 100.0, 3)))
    a, b, window = pair
    pair_there = moved.tracks[a.id], moved.tracks[b.id], window
    here, there = asked_tokens(scene, pair), asked_tokens(moved, pair_there)
    assert here.labels == there.labels
    np.testing.assert_allclose(here.features, there.features, atol=2e-3)


@pytest.mark.parametrize("scale", [0.01, 0.3, 7.0])
def test_the_scale_of_a_world_without_metres_changes_nothing(scene, pair, scale):
    unscaled = replace(scene, metric=False)
    other = unscaled.transformed(scale=scale)
    a, b, window = pair
    here = asked_tokens(unscaled, pair)
    there = asked_tokens(other, (other.tracks[a.id], other.tracks[b.id], window))
    np.testing.assert_allclose(here.features, there.features, atol=2e-3)
    metric = asked_tokens(scene.transformed(scale=scale), pair)
    assert np.abs(metric.features - asked_tokens(scene, pair).features).max() > 0.1


def test_twice_as_many_samples_change_little(scene, pair):
    a, b, window = pair
    thin = replace(scene, tracks={i: t[::2] for i, t in scene.tracks.items()})
    dense = instants(asked_tokens(scene, pair), name(a))
    sparse = instants(asked_tokens(thin, (a, b, window)), name(a))
    np.testing.assert_allclose(dense[:, SEEN], sparse[:, SEEN], atol=0.01)
    np.testing.assert_allclose(dense[:, APART], sparse[:, APART], atol=0.02)


def test_the_future_is_hidden(scene, pair):
    a, _, (start_s, end_s) = pair
    question = f"From the perspective of camera at {start_s:.1f}s, predict the moving direction of {name(a)}"
    sources = make_sources({"scene": {}})

    def composed(known: Scene):
        return compose(question, scene=known, future_from_s=end_s, sources=sources).geometry["scene"].features

    other = {}
    for i, track in scene.tracks.items():
        elsewhere = track.positions_world_m.copy()
        elsewhere[track.stamps_s > end_s] += 50.0
        other[i] = replace(track, positions_world_m=elsewhere)
    np.testing.assert_array_equal(composed(scene), composed(replace(scene, tracks=other)))


def test_long_memories_are_cut_into_tokens_and_things_are_bounded(scene, pair):
    a, b, _ = pair
    source = make_source("scene", {"samples": 32, "per_token": 8, "most_things": 3})
    tokens = source.tokens(Context(scene, roles={a.id: ("subject",), b.id: ("object",)}))
    assert len(tokens) == 3 * 4 and tokens.features.shape[1] == source.features
    assert set(tokens.labels) == {"camera", name(a), name(b)} or {name(a), name(b)} <= set(tokens.labels)
    whole = make_source("scene", {"samples": 32, "per_token": 32, "most_things": 3}).tokens(
        Context(scene, roles={a.id: ("subject",), b.id: ("object",)})
    )
    part = source.features - _WHOLE
    np.testing.assert_array_equal(tokens.features[:4, :part].reshape(-1), whole.features[0, : 4 * part])


def test_a_thing_that_is_not_observed_is_unknown_there(scene):
    track = next(t for t in scene.tracks.values() if 0 < t.observed.sum() < len(t) - 30)
    tokens = make_source("scene", {"samples": 201, "per_token": 201}).tokens(Context(scene))
    known = instants(tokens, name(track), 201)[:, KNOWN] > 0
    assert known.any() and not known.all()
    assert not instants(tokens, name(track), 201)[~known].any()
    assert (known >= track.observed).all() and known.sum() <= track.observed.sum() + 3 * 8


@pytest.mark.parametrize("lacking", ["poses", "tracks", "everything"])
def test_scenes_that_lack_something_have_what_is_left(scene, lacking):
    poor = {
        "poses": replace(scene, T_world_camera=None, T_world_base=None),
        "tracks": replace(scene, tracks={}),
        "everything": Scene(stamps_s=np.zeros(0)),
    }[lacking]
    tokens = make_source("scene").tokens(Context(poor))
    assert "camera" not in tokens.labels if lacking != "tracks" else tokens.labels == ("camera",)
    assert len(tokens) == 0 if lacking == "everything" else len(tokens) > 0
    assert np.isfinite(tokens.features).all()


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"samples": 10, "per_token": 4}, "multiple of per_token = 4"),
        ({"scale": "feet"}, "'feet'"),
        ({"most_things": 0}, "most_things = 0"),
        ({"wavelengths": [1.0, 0.0]}, "wavelengths"),
        ({"sample": 3}, "sample"),
    ],
)
def test_settings_that_cannot_be(settings, told):
    with pytest.raises(VlmError, match=told):
        make_source("scene", settings)


def test_waves_and_boxes_can_be_left_out(scene, pair):
    plain = make_source("scene", {"wavelengths": [], "boxes": False})
    waves = make_source("scene")
    assert waves.features - plain.features == 16 * 6 * 4
    told = instants(asked_tokens(scene, pair, wavelengths=[], boxes=False), name(pair[0]))
    with_waves = instants(asked_tokens(scene, pair, boxes=False), name(pair[0]))
    np.testing.assert_array_equal(told, with_waves[:, : told.shape[1]])


@pytest.mark.parametrize("window", [(30.0, 31.0), (-5.0, -1.0), (4.0, 3.0), (0.0, np.inf)])
def test_windows_outside_the_scene_are_told(scene, window):
    with pytest.raises(VlmError, match="the window"):
        make_source("scene").tokens(Context(scene, window=window))


def test_values_that_are_no_numbers_are_told():
    with pytest.raises(VlmError, match="1 of 2 geometry tokens are not finite"):
        GeometryTokens(np.array([[1.0, 2.0], [np.nan, 0.0]]))
    with pytest.raises(VlmError, match="no geometry source 'lidar'"):
        make_sources({"lidar": {}})


def test_a_question_that_the_grammar_does_not_read_still_has_tokens(scene):
    asked = compose("What might happen next?", scene=scene, sources=make_sources({"scene": {}}))
    assert len(asked.geometry["scene"]) > 1
