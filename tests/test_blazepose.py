"""Bodies: regions, the network's outputs, heading and range; the networks themselves where they are fetched."""

import cv2
import numpy as np
import pytest
from data import shared
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import need
from scipy.spatial.transform import Rotation

from dsr_core.geometry.camera import Camera
from dsr_core.perception.people import pose_detector
from dsr_core.perception.people.blazepose import COUNT, BlazePose, read
from dsr_core.perception.people.body import BodyConfig, heading, is_whole, place, toward
from dsr_core.perception.people.pose_detector import PoseDetector
from dsr_core.perception.people.region import Region

CAMERA = Camera(np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]), (640, 480))
SEEN = np.ones(COUNT)


def standing(yaw: float = 0.0) -> np.ndarray:
    """(33, 3) landmarks of a person of 1.7 m; yaw 0 looks at the camera, positive turns to the person's own left."""
    body = np.zeros((COUNT, 3))  # x forward, y left, z up; origin between the hips
    body[:11] = [0.1, 0.0, 0.65]
    for left, right, half, up in ((11, 12, 0.19, 0.5), (23, 24, 0.13, 0.0), (25, 26, 0.12, -0.4), (27, 28, 0.1, -0.85)):
        body[left], body[right] = [0, half, up], [0, -half, up]
    body[[13, 15, 17, 19, 21]], body[[14, 16, 18, 20, 22]] = [0.05, 0.3, 0.1], [0.05, -0.3, 0.1]
    body[[29, 31]], body[[30, 32]] = [0.0, 0.1, -0.9], [0.0, -0.1, -0.9]
    turned = body @ Rotation.from_euler("z", yaw).as_matrix().T
    # looking at the camera, forward is -z of the optical frame and the left hand is at its right
    return np.stack([turned[:, 1], -turned[:, 2], -turned[:, 0]], axis=1)


# -- regions -----------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 640), st.floats(0, 480), st.floats(-200, 200), st.floats(-200, 200))
def test_the_region_of_an_axis_has_it_upright(u, v, du, dv):
    if np.hypot(du, dv) < 1:
        return
    region = Region.of_axis(np.array([u, v]), np.array([u + du, v + dv]), margin=1.0)
    np.testing.assert_allclose(
        region.to_image(np.array([[0.5, 0.5], [0.5, 0.0]])), [[u, v], [u + du, v + dv]], atol=1e-6
    )


def test_the_region_of_a_box():
    region = Region.of_box(np.array([100, 50, 200, 250]), margin=1.5)
    np.testing.assert_allclose(region.to_image(np.array([[0, 0], [1, 1]])), [[0, 0], [300, 300]])


@pytest.mark.parametrize("angle", [0.0, 0.6, np.pi / 2, -2.5])
def test_a_crop_pasted_back_is_the_image(angle):
    v, u = np.mgrid[:240, :320]
    image = np.repeat((100 + 60 * np.sin(u / 30) * np.cos(v / 25))[..., None], 3, axis=2).astype(np.uint8)
    region = Region(np.array([170.0, 110.0]), 120.0, angle)
    back = region.paste(region.crop(image, 256)[:, :, 0].astype(float), (320, 240), outside=-1)
    inside = cv2.erode((back >= 0).astype(np.uint8), np.ones((5, 5))) > 0
    assert 0.8 * 120**2 < inside.sum() <= 120**2 + 4 * 120
    assert np.abs(back - image[:, :, 0])[inside].max() < 4


def test_a_region_beside_the_image_pastes_nothing():
    back = Region(np.array([-500.0, -500.0]), 100.0).paste(np.ones((256, 256)), (64, 48), outside=-2.0)
    assert back.shape == (48, 64) and (back == -2.0).all()


# -- the network's outputs ---------------------------------------------------------------------------------------------


def fake_outputs(region: Region, landmarks_px: np.ndarray, world_m: np.ndarray):
    """Outputs that the network would give for these landmarks in a region."""
    points = np.zeros((39, 5))
    in_region = (landmarks_px - region.centre_px) @ region.rotation / region.side_px + 0.5
    points[:COUNT, :2], points[:COUNT, 3:] = in_region * 256, 5.0
    points[33, :2], points[34, :2] = [128, 128], [128, 20]
    world = np.zeros((39, 3))
    world[:COUNT] = world_m
    world[:COUNT, :2] = world_m[:, :2] @ region.rotation
    return points.ravel(), world.ravel()


