"""The embedded detector, and recordings seen through it: people and things, and honesty about what is not known."""

import json

import cv2
import numpy as np
import pytest
from data import shared
from networks import need

from dsr_core import Scene, ask, cli
from dsr_core.errors import GeometryError, ModelError, SourceError
from dsr_core.geometry.camera import Camera
from dsr_core.perception.embedded import EmbeddedConfig, EmbeddedDetector
from dsr_core.sources import open_source
from dsr_core.sources.base import Source
from dsr_core.sources.detected import Detected, embedded_world, guessed_camera, lacks_detections
from dsr_core.values import Detection, Frame

ALL = ("pose-detection", "pose-landmark-full", "ssd-openimages")
CLIP = "vlm4d/clips/lady-running"
#: Around the woman in frame 40 of the clip.
WOMAN = np.array([330.0, 40.0, 475.0, 475.0])


def iou(a, b) -> float:
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = np.prod(np.maximum(high - low, 0))
    return float(common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common))


class Recording(Source):
    """Frames from a list."""

    name = "made"

    def __init__(self, frames):
        self._frames = frames

    def __len__(self):
        return len(self._frames)

    def frames(self):
        yield from self._frames


class Boxes:
    """A detector that sees one thing, wherever the test says."""

    def __init__(self, place):
        self.place, self.resets = place, 0

    def reset(self):
        self.resets += 1

    def detect(self, frame):
        return self.place(frame)


def bearing(frame: Frame, angle: float, sigma: float = 1.0, label: str = "chair") -> Detection:
    """A thing 5 m off at an angle to the right, with the one-sigma of its range as a part of it."""
    position = 5.0 * np.array([np.sin(angle), 0, np.cos(angle)])
    ray = position / 5.0
    covariance = 0.05**2 * np.eye(3) + ((5.0 * sigma) ** 2 - 0.05**2) * np.outer(ray, ray)
    u = frame.camera.project(position[None])[0]
    return Detection(
        label, 0.9, np.array([*(u - 20), *(u + 20)]), position_camera_m=position, covariance_camera=covariance
    )


def video(n=40, rgb=None, **fields) -> Recording:
    rgb = np.zeros((48, 64, 3), np.uint8) if rgb is None else rgb
    return Recording([Frame(i * 100_000_000, rgb=rgb, **fields) for i in range(n)])


# -- recordings seen through a detector ------------------------------------------------------------------------------


def test_a_bearing_is_no_range():
    detector = Boxes(lambda frame: (bearing(frame, -0.3 + 0.01 * frame.stamp_ns / 1e8),))
    scene = Detected(video(), detector).scene()
    assert scene.metric is False and len(scene.tracks) == 1
    (track,) = scene.tracks.values()
    distances = np.linalg.norm(track.positions_world_m, axis=1)
    # without the cap the filter would put a thing whose bearing changes into the camera
    assert (distances > 4).all() and (distances < 6).all()
    sigmas = np.sqrt(np.linalg.eigvalsh(track.covariances))
    assert (sigmas[:, 2] > 0.95 * 5).all() and (sigmas[:, 1] < 0.3).all()
    angles = np.arctan2(-track.positions_world_m[:, 1], track.positions_world_m[:, 0])  # x forward, y left
    np.testing.assert_allclose(angles, -0.3 + 0.1 * track.stamps_s, atol=0.05)
    assert ask(scene, "how far is the chair?").to_dict()["declined"]["code"] == "NOT_METRIC"
    closer = ask(scene, "is the chair getting closer to me?").to_dict()
    assert closer["declined"]["code"] == "TOO_UNCERTAIN"
    assert detector.resets == 1


def test_a_rough_range_stays_as_rough_over_time():
    detector = Boxes(lambda frame: (bearing(frame, 0.2, sigma=0.3, label="person"),))
    scene = Detected(video(), detector).scene()
    (track,) = scene.tracks.values()
    sigmas = np.sqrt(np.linalg.eigvalsh(track.covariances))[:, 2]
    assert (sigmas > 0.29 * 5).all(), "errors of a body's size are the same in every frame"


def test_a_camera_without_a_pose_looks_forward():
    scene = Detected(video(), Boxes(lambda frame: (bearing(frame, 0.6, sigma=0.3, label="person"),))).scene()
    answer = ask(scene, "where is the person?").to_dict()
    assert [state["label"] for state in answer["states"]] == ["front|right"]
    moving = ask(scene, "is the person moving?").to_dict()
    assert moving["declined"]["code"] == "TOO_UNCERTAIN", "a camera that pans along would hide the movement"


