"""Which pictures a model is shown: rolling on a robot, evenly of a recording; bounded whatever comes."""

import numpy as np
import pytest

from dsr_core.sources.base import LazyFrame, Source
from dsr_core.vlm.showing import RollingFrames, clip_of_recording, evenly, shrunk
from dsr_core.vlm.values import VlmError

pytest.importorskip("cv2")

S = 1_000_000_000


def picture(value, height=48, width=64):
    return np.full((height, width, 3), value, np.uint8)


def filled(seconds, rate_hz=30, count=8, memory_s=4.0, start_ns=5 * S):
    rolling = RollingFrames(count, memory_s, 64 * 48)
    for i in range(round(seconds * rate_hz)):
        rolling.put(start_ns + i * S // rate_hz, picture(i % 256))
    return rolling


def test_pictures_shrink_to_their_budget_and_keep_their_shape():
    assert shrunk(picture(7), 64 * 48).shape == (48, 64, 3)
    small = shrunk(picture(7, 720, 1280), 10_000)
    height, width = small.shape[:2]
    assert height * width <= 10_000 and width / height == pytest.approx(16 / 9, rel=0.03) and (small == 7).all()


def test_frames_are_taken_evenly_within_a_window():
    times = np.arange(11) * 0.5
    assert evenly(times, 3) == [0, 5, 10]
    assert evenly(times, 3, (1.0, 3.0)) == [2, 4, 6]
    assert evenly(times, 8, (1.0, 2.0)) == [2, 3, 4]
    assert evenly(times, 3, (7.0, 9.0)) == []


def test_the_memory_of_pictures_is_bounded_and_even():
    rolling = filled(60.0)
    assert len(rolling) <= 16 and rolling.nbytes <= 16 * 64 * 48 * 3
    clip = rolling.clip(5 * S)
    assert len(clip.frames) == 8 and clip.times_s[-1] == pytest.approx(60.0, abs=0.3)
    assert clip.times_s[-1] - clip.times_s[0] <= 4.0
    steps = np.diff(clip.times_s)
    assert steps.min() > 0.4 * steps.max()


def test_a_window_is_shown_and_nothing_before_second_zero():
    rolling = filled(4.0)
    clip = rolling.clip(5 * S, (1.0, 2.0))
    assert 2 <= len(clip.frames) <= 8 and min(clip.times_s) >= 1.0 and max(clip.times_s) <= 2.0
    assert rolling.clip(5 * S, (50.0, 60.0)) is None
    assert min(rolling.clip(7 * S).times_s) >= 0.0


def test_the_same_pictures_are_the_same_clip():
    rolling = filled(4.0)
    clip = rolling.clip(5 * S)
    assert rolling.clip(5 * S) is clip
    rolling.put(5 * S + 4 * S, picture(1))
    assert rolling.clip(5 * S) is not clip


def test_a_clock_that_jumps_back_and_another_size_begin_anew():
    rolling = filled(4.0)
    assert not rolling.put(5 * S + 3 * S, picture(1))  # a little late: left out
    assert rolling.put(2 * S, picture(1)) and len(rolling) == 1
    assert rolling.put(3 * S, picture(1, 30, 40)) and len(rolling) == 1
    rolling.clear()
    assert rolling.clip(0) is None and rolling.newest_ns is None


def test_a_picture_that_is_kept_is_a_copy():
    rolling, camera = RollingFrames(2, 1.0, 64 * 48), picture(1)
    rolling.put(S, camera)
    camera[:] = 9
    assert (rolling.clip(0).frames[0] == 1).all()


class Recording(Source):
    """Frames whose pictures count how often they are decoded; every third has none."""

    name = "fake"

    def __init__(self, pictures=True):
        self.decoded, self.pictures = 0, pictures

    def __len__(self):
        return 30

    def frames(self):
        for i in range(30):
            has = self.pictures and i % 3 != 2
            yield LazyFrame.make((lambda i=i: self._decode(i)) if has else None, stamp_ns=7 * S + i * S // 10)

    def _decode(self, i):
        self.decoded += 1
        return picture(i, 96, 128)


def test_of_a_recording_only_what_is_shown_is_decoded():
    recording = Recording()
    clip = clip_of_recording(recording, 7 * S, 10, 64 * 48)
    assert recording.decoded == len(clip.frames) <= 10 and clip.frames[0].shape == (48, 64, 3)
    inside = clip_of_recording(recording, 7 * S, 4, 64 * 48, (1.0, 2.0))
    assert all(1.0 <= t <= 2.0 for t in inside.times_s)
    assert [int(f[0, 0, 0]) for f in inside.frames] == [round(10 * t) for t in inside.times_s]
    with pytest.raises(VlmError, match=r"no pictures between 8\.0 and 9\.0 s"):
        clip_of_recording(recording, 7 * S, 4, 64 * 48, (8.0, 9.0))
    with pytest.raises(VlmError, match="fake has no pictures"):
        clip_of_recording(Recording(pictures=False), 7 * S, 4, 64 * 48)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"memory_s": 0.0}, {"max_pixels": 0}])
def test_bounds_are_checked(wrong):
    with pytest.raises(VlmError, match="must be"):
        RollingFrames(**{"count": 4, "memory_s": 2.0, "max_pixels": 100} | wrong)
