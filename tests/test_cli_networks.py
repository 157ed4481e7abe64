"""`dsr track` and `dsr view` with networks: from the words on the command line to the fields of the scene."""

import json

import cv2
import numpy as np
import pytest

from dsr_core import Scene, cli
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from tests.network_folders import save_networks
from tests.pi3_stand_in import pi3_checkout, save_weights
from tests.rendered import at, render, room

FRAMES = 8
CAMERA = Camera(np.array([[130.0, 0, 80], [0, 130.0, 60], [0, 0, 1]]), (160, 120))
#: Straight to the right, as the stand-in of pi3 says of whatever it sees.
WAY = [at(0.05 * k) for k in range(FRAMES)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    named = save_networks(folder)
    with pi3_checkout(folder / "Pi3") as checkout:
        save_weights(checkout, folder / "pi3")
        yield named | {"pi3": str(folder / "pi3"), "pi3_checkout": str(checkout)}


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """A video of a rendered room, and the same as an RGB-D folder with poses and as one without."""
    folder = tmp_path_factory.mktemp("rooms")
    out = cv2.VideoWriter(str(folder / "film.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10.0, CAMERA.image_size)
    for name in ("posed", "bare"):
        (folder / name).mkdir()
        np.savetxt(folder / name / "camera-intrinsics.txt", CAMERA.K)
    for i, T in enumerate(WAY):
        rgb, depth_m = render(CAMERA, T, room())
        bgr = np.ascontiguousarray(rgb[:, :, ::-1])
        out.write(110 + bgr // 8)  # pale: the stand-in of pi3 takes contrast for steps in depth
        for name in ("posed", "bare"):
            cv2.imwrite(str(folder / name / f"frame-{i:06d}.color.png"), bgr)
            millimetres = np.nan_to_num(1000 * depth_m).astype(np.uint16)
            cv2.imwrite(str(folder / name / f"frame-{i:06d}.depth.png"), millimetres)
        np.savetxt(folder / "posed" / f"frame-{i:06d}.pose.txt", T)
    out.release()
    return folder


@pytest.fixture
def dsr(capsys, weights):
    """Exit status, stdout and stderr of a call with the tiny networks' weights."""

    def call(*words, networks=("grounding_dino", "sam2")):
        named = [word for name in networks for word in ("--weights", f"{name}={weights[name]}")]
        try:
            status = cli.main([str(word) for word in (*words, *named)])
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


SAM2 = ("--detector", "sam2", "--names", "red mug, chair", "--device", "cpu")


def test_a_video_is_reconstructed(dsr, rooms, tmp_path):
    words = ("track", rooms / "film.mp4", *SAM2, "--poses", "reconstruction", "--depth", "pi3", "--out", tmp_path)
    status, out, _ = dsr(*words, "--json", networks=("grounding_dino", "sam2", "pi3", "pi3_checkout"))
    (result,) = json.loads(out)
    assert status == 0 and result["frames"] == FRAMES and result["metric"] is False
    scene = Scene.load(result["out"])
    assert not scene.metric and scene.tracks and {t.label for t in scene.tracks.values()} <= {"red mug", "chair"}
    # The stand-in's camera goes straight to its right by a constant step, at a level.
    steps = np.diff(scene.T_world_camera[:, :3, 3], axis=0)
    assert len(scene.stamps_s) == FRAMES and (steps[:, 1] < 0).all()
    np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), atol=0.05 * -steps[0, 1])
    # Its own intrinsics: x / z runs from -0.5 to 0.5 over the picture.
    assert scene.K[0, 0] == pytest.approx(160, rel=0.05)


def test_recorded_poses_give_a_reconstruction_metres(dsr, rooms, tmp_path):
    words = ("track", rooms / "posed", *SAM2, "--poses", "reconstruction", "--depth", "pi3", "--out", tmp_path)
    status, out, _ = dsr(*words, "--json", networks=("grounding_dino", "sam2", "pi3", "pi3_checkout"))
    (result,) = json.loads(out)
    assert status == 0 and result["metric"] is True
    scene = Scene.load(result["out"])
    np.testing.assert_allclose(scene.T_world_camera, WAY, atol=1e-5)


def test_depth_and_headings_of_networks(dsr, rooms, tmp_path):
    options = ("--detector", "grounding_dino", "--names", "chair", "--depth", "depth_anything", "--device", "cpu")
    networks = ("grounding_dino", "depth_anything", "orient_anything")
    options += ("--orientation", "orient_anything", "--out", tmp_path, "--json")
    status, out, _ = dsr("track", rooms / "film.mp4", *options, networks=networks)
    (result,) = json.loads(out)
    assert status == 0 and result["metric"] is True and result["tracks"] > 0
    tracks = Scene.load(result["out"]).tracks.values()
    assert any(t.orientations_xyzw is not None and np.isfinite(t.orientations_xyzw).any() for t in tracks)


def test_a_folder_without_poses_takes_visual_odometry(dsr, rooms, tmp_path, caplog):
    status, out, _ = dsr("track", rooms / "bare", *SAM2, "--out", tmp_path, "--json")
    (result,) = json.loads(out)
    assert status == 0 and result["metric"] is True and result["tracks"] > 0
    assert "no frame-*.pose.txt: poses come from visual odometry" in caplog.text
    found = Scene.load(result["out"]).T_world_camera
    np.testing.assert_allclose(tf.invert(found[0]) @ found, WAY, atol=0.02)
    # And on demand where there are poses.
    status, out, _ = dsr("track", rooms / "posed", *SAM2, "--poses", "visual", "--out", tmp_path / "v", "--json")
    again = Scene.load(json.loads(out)[0]["out"]).T_world_camera
    assert status == 0
    np.testing.assert_allclose(again, found, atol=1e-6)


def test_without_depth_things_have_a_bearing(dsr, rooms, tmp_path, caplog):
    status, out, _ = dsr("track", rooms / "film.mp4", *SAM2, "--out", tmp_path, "--json")
    (result,) = json.loads(out)
    assert status == 0 and result["metric"] is False and result["tracks"] > 0
    assert "have a bearing but no range" in caplog.text


def test_visual_odometry_without_depth_is_refused(dsr, rooms, tmp_path):
    status, _, err = dsr("track", rooms / "film.mp4", "--detector", "none", "--poses", "visual", "--out", tmp_path)
    assert status == 2 and "which visual odometry needs: estimate depth" in err


def test_settings_from_a_file_and_options_over_it(dsr, rooms, tmp_path, weights):
    path = tmp_path / "p.yaml"
    path.write_text(f"detector: sam3\nnames: [chair]\nweights: {{sam3: {weights['sam3']}}}\ndevice: cpu\n")
    words = ("track", rooms / "posed", "--perception", path, "--out", tmp_path, "--json")
    status, out, _ = dsr(*words, networks=())
    assert status == 0 and json.loads(out)[0]["tracks"] > 0
    assert {t.label for t in Scene.load(json.loads(out)[0]["out"]).tracks.values()} == {"chair"}
    status, out, _ = dsr(*words, "--names", "red mug", networks=())
    assert {t.label for t in Scene.load(json.loads(out)[0]["out"]).tracks.values()} == {"red mug"}
    path.write_text("detecter: sam3")
    status, _, err = dsr(*words, networks=())
    assert status == 2 and "detecter is not known; known: detector" in err


def test_view_draws_what_was_found(dsr, rooms, tmp_path):
    pytest.importorskip("rerun", reason="rerun recordings need rerun-sdk")
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    status, out, _ = dsr("view", rooms / "posed", *SAM2, "--images", "2", "--out", tmp_path, "--json")
    assert status == 0 and cv2.imread(json.loads(out)["detections"]).shape[1] == 3 * 480


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--detector", "sam2"), "needs names"),
        (("--detector", "embedded", "--names", "cup"), "names are looked for by --detector grounding_dino, sam2, sam3"),
        (("--detector", "none", "--poses", "reconstruction"), "needs --depth pi3 or depth_anything_3"),
        (("--detector", "none", "--depth", "pi3", "--poses", "visual"), "choose depth_anything"),
        (("--weights", "sam2"), "must be NAME=PATH"),
        (("--detector", "none", "--weights", "sam9=/w"), "weights of sam9 are not known"),
        (("--perception", "/nowhere.yaml"), "cannot be read"),
        (("--detector", "yolo"), "invalid choice"),
    ],
)
def test_wrong_usage_exits_2_with_one_message(dsr, rooms, tmp_path, words, message):
    status, out, err = dsr("track", rooms / "posed", *words, "--out", tmp_path, networks=())
    assert (status, out) == (2, "") and message in err and "Traceback" not in err
    assert len(err.strip().splitlines()) == 1 or err.startswith("usage:")


def test_missing_weights_exit_2_and_tell_both_commands(dsr, rooms, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    status, out, err = dsr("track", rooms / "posed", *SAM2, "--out", tmp_path, networks=())
    assert (status, out) == (2, "") and len(err.strip().splitlines()) == 1
    assert "`hf download IDEA-Research/grounding-dino-tiny` (licence: Apache-2.0)" in err
    assert "`hf download facebook/sam2.1-hiera-large` (licence: Apache-2.0)" in err