def test_depth_makes_it_metric_and_poses_are_kept():
    depth = np.full((48, 64), 3.0, np.float32)
    camera = Camera(np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]]), (64, 48))
    pose = np.eye(4)
    pose[:3, 3] = [1, 2, 3]
    recording = video(depth_m=depth, camera=camera, T_world_camera=pose)
    box = np.array([20.0, 10, 40, 40])
    scene = Detected(recording, Boxes(lambda frame: (Detection("chair", 0.9, box),))).scene()
    assert scene.metric is True
    (track,) = scene.tracks.values()
    assert 3 < track.positions_world_m[-1, 2] - 3 < 4.5
    assert scene.ego_sigma_m < 1
    np.testing.assert_allclose(scene.T_world_camera[0], pose)


def test_a_frame_whose_pose_is_missing_is_left_out_where_others_have_one():
    frames = [
        Frame(i * 100_000_000, rgb=np.zeros((48, 64, 3), np.uint8), T_world_camera=None if i % 2 else np.eye(4))
        for i in range(10)
    ]
    detected = Detected(Recording(frames), Boxes(lambda frame: (bearing(frame, 0.0),)))
    scene = detected.scene()
    assert len(scene.stamps_s) == 5
    assert sum(detected.skipped.values()) == 5


def test_frames_without_an_image_are_counted():
    frames = [Frame(i * 100_000_000, rgb=None if i % 2 else np.zeros((48, 64, 3), np.uint8)) for i in range(10)]
    detected = Detected(Recording(frames), Boxes(lambda frame: ()))
    assert len(list(detected.frames())) == 5
    assert detected.skipped == {"frames without an image for the detector": 5}
    with pytest.raises(SourceError, match="no frame could be used"):
        Detected(Recording([Frame(0)]), Boxes(lambda frame: ())).scene()


def test_which_recordings_lack_detections():
    image = np.zeros((4, 4, 3), np.uint8)
    assert lacks_detections(Recording([Frame(0, rgb=image)]))
    assert not lacks_detections(Recording([Frame(0)])), "there is nothing to look at"
    assert not lacks_detections(Recording([Frame(0, rgb=image), Frame(1, rgb=image, detections=(Detection("a"),))]))
    named = Recording([Frame(0, rgb=image)])
    named.detector = "mine"
    assert not lacks_detections(named)


def test_the_guessed_camera_has_the_field_of_view():
    camera = guessed_camera((640, 480), 90.0)
    assert camera.K[0, 0] == pytest.approx(320) and camera.image_size == (640, 480)
    rays = camera.rays(np.array([[-0.5, 239.5], [639.5, 239.5]]))
    np.testing.assert_allclose(rays[:, 0], [-1, 1])
    with pytest.raises(SourceError, match="180"):
        Detected(video(), Boxes(lambda frame: ()), fov_deg=180)


def test_without_poses_the_ego_is_unknown():
    assert embedded_world(metric=False, posed=False).ego_sigma_m > 100
    assert embedded_world().ego_sigma_m < 1


def test_constants_are_checked():
    with pytest.raises(GeometryError, match="presence = 0"):
        EmbeddedConfig(presence=0)
    with pytest.raises(GeometryError, match="max_people"):
        EmbeddedConfig(max_people=0)


# -- the networks ----------------------------------------------------------------------------------------------------