@pytest.mark.parametrize("angle", [0.0, 0.7, -1.9])
def test_reading_turns_the_region_back(angle):
    region = Region(np.array([300.0, 200.0]), 220.0, angle)
    world = standing(0.4)
    landmarks = CAMERA.project(world + np.array([0.1, 0.2, 4.0]))
    points, world_out = fake_outputs(region, landmarks, world)
    logits = np.full((256, 256), -3.0)
    logits[64:192, 64:192] = 3.0
    body = read(points, 0.9, logits, world_out, region, (640, 480))
    np.testing.assert_allclose(body.landmarks_px, landmarks, atol=1e-6)
    np.testing.assert_allclose(body.world_m, world, atol=1e-9)
    assert (body.visibility > 0.99).all()
    assert body.mask.shape == (480, 640) and abs(body.mask.sum() - 110**2) < 4 * 110
    np.testing.assert_allclose((body.box_px[:2] + body.box_px[2:]) / 2, [300, 200], atol=2)
    np.testing.assert_allclose(body.next_region.centre_px, [300, 200], atol=1e-9)
    assert abs(np.angle(np.exp(1j * (body.next_region.angle_rad - angle)))) < 1e-9


def test_no_mask_is_no_box():
    region = Region(np.array([300.0, 200.0]), 220.0)
    points, world = fake_outputs(region, np.zeros((COUNT, 2)), standing())
    assert read(points, 0.9, np.full((256, 256), -3.0), world, region, (640, 480)).box_px is None


def test_the_detectors_findings():
    anchors = pose_detector.make_anchors()
    assert anchors.shape == (2254, 4)
    np.testing.assert_allclose(anchors[[0, 1, 2]][:, :2], [[0.5 / 28, 0.5 / 28]] * 2 + [[1.5 / 28, 0.5 / 28]])
    codes, logits = np.zeros((2254, 12)), np.full(2254, -9.0)
    codes[:, 2:4] = 30
    for index, score in ((500, 3.0), (501, 2.0), (1800, 1.0)):  # 500 and 501 are one cell
        logits[index] = score
        codes[index, 4:8] = [3, 40, 3, -60]
    points, scores = pose_detector.findings(codes, logits, anchors, 0.5, 0.3)
    assert len(scores) == 2 and scores[0] > scores[1]
    np.testing.assert_allclose(points[0] * 224, anchors[500, :2] * 224 + [[3, 40], [3, -60]])


def test_the_detectors_image_lies_in_the_middle():
    image, scale, corner = pose_detector.prepare(np.full((100, 200, 3), 255, np.uint8))
    assert image.shape == (224, 224, 3) and scale == 224 / 200 and corner.tolist() == [0, 56]
    assert (image[56:168] == 1).all() and (image[:56] == -1).all() and (image[168:] == -1).all()


# -- heading and range -------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.floats(-np.pi, np.pi))
def test_heading_of_a_standing_body(yaw):
    rotation, sigma = heading(standing(yaw), SEEN)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) > 0
    # forward at yaw 0 is toward the camera; the person's left is then the image's right
    np.testing.assert_allclose(rotation[:, 0], [np.sin(yaw), 0, -np.cos(yaw)], atol=1e-9)
    np.testing.assert_allclose(rotation[:, 2], [0, -1, 0], atol=1e-9)
    assert sigma == pytest.approx(BodyConfig().heading_sigma_rad)


