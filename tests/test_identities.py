"""Which detection is which thing: visible, lost and back, new, or neither."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr_core.errors import ModelError
from dsr_core.perception.segment.identities import IdentityConfig, Thing, assign, duplicates
from dsr_core.values import Detection

CONFIG = IdentityConfig()


def detection(x, y=0.0, side=10.0, label="mug", score=0.9):
    return Detection(label=label, score=score, box_px=np.array([x, y, x + side, y + side]))


def thing(number, x, lost_frames=0, label="mug", side=10.0):
    made = Thing(number, 0.9, detection(x, side=side).box_px, lost_frames)
    made.votes[label] = 0.9
    return made


def ids(pairs):
    return [(t.id, float(d.box_px[0])) for t, d in pairs]


def test_visible_things_keep_their_detections_whatever_they_are_called():
    found = assign([thing(1, 0), thing(2, 50)], (detection(51, label="cup"), detection(1)), CONFIG)
    assert sorted(ids(found.seen)) == [(1, 1.0), (2, 51.0)] and not found.regained and not found.new


def test_crossing_boxes_are_assigned_together():
    # The second detection overlaps both; one by one, the first thing would take it.
    found = assign([thing(1, 0), thing(2, 3)], (detection(0.5), detection(2)), IdentityConfig(same_iou=0.3))
    assert sorted(ids(found.seen)) == [(1, 0.5), (2, 2.0)]


def test_what_lies_apart_is_new_and_what_overlaps_somewhat_is_nothing():
    found = assign([thing(1, 0)], (detection(30), detection(5)), CONFIG)
    assert [float(d.box_px[0]) for d in found.new] == [30.0] and not found.seen


def test_a_lost_thing_comes_back_under_its_name_near_its_last_place_alone():
    lost = thing(7, 0, lost_frames=5)
    assert ids(assign([lost], (detection(12),), CONFIG).regained) == [(7, 12.0)]
    for other in (detection(12, label="chair"), detection(40), detection(0, side=30)):
        found = assign([lost], (other,), CONFIG)
        assert not found.regained and len(found.new) == 1


def test_the_nearest_lost_thing_is_taken():
    things = [thing(1, 0, lost_frames=3), thing(2, 14, lost_frames=3)]
    found = assign(things, (detection(8),), CONFIG)
    assert ids(found.regained) == [(2, 8.0)]


@given(
    st.lists(st.tuples(st.floats(0, 200), st.integers(0, 2)), max_size=6),
    st.lists(st.floats(0, 200), max_size=6),
)
def test_no_detection_is_used_twice_and_none_is_given_to_two(places, boxes):
    things = [thing(i, x, lost_frames=lost) for i, (x, lost) in enumerate(places)]
    found = assign(things, tuple(detection(x) for x in boxes), CONFIG)
    pairs = (*found.seen, *found.regained)
    assert len({t.id for t, _ in pairs}) == len(pairs)
    used = [id(d) for _, d in pairs] + [id(d) for d in found.new]
    assert len(set(used)) == len(used) <= len(boxes)
    if not things:
        assert len(found.new) == len(boxes)


def test_a_name_is_what_most_detections_say():
    subject = thing(1, 0, label="cup")
    subject.confirm(detection(0, label="mug", score=0.5))
    assert subject.label == "cup"
    subject.confirm(detection(0, label="mug", score=0.5))
    assert subject.label == "mug" and subject.score == 0.5


def test_equal_masks_are_found_and_the_older_one_stays():
    masks = np.zeros((4, 8, 8), bool)
    masks[0, :4], masks[1, 4:], masks[2, :4], masks[3, :2] = True, True, True, True
    assert duplicates(masks, 0.8).tolist() == [False, False, True, False]


def test_constants_are_checked():
    with pytest.raises(ModelError, match="new_iou"):
        IdentityConfig(new_iou=0.9, same_iou=0.5)
