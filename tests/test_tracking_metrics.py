"""HOTA, CLEAR over recall and the overlap of boxes, against what was computed by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_core.geometry.upright_boxes import iou_3d
from dsr_core.tracking.clear_over_recall import over_recall
from dsr_core.tracking.hota import ALPHAS, hota
from dsr_core.tracking.matching import Comparison


def compared(true_ids, found_ids, similarity, scores=None, optional=None, excused=None):
    g, m = len(true_ids), len(found_ids)
    return Comparison(
        true_ids=np.array(true_ids, int),
        found_ids=np.array(found_ids, int),
        similarity=np.array(similarity, float).reshape(g, m),
        scores=np.ones(m) if scores is None else np.array(scores, float),
        optional=np.zeros(g, bool) if optional is None else np.array(optional),
        excused=np.zeros(m, bool) if excused is None else np.array(excused),
    )


def test_overlap_by_hand():
    box = [10.0, 5.0, 1.0, 4.0, 2.0, 1.0, 0.0]
    ahead, above, apart = (np.add(box, d) for d in ([2, 0, 0, 0, 0, 0, 0], [0, 0, 0.5, 0, 0, 0, 0], [4.5] + [0] * 6))
    across = np.add(box, [0, 0, 0, 0, 0, 0, np.pi / 2])
    assert np.allclose(iou_3d([box], [box, ahead, above, apart, across]), [[1, 1 / 3, 1 / 3, 0, 4 / 12]])
    square = np.array([0.0, 0, 0, 2, 2, 3, 0])
    octagon = 8 * (np.sqrt(2) - 1)
    assert iou_3d([square], [[0, 0, 0, 2, 2, 3, np.pi / 4]]) == pytest.approx(octagon / (8 - octagon))
    assert iou_3d(np.zeros((0, 7)), [box]).shape == (0, 1) and iou_3d([np.zeros(7)], [np.zeros(7)])[0, 0] == 0


def corners(box):
    R = np.array([[np.cos(box[6]), -np.sin(box[6])], [np.sin(box[6]), np.cos(box[6])]])
    return [R @ (box[3] / 2 * a, box[4] / 2 * b) + box[:2] for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1))]


def clipped_area(polygon, window):
    """Area of a polygon cut by the sides of a convex one, side by side (Sutherland and Hodgman)."""
    for start, end in zip(window, window[1:] + window[:1], strict=True):
        edge = end - start
        depth = [edge[0] * (p - start)[1] - edge[1] * (p - start)[0] for p in polygon]
        cut = []
        for k, p in enumerate(polygon):
            before, d = depth[k - 1], depth[k]
            if before * d < 0:
                cut.append(polygon[k - 1] + (p - polygon[k - 1]) * before / (before - d))
            if d >= 0:
                cut.append(p)
        polygon = cut
    return 0.5 * sum(polygon[k - 1][0] * p[1] - polygon[k - 1][1] * p[0] for k, p in enumerate(polygon))


sizes = st.floats(0.3, 6.0)
offsets = st.floats(-4.0, 4.0)
angles = st.floats(-3.2, 3.2)


@settings(max_examples=150, deadline=None)
@given(st.tuples(sizes, sizes, angles), st.tuples(offsets, offsets, sizes, sizes, angles))
def test_overlap_is_that_of_the_polygons(first, second):
    (l, w, yaw), (x, y, l2, w2, yaw2) = first, second
    a, b = np.array([0, 0, 0, l, w, 1, yaw]), np.array([x, y, 0, l2, w2, 1, yaw2])
    common = clipped_area(corners(a), corners(b))
    expected = common / (l * w + l2 * w2 - common)
    assert iou_3d([a], [b])[0, 0] == pytest.approx(expected, abs=1e-6)
    assert iou_3d([b], [a])[0, 0] == pytest.approx(iou_3d([a], [b])[0, 0], abs=1e-9)


def test_hota_of_a_thing_that_changes_its_id():
    frames = [compared([7], [1 if k < 2 else 2], [[1.0]]) for k in range(4)]
    score = hota(frames)
    assert score.detection == pytest.approx(1.0) and score.associated == pytest.approx(0.5)
    assert score.hota == pytest.approx(np.sqrt(0.5))


def test_hota_over_thresholds_misses_and_false_alarms():
    # Of two things over four frames one is found, half as alike; a false alarm in each frame.
    frames = [compared([1, 2], [5, 6], [[0.5, 0.0], [0.0, 0.0]]) for _ in range(4)]
    score = hota(frames)
    assert np.count_nonzero(ALPHAS <= 0.5 + 1e-9) == 10
    assert score.detection == pytest.approx(10 / 19 * 4 / (8 + 8 - 4)) and score.associated == pytest.approx(10 / 19)
    assert score.hota == pytest.approx(10 / 19 * np.sqrt(1 / 3))
    both = score + hota([compared([1], [1], [[1.0]])])
    assert both.true == 9 and both.found == 9 and both.matches[0] == 5


def test_hota_keeps_a_pair_that_belongs_together():
    # In the last frame another track is a little more alike; over the whole recording it is not.
    frames = [compared([1], [5], [[0.9]]) for _ in range(9)] + [compared([1], [5, 6], [[0.6, 0.7]])]
    assert hota(frames).associated > 0.75
    assert hota(frames).matches[0] == 10 and hota([]).hota == 0.0


def test_what_is_optional_and_what_it_matches_is_left_out():
    frame = compared(
        [1, 2], [5, 6, 7], [[0.8, 0, 0], [0, 0.8, 0]], optional=[False, True], excused=[False, False, True]
    )
    need = frame.required(0.25)
    assert need.true_ids.tolist() == [1] and need.found_ids.tolist() == [5]
    matched = compared([1], [5], [[0.8]], excused=[True]).required(0.25)
    assert matched.found_ids.tolist() == [5]


def test_a_perfect_track_has_every_point_of_recall():
    result = over_recall([[compared([1], [9], [[0.8]], scores=[3.0]) for _ in range(80)]], 0.25)
    assert result.samota == pytest.approx(1.0) and result.amota == pytest.approx(1.0)
    assert result.amotp == pytest.approx(0.8) and result.best.mota == 1.0 and result.threshold == 3.0


def test_points_of_recall_by_hand():
    # Scores 2, 1 and 0: a right track, another right one, a false one. Eight samples reach seven of the forty points:
    # recall 0.025 to 0.075 at score 2, where half is found, and 0.1 to 0.175 at score 1, where all is.
    frames = [compared([1, 2], [4, 5, 6], [[1, 0, 0], [0, 1, 0]], scores=[2, 1, 0]) for _ in range(4)]
    result = over_recall([frames], 0.5)
    assert result.amota == pytest.approx((3 * 0.5 + 4 * 1.0) / 40)
    assert result.samota == pytest.approx(7 / 40) and result.threshold == 1.0
    assert (result.best.true, result.best.matches, result.best.misses, result.best.false_alarms) == (8, 8, 0, 0)


def test_scaled_accuracy_by_hand():
    # At recall 1 with 40 of 80 samples false alarms as well: 1 - 40 / 80.
    frames = [compared([1], [4, 5], [[1, 0]], scores=[1, 1]) for _ in range(40)]
    result = over_recall([frames], 0.5)
    assert result.best.false_alarms == 40 and result.best.mota == 0.0
    clean = over_recall([frames[:20]], 0.5).best
    assert clean.scaled_mota(1.0) == 0.0 and clean.scaled_mota(0.5) == 0.0
    better = over_recall([[compared([1], [4], [[1]]) for _ in range(30)] + [compared([1], [], [])] * 10], 0.5).best
    assert better.mota == pytest.approx(0.75) and better.scaled_mota(0.75) == pytest.approx(1.0)
    assert better.scaled_mota(1.0) == pytest.approx(0.75)


def switches(ids, optional=None):
    optional = optional or [False] * len(ids)
    frames = [
        compared([1], [i] if i >= 0 else [], [[1.0]] if i >= 0 else [[]], optional=[o])
        for i, o in zip(ids, optional, strict=True)
    ]
    return over_recall([frames], 0.5).best.switches


def test_switches_by_hand():
    assert switches([4, 4, 5, 5]) == 1 and switches([4, 5, 4, 5]) == 3
    # Not seen in between: no switch by this definition; an optional sample makes it forget the id.
    assert switches([4, 4, -1, 5, 5]) == 0 and switches([4, 4, 4, 5], [False, False, True, False]) == 0


def test_excused_and_optional_things_count_nothing():
    frames = [
        compared([1, 2], [4, 5], [[1, 0], [0, 0]], optional=[False, True], excused=[False, True]) for _ in range(40)
    ]
    best = over_recall([frames], 0.5).best
    assert (best.true, best.misses, best.false_alarms, best.mota) == (40, 0, 0, 1.0)
