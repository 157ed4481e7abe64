"""7-Scenes kitchen: a static room seen by a moving RGB-D camera; nothing may move by itself."""

from dataclasses import replace

import numpy as np
import pytest

import dsr_core
from dsr_core.geometry import transforms as tf
from dsr_core.perception.lift import observe
from dsr_core.pipeline import WorldModel
from dsr_core.values import Detection
from tests.data import shared
from tests.static_scene import drift_of_static_things

#: Boxes placed by hand in the first image: x1, y1, x2, y2 in pixels.
BOXES = {
    "mug": (362, 163, 401, 203),
    "chair": (180, 129, 300, 245),
    "magazine": (517, 264, 600, 341),
    "book": (486, 24, 580, 100),
    "journal": (405, 194, 494, 238),
    "drawer": (300, 90, 372, 150),
}


def boxes_in(frame, anchors):
    """The first image's boxes carried over by the known poses; those that leave the image are not seen."""
    width, height = frame.camera.image_size
    T_camera_world = tf.invert(frame.T_world_camera)
    for label, (anchor_world_m, half_px, depth_m) in anchors.items():
        centre = tf.transform_points(T_camera_world, anchor_world_m)
        if centre[2] <= 0.2:
            continue
        (u, v), half = frame.camera.project(centre[None])[0], half_px * depth_m / centre[2]
        box = np.array([u - half[0], v - half[1], u + half[0], v + half[1]])
        if box[0] > 2 and box[1] > 2 and box[2] < width - 2 and box[3] < height - 2:
            yield Detection(label=label, score=0.9, box_px=box)


@pytest.fixture(scope="module")
def kitchen():
    from dsr_core.sources.rgbd import RgbdFolder

    world = WorldModel()
    anchors = {}
    for frame in RgbdFolder(shared("seven_scenes_redkitchen")).frames():
        if not anchors:
            first = [Detection(label=n, score=0.9, box_px=np.array(b, float)) for n, b in BOXES.items()]
            for o in observe(replace(frame, detections=tuple(first))).observations:
                box = np.array(BOXES[o.label], float)
                depth_m = tf.transform_points(tf.invert(frame.T_world_camera), o.position_world_m)[2]
                anchors[o.label] = (o.position_world_m, (box[2:] - box[:2]) / 2, depth_m)
            assert set(anchors) == set(BOXES)
        world.step(observe(replace(frame, detections=tuple(boxes_in(frame, anchors)))))
    return world.scene()


def test_nothing_moves_by_itself(kitchen):
    assert {t.label for t in kitchen.tracks.values()} >= {"mug", "chair", "book", "drawer"}
    judged = 0
    for track in kitchen.tracks.values():
        seen = track.stamps_s[track.observed]
        windows = [None] + [[float(s), float(s + 1.5)] for s in np.arange(seen[0], seen[-1] - 1.5, 0.5)]
        for window in windows:
            answer = dsr_core.ask(kitchen, {"kind": "motion", "subject": track.id, "window": window})
            if answer.declined is None:
                judged += 1
                assert {s.label for s in answer.states} == {"still"}, (track.label, window, answer.answer)
            else:
                assert answer.declined.code in ("NOT_OBSERVED", "TOO_UNCERTAIN"), answer.declined
    assert judged >= 12


def test_the_camera_moves(kitchen):
    for question in ("Does the camera move?", {"kind": "motion", "subject": "camera"}):
        answer = dsr_core.ask(kitchen, question)
        assert answer.declined is None, answer.declined
        assert "moving" in {s.label for s in answer.states}
        assert answer.motion["ego"] == "moving"


def test_surfaces_stay_put_and_none_moves():
    from dsr_core.sources.rgbd import RgbdFolder

    found = drift_of_static_things(RgbdFolder(shared("seven_scenes_redkitchen")))
    assert found.things >= 10
    assert found.median_drift_m < 0.05 and found.median_relative_drift < 0.02
    judged, moving = found.judge_motion()
    assert judged >= 40 and not moving
