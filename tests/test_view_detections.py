"""Pictures of what a detector found."""

import json

import cv2
import numpy as np
import pytest
from data import shared
from networks import need

from dsr_core import cli
from dsr_core.values import Detection, Frame
from dsr_core.view.detections import DetectionSheet, draw

BOX = np.array([20.0, 30, 60, 80])


def thing(**fields) -> Detection:
    return Detection("mug", 0.8, BOX, **fields)


def test_boxes_and_masks_lie_where_they_are():
    rgb = np.full((100, 200, 3), 128, np.uint8)
    mask = np.zeros((100, 200), bool)
    mask[40:60, 30:50] = True
    colors = {"mug": (255, 0, 0)}
    picture = draw(rgb, (thing(mask=mask),), 400, colors)
    assert picture.shape == (200, 400, 3)
    np.testing.assert_array_equal(picture[60 + 60, 40], (255, 0, 0), err_msg="the box's left side")
    assert picture[100, 80, 0] > 150 > 100 > picture[100, 80, 1], "the mask is tinted"
    np.testing.assert_array_equal(picture[150, 300], (128, 128, 128), err_msg="the rest is as it was")
    assert (rgb == 128).all(), "the image itself is not drawn on"


def test_an_arrow_to_the_right_for_what_faces_right():
    turn = np.array([0, 0, 0, 1.0])  # forward of the thing is x of the optical frame, its right
    rgb = np.zeros((100, 200, 3), np.uint8)
    with_arrow = draw(rgb, (thing(orientation_camera_xyzw=turn),), 200).astype(int).sum(axis=2)
    without = draw(rgb, (thing(),), 200).astype(int).sum(axis=2)
    changed = np.flatnonzero((with_arrow != without).any(axis=0))
    assert changed.min() >= 36 and changed.max() >= 68 and (with_arrow != without).any(axis=1).sum() < 30


def test_every_nth_image_makes_a_tile(tmp_path):
    sheet = DetectionSheet(every=2)
    assert sheet.save(tmp_path / "none.png") is None
    for i in range(9):
        sheet.take(Frame(i, rgb=np.full((100, 200, 3), 25 * i, np.uint8), detections=(thing(),)))
    sheet.take(Frame(9))
    picture = cv2.imread(str(sheet.save(tmp_path / "sheet.png")))
    assert picture.shape == (480, 1440, 3)
    assert [int(picture[230, x, 0]) for x in (470, 950, 1430)] == [0, 50, 100]
    assert [int(picture[470, x, 0]) for x in (470, 950, 1430)] == [150, 200, 255]


def test_view_of_a_video(tmp_path, capsys):
    need("pose-detection", "pose-landmark-full", "ssd-openimages")
    pytest.importorskip("rerun")
    pytest.importorskip("matplotlib")
    folder = tmp_path / "clip"
    folder.mkdir()
    for i in range(38, 46):
        (folder / f"{i:05d}.jpg").symlink_to(shared("vlm4d/clips/lady-running") / f"{i:05d}.jpg")
    assert cli.main(["view", str(folder), "--out", str(tmp_path / "out"), "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    picture = cv2.imread(written["detections"])
    assert picture.shape[1] == 3 * 480
    assert cv2.imread(written["picture"]) is not None