def test_what_is_missing_is_said(monkeypatch, tmp_path):
    pytest.importorskip("ai_edge_litert")
    monkeypatch.setenv("DSR_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="dsr models fetch pose-landmark-full"):
        EmbeddedDetector()


def test_with_pip_alone_it_sees_people_only(monkeypatch, tmp_path):
    need(*ALL)
    from dsr_core.perception.registry import Registry, cached_path

    paths = [cached_path(Registry.load().model(name)) for name in ALL[:2]]
    monkeypatch.setenv("DSR_CACHE", str(tmp_path))
    (tmp_path / "models").mkdir()
    for path in paths:
        (tmp_path / "models" / path.name).symlink_to(path)
    detector = EmbeddedDetector(threads=1)
    assert detector.missing.startswith("people only") and "dsr models fetch ssd-openimages" in detector.missing
    rgb = cv2.imread(str(shared(CLIP) / "00000.jpg"))[:, :, ::-1]
    found = detector.detect(Frame(0, rgb=rgb))
    assert found and {d.label for d in found} == {"person"}
    assert iou(found[0].box_px, np.array([5, 166, 317, 479])) > 0.7, "the man who is near"


def test_people_have_masks_headings_and_one_name_while_they_are_followed():
    need(*ALL)
    folder = shared(CLIP)
    detector, seen = EmbeddedDetector(threads=1), []
    for i in (38, 39, 40):
        rgb = cv2.imread(str(folder / f"{i:05d}.jpg"))[:, :, ::-1]
        found = detector.detect(Frame(i, rgb=rgb, camera=guessed_camera(rgb.shape[1::-1])))
        woman = max((d for d in found if d.label == "person"), key=lambda d: iou(d.box_px, WOMAN))
        seen.append(woman)
        boxes = np.array([d.box_px for d in found if d.label == "person"])
        assert len(boxes) >= 3
        assert "table" in {d.label for d in found}
    assert all(iou(d.box_px, WOMAN) > 0.75 for d in seen)
    assert len({d.id for d in seen}) == 1 and seen[0].id
    for detection in seen:
        assert detection.mask.shape == (480, 854) and detection.mask[200, 400] and not detection.mask[100, 700]
        assert 0.3 <= detection.orientation_sigma_rad < 1
        far = np.linalg.norm(detection.position_camera_m)
        along = detection.position_camera_m @ detection.covariance_camera @ detection.position_camera_m / far**2
        assert 1 < far < 6 and np.sqrt(along) >= 0.299 * far
    detector.reset()
    again = detector.detect(Frame(0, rgb=rgb))
    assert all(d.position_camera_m is None for d in again), "without intrinsics there is not even a bearing"


def test_nothing_in_nothing():
    need(*ALL)
    detector = EmbeddedDetector(threads=1)
    assert detector.detect(Frame(0)) == ()
    assert detector.detect(Frame(0, rgb=np.full((480, 640, 3), 90, np.uint8))) == ()


def test_track_a_video_from_the_command_line(tmp_path, capsys):
    need(*ALL)
    folder = tmp_path / "clip"
    folder.mkdir()
    for i in range(36, 52):
        (folder / f"{i:05d}.jpg").symlink_to(shared(CLIP) / f"{i:05d}.jpg")
    assert cli.main(["track", str(folder), "--out", str(tmp_path / "out"), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["metric"] is False and result["frames"] == 16
    scene = Scene.load(result["out"])
    boxes = {name: track.boxes_px[track.observed] for name, track in scene.tracks.items() if track.label == "person"}
    woman = max(boxes, key=lambda name: np.mean([iou(box, WOMAN) for box in boxes[name]]))
    assert len(boxes[woman]) >= 15, "she is one track"
    declined = ask(scene, f"how far is person {woman}?").to_dict()["declined"]
    assert declined["code"] == "NOT_METRIC"
    assert cli.main(["track", str(folder), "--out", str(tmp_path / "out"), "--detector", "none"]) == 2
    assert "without a pose" in capsys.readouterr().err


def test_track_a_bag_with_depth(tmp_path, capsys):
    need(*ALL)
    from dsr_core.sources.convert import convert

    source = open_source(shared("seven_scenes_redkitchen"))
    source.numbers = source.numbers[40:50]
    bag = convert(source, "bag", tmp_path / "kitchen")
    assert not lacks_detections(open_source(bag)), "its detections are empty, but they are there"
    assert cli.main(["track", str(bag), "--out", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["tracks"] == 0
    assert cli.main(["track", str(bag), "--out", str(tmp_path), "--json", "--detector", "embedded"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["metric"] and result["tracks"] >= 2
    assert {"table", "chair"} <= {track.label for track in Scene.load(result["out"]).tracks.values()}


def test_a_room_with_depth_gives_metric_tracks():
    need(*ALL)
    source = open_source(shared("seven_scenes_redkitchen"))
    assert lacks_detections(source)
    frames = [frame for i, frame in enumerate(source.frames()) if 40 <= i < 52]
    scene = Detected(Recording(frames), EmbeddedDetector(threads=1)).scene()
    assert scene.metric and scene.T_world_camera is not None
    for track in scene.tracks.values():
        assert np.ptp(track.positions_world_m[track.observed], axis=0).max() < 0.5, f"{track.label} stands still"
