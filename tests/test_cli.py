"""`dsr …` as a person meets it: in its own process, exit status, stdout and stderr."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data import shared
from fakes import fake_scene, fake_track
from language_model import completion, endpoint

from dsr_core import Scene, ask, cli, load_scene
from dsr_core.geometry import transforms as tf
from dsr_core.sources import kitti
from dsr_core.sources.kitti_results import write_results

KITTI = "kitti_tracking"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    scene = fake_scene(
        fake_track("12", "car", (30, 3, 0), yaw=0.0),
        fake_track("3", "pedestrian", (10, -5, 0), (0, 1.5, 0), yaw=math.pi / 2),
        ego_velocity=(3, 0, 0),
    )
    return str(scene.save(tmp_path_factory.mktemp("cli") / "tiny.scene.npz"))


def dsr(capsys, *words):
    """Exit status, stdout and stderr of a call in this process."""
    try:
        status = cli.main(list(words))
    except SystemExit as end:
        status = end.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_version_from_another_process_and_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "dsr_core.cli", "--version"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, env={"PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()[0], done.stderr) == (0, "dsr", "")


def test_ask(capsys, saved):
    status, out, err = dsr(capsys, "ask", saved, "is the car getting closer to me?")
    assert (status, err) == (0, "")
    assert out.splitlines()[0].startswith("Yes: car 12 gets closer to the robot from 0.0 s to 5.0 s")
    assert "decreasing 0.0-5.0 s" in out and "tracks 12" in out


def test_ask_as_json_says_what_python_says(capsys, saved):
    question = "how does the distance between the car and the robot change?"
    status, out, _ = dsr(capsys, "ask", saved, question, "--json", "--start", "1", "--end", "3", "--until", "4")
    assert status == 0
    expected = ask(Scene.load(saved), question, window=(1.0, 3.0), until=4.0)
    assert json.loads(out) == json.loads(json.dumps(expected.to_dict()))
    assert json.loads(out)["evidence"]["window"] == [1.0, 3.0]


def test_ask_options_between_the_words(capsys, saved):
    status, out, _ = dsr(capsys, "ask", saved, "--rules", "dsr", "is the car parked?", "--choices", "yes", "no")
    assert status == 0 and "choice      yes" in out


def test_ask_with_a_typed_query_and_a_viewpoint(capsys, saved):
    query = '{"kind": "motion", "subject": "car 12"}'
    status, out, _ = dsr(capsys, "ask", saved, "--query", query, "--json")
    assert status == 0 and json.loads(out)["states"][0]["label"] == "still"
    status, out, _ = dsr(capsys, "ask", saved, "where is the car?", "--viewpoint", "pedestrian", "--json")
    assert status == 0 and json.loads(out)["viewpoint"]["agent"] == "3"


@pytest.mark.parametrize(
    "words, code",
    [
        (["is the bus moving?"], "NO_SUCH_OBJECT"),
        (["what is love?"], "NOT_UNDERSTOOD"),
        ([""], "BAD_REQUEST"),
        (["x" * 10_000], "BAD_REQUEST"),
        (["is the car moving?", "--backend", "vlm"], "BACKEND_UNAVAILABLE"),
        (["--query", '{"kind": "colour", "subject": "car"}'], "BAD_REQUEST"),
    ],
)
def test_declined_questions_exit_3(capsys, saved, words, code):
    status, out, err = dsr(capsys, "ask", saved, *words)
    assert (status, err) == (3, "") and f"code        {code}" in out
    status, out, _ = dsr(capsys, "ask", saved, *words, "--json")
    assert status == 3 and json.loads(out)["declined"]["code"] == code


@pytest.mark.parametrize(
    "words, message",
    [
        (["ask", "SAVED"], 'dsr ask takes SOURCE "QUESTION"'),
        (["ask", "SAVED", "is", "it", "moving"], "put the question in quotes"),
        (["ask", "SAVED", "is the car moving?", "--start", "1"], "both --start and --end"),
        (["ask", "SAVED", "--query", "{kind"], "--query is not JSON"),
        (["ask", "nowhere", "is the car moving?"], "nowhere does not exist"),
        (["ask", "SAVED", "is the car moving?", "--sequence", "0007"], "has no option sequence"),
        (["ask", "SAVED", "is the car moving?", "--rules", "strict"], "invalid choice"),
        (["ask", "SAVED", "is the car moving?", "--colour"], "unrecognized arguments: --colour"),
        (["ask", "--service", "/dsr/ask", "is the car moving?", "--until", "3"], "--until"),
        (["ask", "--service", "/dsr/ask", "is it?", "--language-model", "http://x/v1"], "language_model_url"),
        (["ask", "--service", "/dsr/ask", "is it?", "--name-embedding"], "name_embedding"),
        (["ask", "SAVED", "is it?", "--language-model", "x", "--language-model-name", "tiny"], "base_url = 'x'"),
        (["ask", "SAVED", "is it?", "--language-model-name", "tiny"], "DSR_LANGUAGE_MODEL_URL"),
        (["convert", "SAVED", "--to", "scene", "--out", "/tmp/x.npz"], ".scene.npz"),
        (["track", "nowhere", "--out", "/tmp/x"], "nowhere does not exist"),
        (["view", "nowhere", "--out", "/tmp/x"], "nowhere does not exist"),
        (["fly"], "invalid choice"),
        ([], "VERB"),
    ],
)
def test_wrong_usage_exits_2_with_one_message(capsys, saved, words, message):
    status, out, err = dsr(capsys, *[saved if w == "SAVED" else w for w in words])
    assert (status, out) == (2, "")
    assert message in err and "Traceback" not in err
    assert len(err.strip().splitlines()) == 1 or err.startswith("usage:")


def test_a_language_model_reads_what_the_grammar_does_not(capsys, saved, monkeypatch):
    for name in ("DSR_LANGUAGE_MODEL_URL", "DSR_LANGUAGE_MODEL_NAME"):
        monkeypatch.delenv(name, raising=False)
    question = "yo, what is that car up to with me?"
    query = {"kind": "distance", "subject": "car", "object": "robot"}
    with endpoint(lambda body: (200, completion({"query": query}))) as server:
        words = ("ask", saved, question)
        status, out, err = dsr(capsys, *words, "--language-model", server.url, "--language-model-name", "tiny")
        assert (status, err) == (0, "") and out.startswith("Car 12 gets closer")
        assert "read as" in out and '"kind": "distance"' in out and "(by tiny)" in out
        monkeypatch.setenv("DSR_LANGUAGE_MODEL_URL", server.url)
        monkeypatch.setenv("DSR_LANGUAGE_MODEL_NAME", "small")
        assert json.loads(dsr(capsys, *words, "--json")[1])["details"]["language_model"] == "small"
    monkeypatch.delenv("DSR_LANGUAGE_MODEL_URL")
    status, out, _ = dsr(capsys, *words)
    assert status == 3 and "NOT_UNDERSTOOD" in out


def test_a_service_that_is_not_there_is_a_decline(tmp_path):
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    pytest.importorskip("dsr_ros.msg", reason="the interfaces of dsr_ros are not built")
    env = {**os.environ, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_DOMAIN_ID": "77"}
    done = subprocess.run(
        [sys.executable, "-m", "dsr_core.cli", "ask", "--service", "/dsr/nobody", "is the car moving?",
         "--timeout", "1", "--json"],
        cwd=Path(__file__).parents[1], env=env, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3 and json.loads(done.stdout)["declined"]["code"] == "TIMEOUT", done.stderr


def test_a_truncated_scene_is_a_clear_error(capsys, saved, tmp_path):
    broken = tmp_path / "broken.scene.npz"
    broken.write_bytes(Path(saved).read_bytes()[:500])
    status, _, err = dsr(capsys, "ask", str(broken), "is the car moving?")
    assert status == 2 and "not a whole scene file" in err and "Traceback" not in err


def test_convert_to_a_scene_and_to_a_bag(capsys, saved, tmp_path):
    copy = tmp_path / "copy.scene.npz"
    status, out, _ = dsr(capsys, "convert", saved, "--to", "scene", "--out", str(copy), "--json")
    assert status == 0 and json.loads(out)["out"] == str(copy)
    assert list(Scene.load(copy).tracks) == ["12", "3"]
    bag = tmp_path / "bag"
    status, _, _ = dsr(capsys, "convert", saved, "--to", "bag", "--out", str(bag))
    assert status == 0
    status, out, _ = dsr(capsys, "ask", str(bag), "is the car moving?", "--json")
    assert status == 0 and json.loads(out)["states"][0]["label"] == "still"


def test_track_other_sources_gives_a_scene(capsys, saved, tmp_path):
    status, out, _ = dsr(capsys, "track", saved, "--out", str(tmp_path), "--json")
    assert status == 0
    result = json.loads(out)[0]
    tracked = Scene.load(result["out"])
    assert len(tracked.tracks) == result["tracks"] == 2
    assert sorted(t.label for t in tracked.tracks.values()) == ["car", "pedestrian"]


def test_view(capsys, saved, tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    pytest.importorskip("rerun", reason="rerun recordings need rerun-sdk")
    words = ["view", saved, "--out", str(tmp_path), "--ask", "is the car getting closer to me?", "--json"]
    status, out, _ = dsr(capsys, *words)
    result = json.loads(out)
    assert status == 0 and result["answers"][0]["answer"].startswith("Yes")
    assert Path(result["picture"]).read_bytes().startswith(b"\x89PNG")
    assert Path(result["rerun"]).stat().st_size > 1000


def test_doctor(capsys):
    status, out, _ = dsr(capsys, "doctor", "--json")
    checks = {c["name"]: c for c in json.loads(out)}
    assert status == 0 and checks["numpy"]["ok"] and checks["python"]["ok"]
    status, out, _ = dsr(capsys, "doctor")
    assert status == 0 and "ok   numpy" in out


def test_doctor_names_what_is_missing(capsys, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n == "scipy" else find(n, *a))
    status, out, _ = dsr(capsys, "doctor")
    assert status == 1 and "MISS scipy" in out and "pip install" in out


def test_help_of_every_verb(capsys):
    for verb in ("demo", "convert", "ask", "track", "view", "curate", "qa", "audit", "bench", "models", "doctor"):
        status, out, _ = dsr(capsys, verb, "--help")
        assert status == 0 and "--json" in out


# --- KITTI's result format -------------------------------------------------------------------------------------------


def test_results_of_known_poses(tmp_path):
    """A camera that looks along +x of the world: (10, 2, 0) is x = -2, y = 0, z = 10 in it."""
    scene = fake_scene(
        fake_track("7", "car", (10, 2, 0), yaw=0.0, duration_s=0.2, size=(4, 1.8, 1.5)),
        fake_track("left-one", "person sitting", (10, 0, 0), duration_s=0.1),
        duration_s=0.2,
    )
    lines = [line.split() for line in write_results(tmp_path / "0000.txt", scene).read_text().splitlines()]
    assert [line[:3] for line in lines] == [
        ["0", "7", "Car"],
        ["0", "8", "Person_sitting"],
        ["1", "7", "Car"],
        ["1", "8", "Person_sitting"],
        ["2", "7", "Car"],
    ]
    assert all(len(line) == 18 for line in lines)
    numbers = [float(v) for v in lines[0][3:]]
    # truncated, occluded, alpha = rotation_y - atan2(x, z), no box, h w l, bottom centre, rotation_y, score
    assert numbers[:2] == [-1, -1]
    assert numbers[2] == pytest.approx(-math.pi / 2 - math.atan2(-2, 10), abs=1e-5)
    assert numbers[3:7] == [-1, -1, -1, -1]
    assert numbers[7:] == pytest.approx([1.5, 1.8, 4.0, -2.0, 0.75, 10.0, -math.pi / 2, 1.0], abs=1e-5)
    assert [float(v) for v in lines[1][5:6] + lines[1][16:17]] == [-10, -10]  # no heading known


def test_labels_come_back_from_the_result_format(tmp_path):
    root = shared(KITTI)
    scene = load_scene(root, sequence="0012")
    path = write_results(tmp_path / "0012.txt", scene)
    truth = kitti.read_labels(root / "label_02" / "0012.txt")
    given = np.array([line.split()[6:17] for line in path.read_text().splitlines()], float)
    frames = np.array([line.split()[:2] for line in path.read_text().splitlines()], int)
    order = np.lexsort((truth["id"], truth["frame"]))
    assert np.array_equal(frames, np.stack([truth["frame"], truth["id"]], 1)[order])
    assert np.abs(given[:, :4] - truth["box2d"][order]).max() < 0.01
    assert (
        np.abs(given[:, 7:10] - truth["box3d"][order][:, 3:6]).max() < 0.2
    )  # size is one a track, so the bottom moves
    assert np.abs(given[:, [7, 9]] - truth["box3d"][order][:, [3, 5]]).max() < 1e-3
    turn = (given[:, 10] - truth["box3d"][order][:, 6] + math.pi) % (2 * math.pi) - math.pi
    assert np.abs(turn).max() < 1e-2


def test_track_kitti_detections(capsys, tmp_path):
    root = shared(KITTI)
    words = ["track", str(root), "--sequence", "0012", "--detections", "pointrcnn", "--out", str(tmp_path), "--json"]
    status, out, _ = dsr(capsys, *words)
    assert status == 0 and json.loads(out)[0]["out"] == str(tmp_path / "0012.txt")
    rows = [line.split() for line in (tmp_path / "0012.txt").read_text().splitlines()]
    assert len(rows) > 50 and all(len(row) == 18 for row in rows)
    assert {row[2] for row in rows} <= {"Car", "Pedestrian", "Cyclist"}
    keys = [(int(row[0]), int(row[1])) for row in rows]
    assert keys == sorted(keys) and len(set(keys)) == len(keys)
    # tracked cars lie where labelled cars are
    scene = load_scene(root, sequence="0012")
    labelled = np.concatenate([t.positions_world_m for t in scene.tracks.values()])
    T = tf.interpolate_transforms(scene.stamps_s, scene.T_world_camera, np.array([k[0] / 10 for k in keys]))
    centre = np.array([[float(v) for v in row[13:16]] for row in rows])
    world = np.einsum("tij,tj->ti", T[:, :3, :3], centre) + T[:, :3, 3]
    nearest = np.linalg.norm(world[:, None] - labelled, axis=2).min(axis=1)
    assert np.median(nearest) < 1.5
