"""Videos and image folders: lazily decoded, in time order, without a pose."""

import cv2
import numpy as np
import pytest

from dsr_core.errors import SourceError
from dsr_core.geometry.camera import Camera
from dsr_core.sources import open_source
from tests.data import shared


def picture(i):
    """A red bar that moves by 8 pixels a frame on blue."""
    rgb = np.zeros((64, 96, 3), np.uint8)
    rgb[:, :, 2] = 200
    rgb[:, 8 * i : 8 * i + 8] = (230, 20, 20)
    return rgb


def bar(rgb):
    return float(np.flatnonzero(rgb[32, :, 0] > 120).mean())


def write_video(path, frames=8, rate_hz=12.5):
    codec = "mp4v" if path.suffix == ".mp4" else "MJPG"
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate_hz, (96, 64))
    assert out.isOpened()
    for i in range(frames):
        out.write(np.ascontiguousarray(picture(i)[:, :, ::-1]))
    out.release()
    return path


@pytest.mark.parametrize("name", ["clip.mp4", "clip.AVI"])
def test_a_videos_frames(tmp_path, name):
    source = open_source(write_video(tmp_path / name))
    assert len(source) == 8
    places = []
    for i, frame in enumerate(source.frames()):
        assert frame.stamp_ns == pytest.approx(i * 80_000_000, abs=1_000_000)
        assert frame.T_world_camera is None and frame.depth_m is None and frame.camera is None
        assert "rgb" not in frame.__dict__
        assert frame.rgb.shape == (64, 96, 3) and frame.rgb is frame.rgb
        places.append(bar(frame.rgb))
    np.testing.assert_allclose(places, [8 * i + 3.5 for i in range(8)], atol=1.0)


def test_pictures_asked_for_later_are_the_right_ones(tmp_path):
    frames = list(open_source(write_video(tmp_path / "clip.mp4")).frames())
    for i in (6, 0, 3):
        assert bar(frames[i].rgb) == pytest.approx(8 * i + 3.5, abs=1.0)


def test_the_rate_can_be_given(tmp_path):
    source = open_source(write_video(tmp_path / "clip.mp4"), rate_hz=5.0)
    assert [f.stamp_ns for f in source.frames()] == [i * 200_000_000 for i in range(8)]
    with pytest.raises(SourceError, match="positive"):
        open_source(tmp_path / "clip.mp4", rate_hz=-1.0)


def test_a_folder_of_images_in_the_order_of_numbers(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    for i in (0, 2, 10, 9):
        cv2.imwrite(str(folder / f"img{i}.png"), np.ascontiguousarray(picture(i)[:, :, ::-1]))
    frames = list(open_source(folder).frames())
    assert [bar(f.rgb) for f in frames] == [8 * i + 3.5 for i in (0, 2, 9, 10)]
    assert [f.stamp_ns for f in frames] == [0, 33333333, 66666667, 100000000]
    (folder / "img10.png").write_bytes(b"no image")
    with pytest.raises(SourceError, match=r"img10\.png"):
        list(open_source(folder).frames())[-1].rgb  # noqa: B018
    (folder / "notes.txt").write_text("not a folder of images alone")
    with pytest.raises(SourceError, match="no recording"):
        open_source(folder)


def test_a_camera_must_fit(tmp_path):
    K = np.array([[80.0, 0, 48], [0, 80.0, 32], [0, 0, 1]])
    path = write_video(tmp_path / "clip.avi")
    assert next(iter(open_source(path, camera=Camera(K, (96, 64))).frames())).rgb.shape == (64, 96, 3)
    with pytest.raises(SourceError, match="96x64"):
        next(iter(open_source(path, camera=Camera(K, (640, 480))).frames())).rgb  # noqa: B018


def test_a_broken_file_is_said(tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"\0" * 1000)
    with pytest.raises(SourceError, match=r"broken\.mp4"):
        open_source(tmp_path / "broken.mp4")


def test_a_video_without_detections_makes_no_scene(tmp_path):
    with pytest.raises(SourceError, match="pose"):
        open_source(write_video(tmp_path / "clip.avi")).scene()


def test_real_clips():
    video = open_source(shared("vlm4d") / "clips" / "blackswan.mp4")
    stamps = []
    for frame in video.frames():
        stamps.append(frame.stamp_ns)
        if len(stamps) == 5:
            assert frame.rgb.std() > 10
    assert len(stamps) == len(video) and np.all(np.diff(stamps) > 0)
    folder = open_source(shared("vlm4d") / "clips" / "lady-running")
    assert len(folder) > 30 and next(iter(folder.frames())).rgb.ndim == 3
