"""Tracking of real detections (PointRCNN on KITTI) against the labels."""

import sys
from pathlib import Path

import numpy as np
import pytest
from data import shared

from dsr_core.perception.lift import observe
from dsr_core.pipeline import WorldModel
from dsr_core.sources.kitti import KittiTracking
from dsr_core.tracking.metrics import TrackingScore, compare

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

SEQUENCES = ("0001", "0002", "0006", "0010", "0011")


@pytest.fixture(scope="module")
def scores():
    from tracking import HEADER, row, score_sequence

    root = shared("kitti_tracking")
    total, by_sequence = TrackingScore(), {}
    print(f"\n{HEADER}")
    for sequence in SEQUENCES:
        by_sequence[sequence] = score = score_sequence(root, sequence)
        print(row(sequence, score))
        total.add(score)
    print(row("all", total))
    return by_sequence, total


def test_things_are_found_and_keep_their_ids(scores):
    by_sequence, total = scores
    assert total.recall > 0.8 and total.precision > 0.65 and total.mota > 0.45
    assert total.id_switches < 0.1 * total.things
    assert np.mean(total.ids_per_thing) < 1.1
    assert all(s.recall > 0.6 for s in by_sequence.values())


def test_positions_are_close_and_covariances_honest(scores):
    _, total = scores
    assert np.median(total.errors_m) < 0.18 and np.quantile(total.errors_m, 0.95) < 0.6
    assert 0.6 < np.median(total.nees) < 4.0 and np.mean(np.minimum(total.nees, 50)) < 6.0


def test_parked_cars_stand_and_moving_ones_have_their_speed(scores):
    _, total = scores
    speeds = np.array(total.speeds)
    parked, moving = speeds[speeds[:, 0] < 0.2], speeds[speeds[:, 0] > 2.0]
    assert len(parked) > 1000 and len(moving) > 1000
    assert np.median(parked[:, 1]) < 0.05 and np.quantile(parked[:, 1], 0.95) < 0.3
    assert np.median(moving[:, 2]) < 0.6 and np.median(np.abs(moving[:, 0] - moving[:, 1])) < 0.4


def test_labels_as_detections_are_tracked_almost_perfectly():
    source = KittiTracking(shared("kitti_tracking"), "0001")
    world = WorldModel()
    for frame in source.frames():
        world.step(observe(frame))
    score = compare(source.truth(), world.scene())
    assert score.recall > 0.95 and score.precision > 0.99 and score.id_switches == 0


def test_cars_are_tracked_by_overlaps_of_boxes():
    from tracking import judge
    from tracking_kitti import comparisons, found_online, found_remembered

    from dsr_core.tracking.config import TrackerConfig

    sources = [KittiTracking(shared("kitti_tracking"), name, "pointrcnn") for name in ("0006", "0012")]
    reached = {}
    for way in (found_online, found_remembered):
        recordings = [list(comparisons(s, way(s, TrackerConfig()), "car")) for s in sources]
        clear, whole = judge(recordings, 0.25)
        assert clear.best.switches <= 1 and 0 < whole.hota < 1
        reached[way.__name__] = clear.samota
    assert reached["found_online"] > 0.85 and reached["found_remembered"] > reached["found_online"]


def test_answers_from_detected_tracks_are_those_from_labelled_tracks():
    from tracking_answers import fidelity

    kinds = ("distance", "direction", "motion", "displacement", "speed_comparison", "nearest")
    counts = fidelity(shared("kitti_tracking"), ("0010",), 12, kinds=kinds)
    same = sum(counts[k]["same"] for k in kinds[:5])
    assert same >= 0.85 * sum(counts[k]["same"] + counts[k]["other"] for k in kinds[:5]) and same > 20
    assert counts["nearest, tracked"]["same"] >= counts["nearest"]["same"] > 0


def test_answers_are_compared_by_meaning():
    from tracking_answers import same

    from dsr_core.reasoning.answer import Answer, State

    def told(label, kind="distance", start=0.0, end=2.0):
        return Answer("", kind, states=(State(label, start, end),))

    assert same(told("increasing"), told("increasing"), {}) and not same(told("increasing"), told("decreasing"), {})
    assert same(told("5", "nearest"), told("a", "nearest"), {"a": "5"})
    assert not same(told("6", "nearest"), told("a", "nearest"), {"a": "5"})
    assert same(told("3", "count"), told("3", "count"), {"3": "5"})
    assert same(Answer("", value=4.3, sigma=0.1), Answer("", value=4.0, sigma=0.1), {})
    assert same(Answer("", value=0.1, unit="s"), Answer("", value=0.0, unit="s"), {})
    assert not same(Answer("", value=6.0, sigma=0.1), Answer("", value=4.0, sigma=0.1), {})


def test_metrics_count_by_hand():
    from fakes import fake_scene, fake_track

    truth = fake_scene(fake_track("a", start=(10, 0, 0), duration_s=2), fake_track("b", start=(10, 9, 0), duration_s=2))
    one = fake_track("1", start=(10, 0.5, 0), duration_s=1, sigma_m=0.5)
    two = fake_track("2", start=(10, 0.5, 0), duration_s=2, sigma_m=0.5)[11:]
    stray = fake_track("3", start=(50, 0, 0), duration_s=0.4, sigma_m=0.5)
    score = compare(truth, fake_scene(one, two, stray))
    assert (score.truths, score.matches, score.false_alarms, score.id_switches, score.fragments) == (42, 21, 5, 1, 0)
    assert score.things == 1 and score.ids_per_thing == [2]
    assert np.allclose(score.errors_m, 0.5) and np.allclose(score.nees, 1.0)
    assert score.mota == pytest.approx(1 - (21 + 5 + 1) / 42)