def test_heading_is_less_sure_with_less_to_see_and_none_with_nothing():
    hidden_hips = SEEN.copy()
    hidden_hips[[23, 24]] = 0.1
    alone = heading(standing(), hidden_hips)[1]
    twisted = standing()
    twisted[[23, 24]] = standing(1.0)[[23, 24]]
    assert (
        alone > 1.2 * BodyConfig().heading_sigma_rad
        and heading(twisted, SEEN)[1] > 1.2 * BodyConfig().heading_sigma_rad
    )
    assert heading(standing(), np.zeros(COUNT)) is None
    assert heading(np.zeros((COUNT, 3)), SEEN) is None
    assert heading(np.full((COUNT, 3), np.nan), SEEN) is None


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.8, 0.8), st.floats(-0.6, 0.6))
def test_the_turn_onto_a_ray(x, y):
    turn, ray = toward(np.array([x, y, 1.0])), np.array([x, y, 1.0]) / np.linalg.norm([x, y, 1.0])
    np.testing.assert_allclose(turn.T @ turn, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(turn @ [0, 0, 1], ray, atol=1e-12)
    axis = np.cross([0, 0, 1], ray)
    np.testing.assert_allclose(turn @ axis, axis, atol=1e-12, err_msg="the smallest turn keeps its axis")


@settings(max_examples=40, deadline=None)
@given(st.floats(-1.0, 1.0), st.floats(3.0, 8.0), st.floats(-np.pi, np.pi))
def test_a_whole_body_is_placed(x, z, yaw):
    world, t = standing(yaw), np.array([x, 0.1, z])
    found = place(world, CAMERA.project(world + t), SEEN, CAMERA)
    np.testing.assert_allclose(found[0], t, atol=1e-6)
    ray = t / np.linalg.norm(t)
    assert np.sqrt(ray @ found[1] @ ray) >= 0.3 * np.linalg.norm(t) * (1 - 1e-9)
    assert np.linalg.eigvalsh(found[1])[0] > 0


def test_a_taller_person_is_farther_by_less_than_the_sigma_says():
    world, t = standing(), np.array([0.0, 0.0, 5.0])
    position, covariance = place(world, CAMERA.project(1.15 * world + t), SEEN, CAMERA)
    assert 0.5 < abs(position[2] - 5.0) < np.sqrt(covariance[2, 2])


def test_bodies_that_are_cut_off_hidden_small_or_bent_get_no_range():
    world = standing()
    for t in ([0, 0, 1.5], [3.5, 0, 5.0], [0, 0, 40.0]):  # the feet, the side, too small
        assert place(world, CAMERA.project(world + t), SEEN, CAMERA) is None
    landmarks = CAMERA.project(world + np.array([0, 0, 5.0]))
    assert is_whole(landmarks, SEEN, (640, 480))
    hidden = SEEN.copy()
    hidden[27] = 0.2
    assert not is_whole(landmarks, hidden, (640, 480))
    assert place(world, landmarks, hidden, CAMERA) is None
    wrong = landmarks.copy()
    wrong[11:17] = wrong[11:17].mean(axis=0)
    wrong[:, 0] += np.where(np.arange(COUNT) % 2, 40, -40)
    assert place(world, wrong, SEEN, CAMERA) is None


# -- the networks ------------------------------------------------------------------------------------------------------


def test_a_person_is_found_masked_and_faces_somewhere():
    need("pose-detection", "pose-landmark-full")
    folder = shared("vlm4d/clips/lady-running")
    rgb = cv2.imread(str(folder / "00040.jpg"))[:, :, ::-1]
    detector, pose = PoseDetector(min_score=0.3, threads=1), BlazePose(threads=1)
    box = np.array([330.0, 40.0, 475.0, 475.0])  # around the woman who walks toward the camera's left
    first = pose.body(rgb, Region.of_box(box))
    body = pose.body(rgb, first.next_region)
    assert body.presence > 0.9
    iou_low, iou_high = np.maximum(body.box_px[:2], box[:2]), np.minimum(body.box_px[2:], box[2:])
    assert np.prod(iou_high - iou_low) > 0.8 * np.prod(box[2:] - box[:2])
    outside = body.mask.copy()
    outside[40:475, 320:485] = False
    assert outside.sum() < 0.02 * body.mask.sum(), "the mask keeps to the person"
    assert 0.3 < body.mask.sum() / np.prod(box[2:] - box[:2]) < 0.8, "and is no box"
    assert heading(body.world_m, body.visibility) is not None
    assert all(0 <= score <= 1 for _, score in detector.regions(rgb))


def test_there_is_no_person_in_an_empty_picture():
    need("pose-detection", "pose-landmark-full")
    blank = np.full((480, 640, 3), 90, np.uint8)
    assert PoseDetector(threads=1).regions(blank) == []
    assert BlazePose(threads=1).body(blank, Region.of_box(np.array([200, 100, 400, 400]))).presence < 0.5
