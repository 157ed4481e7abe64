"""Drawn pictures show things where the camera sees them."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("cv2")

from benchmarks.gsm_pictures import pictures
from dsr_core.errors import SceneError
from tests.smooth_scenes import SIZE_PX, smooth_scene


def alone(scene, track):
    """The scene with one thing, without the others; the ground stays where it is."""
    return replace(scene, tracks={track.id: track})


def test_a_thing_is_drawn_where_its_box_is():
    scene = smooth_scene(1)
    compared = 0
    for track in scene.tracks.values():
        inside = np.flatnonzero(track.observed)
        for row in inside[:: max(1, len(inside) // 3)]:
            x1, y1, x2, y2 = track.boxes_px[row]
            if x1 <= 1 or y1 <= 1 or x2 >= SIZE_PX[0] - 1 or y2 >= SIZE_PX[1] - 1:
                continue
            time_s = track.stamps_s[row]
            (drawn,) = pictures(alone(scene, track), [time_s], SIZE_PX)
            gone = replace(track, stamps_s=track.stamps_s + 1000.0)
            (empty,) = pictures(alone(scene, gone), [time_s], SIZE_PX)
            v, u = np.nonzero((drawn != empty).any(axis=2))
            off = np.array([u.min(), v.min(), u.max() + 1, v.max() + 1]) - (x1, y1, x2, y2)
            assert np.abs(off).max() < 2.5  # smoothed edges reach a pixel outwards
            assert np.abs(off[:2] + off[2:]).max() / 2 < 1.0
            compared += 1
    assert compared >= 5


def test_pictures_of_another_size_show_the_same_width():
    scene = smooth_scene(2)
    small, large = (pictures(scene, [5.0], size)[0] for size in ((112, 84), (224, 168)))
    assert small.shape == (84, 112, 3) and small.dtype == np.uint8
    shrunk = large.reshape(84, 2, 112, 2, 3).mean(axis=(1, 3))
    assert np.abs(shrunk - small).mean() < 6.0


def test_the_camera_may_stand_in_a_thing():
    scene = smooth_scene(3)
    track = next(iter(scene.tracks.values()))
    here = replace(track, positions_world_m=np.broadcast_to(scene.T_world_camera[0, :3, 3], (len(track), 3)).copy())
    (picture,) = pictures(alone(scene, here), [0.0])
    assert picture.shape == (84, 112, 3)


def test_a_scene_without_a_camera_is_refused():
    with pytest.raises(SceneError, match="T_world_camera"):
        pictures(replace(smooth_scene(4), T_world_camera=None), [0.0])
